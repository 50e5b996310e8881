"""Texts through the HTTP backend and a real server: what is sent, and what becomes of the answers."""

from __future__ import annotations

import base64
import gc
import logging
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest

from slipway.errors import ConfigError, EncoderError, ServiceDenied, ServiceUnreachable
from tests.support.embedding_service import HANG_UP, EmbeddingService, Reply, failure
from tests.support.encoders import FakeEncoder
from tests.unit.slipway.encoders.service.conftest import DIMENSION, Connect, Waits

TEXTS = [f"text {number}" for number in range(20)]


def test_vectors_come_in_the_order_of_the_texts_and_of_unit_norm(connect: Connect, fake: FakeEncoder) -> None:
    made = connect(texts=3).encode_documents(TEXTS)
    assert (made.shape, made.dtype) == ((len(TEXTS), DIMENSION), np.float32)
    np.testing.assert_allclose(made, fake.encode_queries(TEXTS), atol=1e-6)


def test_requests_follow_the_protocol(connect: Connect, service: EmbeddingService) -> None:
    connect().encode_documents(["one"])
    assert service.seen == [{"model": "small-1", "input": ["one"], "encoding_format": "base64"}]
    assert service.keys == [None]


def test_answers_in_numbers_are_read_as_well(connect: Connect, service: EmbeddingService, fake: FakeEncoder) -> None:
    def in_numbers(answer: dict[str, Any]) -> dict[str, Any]:
        for row in answer["data"]:
            row["embedding"] = np.frombuffer(base64.b64decode(row["embedding"]), "<f4").tolist()
        return answer

    service.alter = in_numbers
    np.testing.assert_allclose(connect().encode_documents(TEXTS), fake.encode_queries(TEXTS), atol=1e-6)


def test_equal_texts_are_sent_once_and_no_text_asks_nothing(
    connect: Connect, service: EmbeddingService, fake: FakeEncoder
) -> None:
    encoder = connect()
    made = encoder.encode_documents(["one", "two", "one"])
    assert sorted(service.seen[0]["input"]) == ["one", "two"]
    np.testing.assert_allclose(made, fake.encode_queries(["one", "two", "one"]), atol=1e-6)
    assert encoder.encode_queries([]).shape == (0, DIMENSION)
    assert len(service.seen) == 1


def test_requests_keep_to_their_bounds(connect: Connect, service: EmbeddingService) -> None:
    connect(texts=4, tokens=10_000).encode_documents(TEXTS)
    assert [len(asked["input"]) for asked in service.seen] == [4] * 5
    service.seen.clear()
    connect(tokens=16).encode_documents(TEXTS)  # a text has four tokens, special ones included
    assert [len(asked["input"]) for asked in service.seen] == [4] * 5


def test_prompts_are_put_before_and_long_texts_are_cut(connect: Connect, service: EmbeddingService) -> None:
    encoder = connect(encoder={"prompts": {"query": "find: ", "document": "passage: "}})
    encoder.encode_queries(["one"])
    encoder.encode_documents(["word " * 100])
    assert [asked["input"] for asked in service.seen] == [["find: one"], ["passage: " + "word " * 11 + "word"]]


def test_the_services_own_count_of_tokens_is_kept(connect: Connect, service: EmbeddingService) -> None:
    encoder = connect(texts=5)
    encoder.encode_documents(TEXTS)
    assert encoder.used_tokens == 2 * len(TEXTS)
    service.alter = lambda answer: {"data": answer["data"]}
    encoder.encode_documents(TEXTS)
    assert encoder.used_tokens == 2 * len(TEXTS)


@pytest.mark.parametrize(
    "reply", [failure(429), failure(500), failure(503), failure(424), HANG_UP, Reply(502, "<html>bad gateway</html>")]
)
def test_what_may_pass_is_tried_again(
    connect: Connect, service: EmbeddingService, fake: FakeEncoder, clock: Waits, reply: Reply
) -> None:
    service.replies = [reply, reply]
    made = connect().encode_documents(TEXTS)
    np.testing.assert_allclose(made, fake.encode_queries(TEXTS), atol=1e-6)
    assert len(service.seen) == 3
    assert len(clock.waited) == 2
    assert 0 <= clock.waited[0] <= 0.5
    assert 0 <= clock.waited[1] <= 1


