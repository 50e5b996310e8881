"""The HTTP backend: texts are cut and batched here, and embedded by a service with the OpenAI embeddings protocol."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from threading import Event
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from slipway.connections import environment_secrets
from slipway.encoders.model import Model
from slipway.encoders.service.client import Client, Patience, TooMuch
from slipway.encoders.service.cutting import Cutter
from slipway.encoders.service.key import Key
from slipway.encoders.service.pacing import Clock
from slipway.errors import EncoderError

if TYPE_CHECKING:
    from slipway.encoders.base import Vectors
    from slipway.run import Secrets

Rows = npt.NDArray[np.int64]
_log = logging.getLogger("slipway.encoders.service")


class ServiceEncoder:
    """An encoder whose vectors a service makes; this machine needs the model's tokenizer only.

    The prompt is put before a text, and what is longer than `max_tokens` is cut here by the model's own tokenizer, so
    that no service cuts it in another way. Equal texts are sent once. `secrets` finds the key by the name in
    service.connection: the environment's, where none is given. Raises `EncoderError` when the encoder has no service or
    its tokenizer is not sound, and what `secrets` raises.
    """

    backend = "service"
    device = "service"

    def __init__(
        self, model: Model, secrets: Secrets | None = None, *, clock: Clock | None = None, seed: int | None = None
    ) -> None:
        if model.encoder.service is None:
            raise EncoderError(f"encoder {model.encoder.name}: there is no service in its description; add one")
        self.fingerprint, self.dimension = model.fingerprint, model.encoder.dimension
        self._prompts, self._service = model.encoder.prompts, model.encoder.service
        self._cutter = Cutter(model.tokenizer(), model.encoder.max_tokens)
        self._most_texts = self._service.texts
        key = Key(self._service.connection, secrets or environment_secrets)
        self._client = Client(self._service, self.dimension, key, clock, seed)

    @property
    def used_tokens(self) -> int:
        """Tokens that the service has counted so far; 0 where it counts none."""
        return self._client.used_tokens

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        """Vectors of chunks: (n, dimension) float32, unit norm."""
        return self._encode(texts, self._prompts.document, Patience.for_documents(self._service))

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Vectors of queries: (n, dimension) float32, unit norm. Gives up early: see `Patience.for_queries`."""
        return self._encode(texts, self._prompts.query, Patience.for_queries(self._service))

    def _encode(self, texts: Sequence[str], prompt: str, patience: Patience) -> Vectors:
        """Raises `ServiceDenied`, `ServiceUnreachable` and `EncoderError`, as `Client.embed` does."""
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        numbers: dict[str, int] = {}
        places = np.array([numbers.setdefault(text, len(numbers)) for text in texts])
        cut, lengths = self._cutter.cut([prompt + text for text in numbers])
        made: Vectors = np.empty((len(cut), self.dimension), dtype=np.float32)
        before = self._client.requests, self._client.used_tokens
        self._fill(made, cut, lengths, patience)
        requests, used = self._client.requests - before[0], self._client.used_tokens - before[1]
        _log.debug("%d texts, %d tokens in %d requests; the service counted %d", len(cut), sum(lengths), requests, used)
        return cast("Vectors", made[places])

    def _fill(self, made: Vectors, texts: Sequence[str], lengths: Sequence[int], patience: Patience) -> None:
        """Set every row of `made` to its text's vector, with as many requests at once as configured.

        The first failure ends the others: those that wait give up, those that were sent are waited for.
        """
        stop = Event()

        def send(batch: Rows) -> None:
            asked = [texts[row] for row in batch]
            made[batch] = self._client.embed(asked, sum(lengths[row] for row in batch), stop, patience)

        with ThreadPoolExecutor(self._service.requests, thread_name_prefix="embedding-service") as pool:
            pending = [
                pool.submit(self._send, send, batch)
                for batch in packed(lengths, self._most_texts, self._service.tokens)
            ]
            try:
                done, _ = wait(pending, return_when=FIRST_EXCEPTION)
                for one in done:
                    one.result()
            finally:
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)

    def _send(self, send: Callable[[Rows], None], batch: Rows, refused: str | None = None) -> None:
        """Send a batch. One that is too large for the service goes in halves, as later ones do at once.

        `refused` is what the service said of twice as many: where it says just that again, and not that it is the size,
        the request is wrong and no smaller one is right. Raises `ServiceDenied` then, and what `send` raises.
        """
        if len(batch) <= self._most_texts:
            try:
                send(batch)
                return
            except TooMuch as error:
                if not error.is_size and str(error) == refused:
                    raise error.denied from None
                refused = str(error)
                half = len(batch) // 2
                if half < self._most_texts:
                    self._most_texts = half
                    _log.warning("the service refused %d texts at once: it is sent %d from now on", len(batch), half)
        for part in np.array_split(batch, -(-len(batch) // self._most_texts)):
            self._send(send, part, refused)


def packed(lengths: Sequence[int], most_texts: int, most_tokens: int) -> Iterator[Rows]:
    """Rows in batches of at most so many texts and tokens, by length; a longer text is a batch of its own."""
    batch: list[int] = []
    tokens = 0
    for row in np.argsort(np.asarray(lengths), kind="stable").tolist():
        if batch and (len(batch) >= most_texts or tokens + lengths[row] > most_tokens):
            yield np.array(batch)
            batch, tokens = [], 0
        batch.append(row)
        tokens += lengths[row]
    if batch:
        yield np.array(batch)
