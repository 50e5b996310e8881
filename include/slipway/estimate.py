"""What a plan's work will cost: the time to embed it, by the speed of earlier work, and the bytes it will write.

The time is that of one shard after another, without loading the model: shards that run side by side take less.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from slipway.config.encoder import Service
from slipway.encoders import load_encoder
from slipway.index.spec import resolve
from slipway.manifest import Manifest
from slipway.pointer import read_serving
from slipway.run import Run
from slipway.serving.loading import read_release_manifest
from slipway.throughput import Throughput, told

NEWEST_PARTS = 16
PART_TOKENS = 2_000  # in less than that, what a call costs beside its tokens shows
PROBE_ABOVE = 50_000  # tokens; less is embedded in about the time that loading the model and measuring would take
PROBE_CHUNKS = 64  # at least
PROBE_SHARE = 20  # of the planned chunks one is embedded for nothing but the speed, where a service takes many at once
WARM_UP_CHUNKS = 8
SERVICE = "service"  # the backend of vectors that were computed elsewhere
ROW_BYTES = 40  # of a vector's hash, beside its numbers


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens embedded in a second, and in words what that was taken from."""

    tokens_per_second: float
    measured: str

    def minutes(self, tokens: int) -> float:
        """Minutes to embed that many tokens."""
        return tokens / self.tokens_per_second / 60


ASSUMED = Speed(500.0, "assumed, as so little is not worth a measurement")


def recorded(
    parts: Sequence[Manifest], device: str, backend: str = "auto", *, by_service: bool = False
) -> Speed | None:
    """The median speed of an encoder's newest vector parts on one device by one backend, or None when no part tells.

    A part tells by its facts (slipway.throughput). `device` and `backend` are the collection's settings; for "auto"
    they are those of the newest part. `by_service`: the encoder has a service, which computes elsewhere whatever these
    settings are; only its parts tell then, and else none of them. Parts of few tokens do not count.
    """
    newest = sorted(parts, key=lambda part: (part.created_at, part.place), reverse=True)
    made = [took for part in newest if (took := told(part.facts)) and _tells(took, device, backend, by_service)]
    alike = [took for took in made if took.kind == made[0].kind][:NEWEST_PARTS]
    if not alike:
        return None
    speed = statistics.median(took.tokens / took.seconds for took in alike)
    parts_named = "newest vector part" if len(alike) == 1 else f"{len(alike)} newest vector parts"
    return Speed(speed, f"median of the {parts_named}, made on {alike[0].kind}")


def _tells(took: Throughput, device: str, backend: str, by_service: bool) -> bool:
    if (took.backend == SERVICE) != by_service or took.tokens < PART_TOKENS or took.seconds <= 0:
        return False
    return by_service or (device in ("auto", took.device.partition(":")[0]) and backend in ("auto", took.backend))


def probe_chunks(service: Service | None, planned: int) -> int:
    """How many of so many planned chunks to measure the speed on: of a service, what all its requests take at once."""
    at_once = service.texts * service.requests if service else 0
    return WARM_UP_CHUNKS + max(PROBE_CHUNKS, min(at_once, planned // PROBE_SHARE))


def probed(run: Run, sample: Sequence[tuple[str, int]]) -> Speed:
    """The speed measured on a sample of what is to be embedded: texts with their token counts.

    The first `WARM_UP_CHUNKS` are embedded before the clock runs. Loads the encoder. Raises `EncoderError`.
    """
    warm_up, timed = sample[:WARM_UP_CHUNKS], sample[WARM_UP_CHUNKS:]
    encoder = load_encoder(run.collection.encoder, run.collection.embed, secrets=run.secrets)
    encoder.encode_documents([text for text, _ in warm_up])
    began = time.perf_counter()
    encoder.encode_documents([text for text, _ in timed])
    seconds = max(time.perf_counter() - began, 1e-6)
    kind = encoder.device.partition(":")[0]
    where = "by a service" if kind == SERVICE else f"on {kind} by {encoder.backend}"
    measured = f"measured on {len(timed)} of the chunks, {where}"
    return Speed(sum(tokens for _, tokens in timed) / seconds, measured)


def vector_bytes(count: int, dimension: int) -> int:
    """Bytes that so many new vectors take in the store."""
    return count * (4 * dimension + ROW_BYTES)


def index_bytes(run: Run, encoder: str, vectors: int) -> int | None:
    """Bytes of an index over so many vectors, in proportion to the live release's.

    None when nothing is live, or what is live is of another encoder (fingerprint) or index spec.
    """
    live = read_serving(run.store)[0].live_release
    if live is None:
        return None
    release = read_release_manifest(run.store, live.release_id, live.manifest_sha256)
    before = str(release.facts["spec"]["factory"])
    index = run.collection.index  # a contract most likely leads to what it led to
    wanted = before if index.contract else resolve(index, vectors, run.collection.encoder.dimension).factory
    if (release.facts["encoder"], before) != (encoder, wanted):
        return None
    held = release.counts["vectors"]
    return release.counts["index_bytes"] * vectors // held if held else None
