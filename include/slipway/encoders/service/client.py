"""One request to an embedding service: paced, tried again while that may help, and its answer checked."""

from __future__ import annotations

import logging
import random
import weakref
from dataclasses import dataclass
from threading import Event, Lock
from typing import TYPE_CHECKING, Any, NoReturn

import httpx

from slipway.config.encoder import Service
from slipway.encoders.service import answers
from slipway.encoders.service.key import Key, hidden
from slipway.encoders.service.pacing import LONGEST_WISH_S, Clock, Pacer, Rate, WallClock, pause, wish
from slipway.errors import ConfigError, EncoderError, ServiceDenied, ServiceUnreachable

if TYPE_CHECKING:
    from slipway.encoders.base import Vectors

_log = logging.getLogger("slipway.encoders.service")
# 424 is text-embeddings-inference's "the model failed", 529 "overloaded" at some hosts
_PASSING = {408, 424, 425, 429, 500, 502, 503, 504, 529}
QUERY_ATTEMPTS = 2
QUERY_TIMEOUT_S = 10.0
_TOO_MUCH = {400, 413, 422}  # what services say of a request that is too large; of a wrong one as well


class TooMuch(Exception):
    """The service refused several texts in a way that may mean that they were too many: the caller sends fewer.

    `denied` is for who sees that fewer are refused alike. `is_size`: the service says that it is the size.
    """

    def __init__(self, denied: ServiceDenied, is_size: bool) -> None:
        super().__init__(str(denied))
        self.denied, self.is_size = denied, is_size


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one request is worked at: attempts, seconds for an answer, seconds that the service may want to rest."""

    attempts: int
    timeout_s: float
    longest_wish_s: float

    @classmethod
    def for_documents(cls, service: Service) -> Patience:
        """As configured: a night can wait."""
        return cls(service.attempts, service.timeout_seconds, LONGEST_WISH_S)

    @classmethod
    def for_queries(cls, service: Service) -> Patience:
        """At most `QUERY_ATTEMPTS` and `QUERY_TIMEOUT_S`, whatever is configured: a person waits for the answer."""
        attempts = min(service.attempts, QUERY_ATTEMPTS)
        return cls(attempts, min(service.timeout_seconds, QUERY_TIMEOUT_S), QUERY_TIMEOUT_S)


class Client:
    """Asks one service for embeddings. Threads may share it.

    `used_tokens` is what the service counted so far, in `requests` that it answered. `key` is sent as a bearer token,
    and stands in no message. The pauses between attempts are drawn with `seed`. Its connections are closed when nobody
    holds it any more. Raises `ConfigError` for a url that is none.
    """

    def __init__(
        self, service: Service, dimension: int, key: Key, clock: Clock | None = None, seed: int | None = None
    ) -> None:
        self.used_tokens = self.requests = 0
        self._service, self._dimension, self._key = service, dimension, key
        self._url = _checked(f"{service.url.rstrip('/')}/embeddings")
        self._clock = clock or WallClock()
        self._pacer = Pacer(Rate(service.requests_per_minute), Rate(service.tokens_per_minute), self._clock)
        self._drawn, self._lock = random.Random(seed), Lock()  # noqa: S311  # jitter
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs every request
        limits = httpx.Limits(max_connections=service.requests, max_keepalive_connections=service.requests)
        self._http = httpx.Client(limits=limits)
        weakref.finalize(self, self._http.close)

    def embed(self, texts: list[str], tokens: int, stop: Event, patience: Patience) -> Vectors:
        """Vectors of the texts, (n, dimension) float32 of unit norm. `tokens` is what they count for in the rates.

        Raises `ServiceDenied`, `ServiceUnreachable` when the `patience` is at its end, `EncoderError` for an answer
        that is not sound, and `TooMuch`. Once `stop` is set nothing is sent.
        """
        asked = {"model": self._service.model, "input": texts, "encoding_format": "base64"}
        for attempt in range(patience.attempts):
            self._pacer.admit(tokens, stop)
            if stop.is_set():
                break
            failure, wanted = self._failure_or_answer(asked, len(texts), patience.timeout_s)
            if not isinstance(failure, str):
                return failure
            if wanted > patience.longest_wish_s:
                raise ServiceUnreachable(f"{self._url}: {failure}; it wants no request for {wanted:,.0f} s")
            self._pacer.quieten(wanted)
            if attempt + 1 < patience.attempts:
                with self._lock:
                    seconds = wanted + pause(attempt, self._drawn)
                _log.warning("%s: %s; next attempt in %.1f s", self._url, failure, seconds)
                self._clock.wait(seconds, stop)
        if stop.is_set():
            raise ServiceUnreachable(f"{self._url}: given up, as another request failed")
        raise ServiceUnreachable(
            f"{self._url}: {failure}, in the last of {patience.attempts} attempts; see whether the service is up and "
            f"how much it allows (encoder.service: requests, requests_per_minute, tokens_per_minute). Finished work is "
            f"kept"
        )

    def _failure_or_answer(self, asked: dict[str, Any], texts: int, timeout_s: float) -> tuple[str | Vectors, float]:
        """The vectors; or what went wrong and may pass, and the seconds that the service wants to be left alone."""
        key = self._key.value()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            response = self._http.post(self._url, json=asked, headers=headers, timeout=timeout_s)
        except (httpx.LocalProtocolError, httpx.UnsupportedProtocol) as error:  # before anything was sent
            told = hidden(f"{type(error).__name__}: {error}", key)
            raise ServiceDenied(
                f"{self._url}: no request can be sent there ({told}); look at encoder.service"
            ) from None
        except httpx.TransportError as error:
            return hidden(f"no answer ({type(error).__name__}: {error})", key), 0.0
        if response.status_code in _PASSING:
            told = answers.message(response, key)
            return f"status {response.status_code}: {told}", wish(response.headers.get("Retry-After"))
        if response.status_code != httpx.codes.OK:
            self._refuse(response, texts, key)
        return self._vectors(response, texts), 0.0

    def _refuse(self, response: httpx.Response, texts: int, key: str | None) -> NoReturn:
        status = response.status_code
        if status in (401, 403):
            self._key.refused(key)
        advice = {
            401: f"look at the key: the password of {self._key}",
            403: "look at what the key is allowed",
            404: "look at encoder.service.url, to which /embeddings is added, and at the model's name there",
            413: "a single text is too large for it: lower the encoder's max_tokens",
        }.get(status, "look at encoder.service and at the service's own log")
        denied = ServiceDenied(f"{self._url}: status {status}: {answers.message(response, key)}; {advice}")
        if status in _TOO_MUCH and texts > 1:
            raise TooMuch(denied, status == httpx.codes.REQUEST_ENTITY_TOO_LARGE)
        raise denied

    def _vectors(self, response: httpx.Response, texts: int) -> Vectors:
        try:
            answer = response.json()
        except ValueError as error:
            raise EncoderError(f"{self._url}: the answer is not JSON; look at encoder.service.url") from error
        try:
            made = answers.vectors(answer, texts, self._dimension)
        except EncoderError as error:
            raise EncoderError(f"{self._url}: {error}") from error
        with self._lock:
            self.requests += 1
            self.used_tokens += answers.used_tokens(answer)
        return made


def _checked(url: str) -> str:
    """The url. Raises `ConfigError` when no request can be sent there."""
    try:
        parsed = httpx.URL(url)
        parsed.raw_host.decode("ascii").encode("idna")  # as the resolver does
    except (httpx.InvalidURL, UnicodeError) as error:
        raise ConfigError(f"encoder.service.url: {url} is no address: {error}") from error
    if not parsed.host:
        raise ConfigError(f"encoder.service.url: {url} names no host; expected such as http://tei:8080/v1")
    return url