def test_a_services_wish_to_wait_is_heeded_by_all_requests(
    connect: Connect, service: EmbeddingService, clock: Waits
) -> None:
    service.replies = [failure(429, Retry_After="7")]
    connect().encode_documents(["one"])
    assert 7 <= clock.waited[0] <= 7.5


def test_a_service_that_wants_a_long_pause_is_left_alone(connect: Connect, service: EmbeddingService) -> None:
    service.replies = [failure(429, "quota used up", Retry_After="3600")]
    with pytest.raises(ServiceUnreachable, match=r"429: quota used up; it wants no request for 3,600 s"):
        connect().encode_documents(["one"])
    assert len(service.seen) == 1


def test_a_service_that_stays_away_is_unreachable(connect: Connect, service: EmbeddingService) -> None:
    service.replies = [failure(500, "out of order")] * 3
    with pytest.raises(ServiceUnreachable, match=r"500: out of order, in the last of 3 attempts; see whether"):
        connect(attempts=3).encode_documents(["one"])
    assert len(service.seen) == 3


def test_a_service_that_is_not_there_is_unreachable(connect: Connect, clock: Waits) -> None:
    with pytest.raises(ServiceUnreachable, match=r"no answer \(ConnectError"):
        connect(url="http://127.0.0.1:9/v1", attempts=2).encode_documents(["one"])
    assert len(clock.waited) == 1


def test_too_many_texts_at_once_go_in_halves_and_later_ones_at_once(
    connect: Connect, service: EmbeddingService, fake: FakeEncoder
) -> None:
    service.most_texts = 5
    encoder = connect(requests=1)
    np.testing.assert_allclose(encoder.encode_documents(TEXTS), fake.encode_queries(TEXTS), atol=1e-6)
    assert [len(asked["input"]) for asked in service.seen][:3] == [20, 10, 5]
    service.seen.clear()
    encoder.encode_documents(TEXTS)
    assert [len(asked["input"]) for asked in service.seen] == [5] * 4


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (failure(401, "bad key"), "status 401: bad key; look at the key"),
        (failure(403, "not yours"), "status 403: not yours; look at what the key is allowed"),
        (failure(404, "no model small-1"), "status 404: no model small-1; look at encoder.service.url"),
        (failure(413, "too long"), "status 413: too long; a single text is too large"),
        (Reply(422, {"detail": "x" * 1_000}), "status 422: " + "x" * 299 + "…;"),
        (Reply(400, ""), "status 400: no message;"),
        (Reply(302, "", {"Location": "http://127.0.0.1:9/"}), "status 302: no message;"),
    ],
)
def test_bad_input_refused_requests_are_not_tried_again(
    connect: Connect, service: EmbeddingService, reply: Reply, said: str
) -> None:
    service.replies = [reply]
    with pytest.raises(ServiceDenied) as raised:
        connect().encode_documents(["one"])
    assert said in str(raised.value)
    assert len(service.seen) == 1


def _first(answer: dict[str, Any], embedding: Any) -> dict[str, Any]:
    answer["data"][0]["embedding"] = embedding
    return answer


