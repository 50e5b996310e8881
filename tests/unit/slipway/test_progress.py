from slipway.progress import within


def test_a_part_is_told_as_progress_of_the_whole() -> None:
    seen: list[tuple[object, ...]] = []
    told = within(lambda *one: seen.append(one), 1_000, 5_000)
    told("embed", 0, 700, "tokens")
    told("embed", 700, 700, "tokens")
    assert seen == [("embed", 1_000, 5_000, "tokens"), ("embed", 1_700, 5_000, "tokens")]
