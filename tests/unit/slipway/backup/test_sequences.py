"""Whatever is released, rolled back, backed up, lost, restored and killed in whatever order: what is named is whole."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from slipway import layout
from slipway.backup import Restored, Restoring, back_up, back_up_all, backups
from slipway.errors import CorruptObject, InputError, Refused
from slipway.pointer import read_serving
from slipway.recover import last_record, newest_generation, recover
from slipway.rollback import roll_back
from slipway.serving.loading import check_whole
from tests.support.crashing_store import CrashingStore, Killed
from tests.support.releases import a_run, publish
from tests.unit.slipway.backup.conftest import empty_store


@dataclass
class World:
    """A collection's store, its backup's, and how many nights there were."""

    folder: Path
    here: CrashingStore = field(default_factory=lambda: empty_store("here"))
    there: CrashingStore = field(default_factory=lambda: empty_store("there"))
    nights: int = 0

    def release(self) -> None:
        self.nights += 1
        publish(replace(a_run(self.here, self.folder), run_id=f"night-{self.nights}"), self.nights, count=8)

    def roll_back(self) -> None:
        roll_back(self.here, "ann", "worse")

    def back_up(self) -> None:
        back_up(self.here, self.there, self.folder)

    def back_up_all(self) -> None:
        back_up_all(self.here, self.there, self.folder)

    def lose_pointer(self) -> None:
        self.here.delete(layout.SERVING)

    def damage_pointer(self) -> None:
        self.here.put(layout.SERVING, b"{")

    def lose_release(self) -> None:
        live = read_serving(self.here)[0].live_release
        if live and layout.release(live.release_id) in {one.key.rpartition("/")[0] for one in self.there.list()}:
            for info in list(self.here.list(f"{layout.release(live.release_id)}/")):
                self.here.delete(info.key)
            self.here.delete(layout.SERVING)

    def wipe(self) -> None:
        if backups(self.there):
            for info in list(self.here.list()):
                self.here.delete(info.key)

    def recover(self) -> None:
        recover(self.here, "ann", "lost")

    def restore(self) -> None:
        self.check(Restoring.release)

    def restore_all(self) -> None:
        self.check(Restoring.everything)

    def restore_by_name(self) -> None:
        """The newest backup, whatever became of its release."""
        Restoring(self.there, self.here, self.folder, "ann", "lost").release(backups(self.there)[0].release_id)

    def check(self, restore: Callable[[Restoring], Restored]) -> None:
        """What is made live has a number that no reader has seen before and was not withdrawn, as far as is known."""
        withdrawn = last_record(self.here, self.there).withdrawn
        done = restore(Restoring(self.there, self.here, self.folder, "ann", "lost"))
        if done.swapped:
            assert done.release_id not in withdrawn
            assert set(read_serving(self.here)[0].withdrawn) == set(withdrawn)
            assert done.generation is not None
            assert done.generation > newest_generation(self.there)

    def add_all(self) -> None:
        Restoring(self.there, self.here, self.folder, "ann", "lost", add=True).everything()

    def generation(self) -> int | None:
        """That of serving.json, whose releases are whole; None where it cannot be read."""
        try:
            now, _ = read_serving(self.here)
        except CorruptObject:
            return None
        for slot in now.named.values():
            check_whole(self.here, slot.release_id, slot.manifest_sha256)
        return now.generation

    def check_backups(self) -> None:
        for one in backups(self.there):
            named = one.state.named.values() if one.serving else ()
            for release_id, sum_ in [(one.release_id, one.manifest_sha256)] + [
                (slot.release_id, slot.manifest_sha256) for slot in named
            ]:
                check_whole(self.there, release_id, sum_)


ACTS: list[Callable[[World], None]] = [
    World.release,
    World.roll_back,
    World.back_up,
    World.back_up_all,
    World.lose_pointer,
    World.damage_pointer,
    World.lose_release,
    World.wipe,
    World.recover,
    World.restore,
    World.restore_all,
    World.add_all,
]
DAMAGE = (World.lose_pointer, World.damage_pointer, World.lose_release, World.wipe)
STEP = st.tuples(st.sampled_from(ACTS), st.none() | st.tuples(st.integers(0, 20), st.booleans(), st.booleans()))


@settings(max_examples=40)
@given(st.lists(STEP, max_size=8))
def test_serving_json_and_the_index_of_backups_name_whole_releases_only(
    steps: list[tuple[Callable[[World], None], tuple[int, bool, bool] | None]],
) -> None:
    with TemporaryDirectory() as folder:
        world = World(Path(folder))
        for act in (World.release, World.release, World.back_up_all):
            act(world)
        for act, kill in steps:
            if kill and act not in DAMAGE:
                store = world.there if kill[2] and act in (World.back_up, World.back_up_all) else world.here
                store.die_at, store.landed = kill[0], kill[1]
            with suppress(Killed, Refused, CorruptObject, InputError):  # each leaves the stores to be looked at
                act(world)
            world.here.die_at = world.there.die_at = None
            world.generation()
            world.check_backups()
        if world.generation() in (None, 0):
            world.restore_by_name()
        assert world.generation()


def test_a_backup_that_lags_behind_is_passed_in_the_count() -> None:
    """The generation of a restored store is above the backup's, and so is each one after it."""
    with TemporaryDirectory() as folder:
        world = World(Path(folder))
        world.release()
        world.back_up()
        for act in (World.wipe, World.restore, World.release, World.back_up, World.wipe, World.restore):
            act(world)
        assert world.generation() == 4