@pytest.mark.parametrize(
    ("alter", "said"),
    [
        (lambda answer: {**answer, "data": answer["data"][1:]}, "has 2 embeddings, not one for each of 3 texts"),
        (lambda answer: {**answer, "data": [answer["data"][0]] * 3}, "not one for each of 3 texts"),
        (lambda answer: _first(answer, [float("nan")] * DIMENSION), "not finite, or of length 0"),
        (lambda answer: _first(answer, [0.0] * DIMENSION), "not finite, or of length 0"),
        (lambda answer: _first(answer, [1.0] * 4), r"shape \(4,\), the field dimension says 8"),
        (lambda answer: _first(answer, "&&&"), "neither numbers nor base64"),
        (lambda answer: _first(answer, ["x"] * DIMENSION), "neither numbers nor base64"),
        (lambda answer: {"embeddings": []}, "no list of embeddings under 'data'"),
        (lambda answer: "<html>log in here</html>", "the answer is not JSON"),
    ],
)
def test_bad_input_unsound_answers_are_refused(
    connect: Connect, service: EmbeddingService, alter: Callable[[dict[str, Any]], Any], said: str
) -> None:
    service.alter = alter
    with pytest.raises(EncoderError, match=said):
        connect().encode_documents(TEXTS[:3])
    assert len(service.seen) == 1


def test_the_first_failure_ends_the_requests_that_wait(connect: Connect, service: EmbeddingService) -> None:
    service.replies = [failure(401, "bad key")]
    with pytest.raises(ServiceDenied):
        connect(requests=1, texts=1).encode_documents(TEXTS)
    assert len(service.seen) < len(TEXTS)


def test_the_key_is_sent_and_never_told(
    connect: Connect, service: EmbeddingService, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    asked: list[str] = []

    def secrets(name: str) -> str:
        asked.append(name)
        return "sk-very-secret"

    service.replies = [failure(500, "failed for sk-very-secret"), failure(401, "no such key: sk-very-secret")]
    encoder = connect(secrets=secrets, connection="tei")
    with pytest.raises(ServiceDenied, match=r"no such key: \*\*\*") as raised:
        encoder.encode_documents(["one"])
    assert asked == ["tei"]
    assert service.keys == ["Bearer sk-very-secret"] * 2
    assert "failed for ***" in caplog.text
    assert "sk-very-secret" not in caplog.text + repr(raised.value) + repr(encoder) + repr(vars(encoder))


@pytest.mark.parametrize("written", ["sk-secret\n", "\r\n sk-secret \t", "sk-secret"])
def test_a_key_is_stripped(connect: Connect, service: EmbeddingService, written: str) -> None:
    connect(secrets=lambda name: written, connection="tei").encode_documents(["one"])
    assert service.keys == ["Bearer sk-secret"]


@pytest.mark.parametrize("written", ["sk-sécret", "sk\nsecret", "sk secret", "sk-secret\x7f", " \n"])
def test_bad_input_a_key_that_cannot_be_sent_is_refused_at_once_and_not_told(
    connect: Connect, service: EmbeddingService, written: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ServiceDenied, match="the key of connection 'tei' cannot be sent") as raised:
        connect(secrets=lambda name: written, connection="tei")
    assert not service.seen
    assert "cret" not in caplog.text + repr(raised.value)


@pytest.mark.parametrize("error", [httpx.LocalProtocolError, httpx.UnsupportedProtocol])
def test_what_cannot_be_sent_is_not_tried_again(
    connect: Connect, clock: Waits, monkeypatch: pytest.MonkeyPatch, error: type[httpx.TransportError]
) -> None:
    def post(*_: object, **__: object) -> httpx.Response:
        raise error(r"Illegal header value b'Bearer sk\\secret'")

    monkeypatch.setattr(httpx.Client, "post", post)
    with pytest.raises(ServiceDenied, match=r"no request can be sent there .*Bearer \*\*\*") as raised:
        connect(secrets=lambda name: r"sk\secret", connection="tei").encode_documents(["one"])
    assert (clock.waited, "secret" in str(raised.value)) == ([], False)


def test_the_texts_of_connections_errors_do_not_tell_the_key(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def post(*_: object, **__: object) -> httpx.Response:
        raise httpx.ReadError("got 'Bearer sk-secret'")

    monkeypatch.setattr(httpx.Client, "post", post)
    with pytest.raises(ServiceUnreachable, match=r"Bearer \*\*\*") as raised:
        connect(secrets=lambda name: "sk-secret", connection="tei", attempts=2).encode_documents(["one"])
    assert "next attempt" in caplog.text
    assert "sk-secret" not in caplog.text + repr(raised.value)


@pytest.mark.parametrize("url", ["http://[::1/v1", "http://tei:port/v1", "http:///v1", f"http://{'a' * 70}/v1"])
def test_bad_input_a_url_that_is_no_address(connect: Connect, url: str) -> None:
    with pytest.raises(ConfigError, match=r"encoder.service.url: http"):
        connect(url=url)


@pytest.mark.parametrize("status", [401, 403])
def test_after_a_refusal_the_key_is_asked_for_again(connect: Connect, service: EmbeddingService, status: int) -> None:
    keys = ["old", "new"]
    encoder = connect(secrets=lambda name: keys.pop(0), connection="tei")
    service.replies = [failure(status)]
    with pytest.raises(ServiceDenied):
        encoder.encode_queries(["one"])
    encoder.encode_queries(["one"])
    encoder.encode_queries(["two"])
    assert service.keys == ["Bearer old", "Bearer new", "Bearer new"]


def test_queries_give_up_early(connect: Connect, clock: Waits, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    def post(*_: object, timeout: float, **__: object) -> httpx.Response:
        waited.append(timeout)
        raise httpx.ReadTimeout("timed out")

    monkeypatch.setattr(httpx.Client, "post", post)
    encoder = connect(timeout_seconds=60, attempts=6)
    with pytest.raises(ServiceUnreachable, match="in the last of 2 attempts"):
        encoder.encode_queries(["one"])
    assert waited == [10.0, 10.0]
    with pytest.raises(ServiceUnreachable, match="in the last of 6 attempts"):
        encoder.encode_documents(["one"])
    assert waited[2:] == [60.0] * 6


def test_queries_wait_for_no_service_that_wants_a_pause(connect: Connect, service: EmbeddingService) -> None:
    service.replies = [failure(429, Retry_After="11")]
    with pytest.raises(ServiceUnreachable, match="it wants no request for 11 s"):
        connect().encode_queries(["one"])


@pytest.mark.parametrize("status", [400, 422])
def test_a_wrong_request_is_not_made_ever_smaller(connect: Connect, service: EmbeddingService, status: int) -> None:
    service.replies = [failure(status, "unknown encoding_format")] * 9
    with pytest.raises(ServiceDenied, match="unknown encoding_format"):
        connect(requests=1).encode_documents(TEXTS)
    assert [len(asked["input"]) for asked in service.seen] == [20, 10]


def test_a_size_that_is_refused_in_the_same_words_is_halved_on(
    connect: Connect, service: EmbeddingService, fake: FakeEncoder
) -> None:
    service.replies = [failure(413, "too large")] * 3
    made = connect(requests=1).encode_documents(TEXTS)
    np.testing.assert_allclose(made, fake.encode_queries(TEXTS), atol=1e-6)
    assert [len(asked["input"]) for asked in service.seen][:4] == [20, 10, 5, 2]


def test_connections_are_closed_with_the_encoder(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[httpx.Client] = []
    monkeypatch.setattr(httpx.Client, "close", lambda http: closed.append(http))  # which binds
    encoder = connect()
    encoder.encode_documents(["one"])
    assert not closed
    del encoder
    gc.collect()
    assert len(closed) == 1


def test_the_key_comes_from_the_environment_by_default(
    connect: Connect, service: EmbeddingService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_TEI", "http://:from-here@tei")
    connect(connection="tei").encode_documents(["one"])
    assert service.keys == ["Bearer from-here"]


def test_rates_hold_requests_back(connect: Connect, clock: Waits) -> None:
    connect(texts=1, requests=1, requests_per_minute=30).encode_documents(TEXTS[:4])
    assert clock.waited == [2.0] * 3
    clock.waited.clear()
    connect(texts=2, requests=1, tokens_per_minute=240).encode_documents(TEXTS[:4])
    assert clock.waited == [2.0]


def test_bad_input_an_encoder_without_a_service_is_refused(connect: Connect) -> None:
    with pytest.raises(EncoderError, match="there is no service in its description"):
        connect(encoder={"service": None})
