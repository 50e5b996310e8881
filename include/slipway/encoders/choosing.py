"""Which backend computes an encoder's vectors here: the fastest that is possible and makes the same vectors.

It is found out once a machine, by building each candidate, comparing it with sentence-transformers on the probe texts,
and timing it; later processes build what was chosen, and compare it again with the vectors that were remembered.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from slipway.encoders import openvino, parity, remembered
from slipway.encoders.base import Unsuitable
from slipway.encoders.candidates import REFERENCE, Candidate, Wanted, Workbench
from slipway.encoders.model import Model
from slipway.errors import EncoderError

if TYPE_CHECKING:
    from slipway.encoders.base import TextEncoder
    from slipway.run import Secrets

logger = logging.getLogger("slipway")

_choices: WeakKeyDictionary[TextEncoder, Choice] = WeakKeyDictionary()

_ROUNDS = 2
_PATIENCE = 60  # seconds after which no further round is begun: a large model's differ little
_TIE = 1.1  # times as long: two rounds tell no less apart, and of equals the first has less to load
_TEXTS = 86  # for each core: two batches of OpenVINO, which computes one on a core where torch shares one out to all


@dataclass(frozen=True, slots=True)
class Choice:
    """A backend, its least cosine to sentence-transformers on the probes, its speed, and what the others came to.

    The cosine is None where there was no sentence-transformers to compare with.
    """

    backend: str
    device: str
    dtype: str
    cosine: float | None
    tokens_per_second: float | None = None
    others: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        speed = f", {self.tokens_per_second:,.0f} tokens/s" if self.tokens_per_second else ""
        others = "".join(f"; {name}: {came_to}" for name, came_to in self.others.items())
        return f"{self._candidate} on {self.device}{speed}, {self._same}{others}"

    @property
    def _same(self) -> str:
        if self._candidate == REFERENCE:
            return "the reference itself"
        return "compared with nothing" if self.cosine is None else f"cosine {self.cosine:.7f} to the reference"

    @property
    def _candidate(self) -> Candidate:
        return Candidate(self.backend, self.dtype)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A loaded encoder, and why it is this one."""

    encoder: TextEncoder
    choice: Choice


def choose(model: Model, wanted: Wanted) -> TextEncoder:
    """The encoder, loaded. Raises `EncoderError` when nothing that is wanted is possible here."""
    bench = Workbench(model, wanted)
    if bench.candidates() == [REFERENCE]:  # there is nothing to find out
        found = _built(bench, REFERENCE)
    else:
        found = _found_out(model, wanted)
    logger.info("encoder %s: %s", model.encoder.name, found.choice)
    _choices[found.encoder] = found.choice
    return found.encoder


def serve(model: Model, secrets: Secrets | None) -> TextEncoder:
    """The encoder's service, compared with the model's weights or with what it was at first (service.verify).

    Raises `EncoderError`, `ServiceDenied` and `ServiceUnreachable`.
    """
    try:
        from slipway.encoders.service import ServiceEncoder
    except ImportError as error:
        raise EncoderError(
            f"encoder {model.encoder.name}: its service cannot be asked from here ({error}); install httpx, "
            f'which pip install "slipway[text]" brings, or search by vector'
        ) from error
    encoder = ServiceEncoder(model, secrets)
    if not model.encoder.is_first_use:
        expected = parity.reference(model, lambda: Workbench(model, Wanted()).reference)
        cosine = parity.check(encoder, model, expected, parity.LEAST_SERVED)
        _choices[encoder] = Choice(encoder.backend, encoder.device, "of its own", cosine)
        logger.info("encoder %s: %s", model.encoder.name, _choices[encoder])
    else:
        cosine = parity.check_unchanged(encoder, model)
        logger.info(
            "encoder %s: its service makes the vectors that it made when it was first used here (cosine %.7f); what "
            "they should be is not known, as it is not compared with the model's weights (service.verify)",
            model.encoder.name,
            cosine,
        )
    return encoder


def choice_of(encoder: TextEncoder) -> Choice | None:
    """Why `choose` gave this encoder; None for one that came from elsewhere."""
    return _choices.get(encoder)


def _found_out(model: Model, wanted: Wanted) -> Chosen:
    path = remembered.place(model.fingerprint, f"choice-{_key(model, wanted)}.json")
    found = _again(model, wanted, path)
    if found is None:
        with remembered.one_at_a_time(model.fingerprint):
            found = _again(model, wanted, path)  # another process may have been first
            if found is None:
                found, is_lasting = _decide(model, wanted)
                if is_lasting:
                    body = json.dumps(asdict(found.choice), indent=1).encode()
                    remembered.keep(path, lambda file: file.write(body))
                    remembered.tidy(model.fingerprint)
    return found


def _key(model: Model, wanted: Wanted) -> str:
    asked = [wanted.device, wanted.backend, wanted.dtype]
    limits = [parity.LEAST, parity.LEAST_ASKED_FOR]
    made = [openvino.CONVERSION, _TIE, _TEXTS, *limits]
    return remembered.key("choice", asked, made, parity.probes(model), remembered.versions(), remembered.machine())


def _again(model: Model, wanted: Wanted, path: Path) -> Chosen | None:
    """What was chosen before, built and compared once more; None when there is nothing, or it does not do any more."""
    try:
        choice = Choice(**json.loads(path.read_bytes()))
        bench, candidate = Workbench(model, wanted), Candidate(choice.backend, choice.dtype)
        if candidate not in bench.candidates():
            raise ValueError(f"{candidate} is none of what is possible here")
        encoder = bench.build(candidate)
        cosine = bench.check(candidate, encoder)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError, EncoderError) as error:
        logger.warning("encoder %s: what %s says is not taken: %s", model.encoder.name, path, error)
        return None
    remembered.used(path)
    return Chosen(encoder, replace(choice, device=encoder.device, cosine=cosine))


def _decide(model: Model, wanted: Wanted) -> tuple[Chosen, bool]:
    """The best of what is possible now, and whether it stays that: not if something failed that may work next time.

    Where nothing can be remembered it is the first that is possible, as each process would pay for the others.
    """
    bench = Workbench(model, wanted)
    candidates = bench.candidates()
    if bench.is_comparable:
        parity.reference(model, lambda: bench.reference)  # without it nothing can be compared, whatever is possible
    can_keep = remembered.can_keep(model.fingerprint)
    built: dict[Candidate, Chosen] = {}
    others: dict[str, str] = {}
    errors: list[EncoderError] = []
    for candidate in candidates:
        if any(candidate.backend == one.backend for one in built) or (built and candidate == REFERENCE):
            continue  # the same in wider numbers, or in batches that never are faster
        if built and not can_keep:
            break
        try:
            built[candidate] = _built(bench, candidate)
        except EncoderError as error:
            logger.warning("encoder %s: %s is not taken: %s", model.encoder.name, candidate, error)
            others[str(candidate)] = str(error)
            errors.append(error)
    if not built:
        raise _impossible(model, wanted, errors)
    return _fastest(model, built, others), all(isinstance(error, Unsuitable) for error in errors)


def _built(bench: Workbench, candidate: Candidate) -> Chosen:
    encoder = bench.build(candidate)
    cosine = bench.check(candidate, encoder)
    return Chosen(encoder, Choice(candidate.backend, encoder.device, candidate.dtype, cosine))


def _impossible(model: Model, wanted: Wanted, errors: list[EncoderError]) -> EncoderError:
    if len(errors) == 1:
        return errors[0]
    reasons = "; ".join(str(error) for error in errors) or f"no backend has {wanted.dtype} on {wanted.device} for it"
    return EncoderError(f"encoder {model.encoder.name}: backend {wanted.backend} cannot compute it here: {reasons}")


def _fastest(model: Model, built: dict[Candidate, Chosen], others: dict[str, str]) -> Chosen:
    """The fastest of what was built, timed round by round so that a busy moment hits all; of equals the first.

    One alone is not timed.
    """
    if len(built) == 1:
        only = next(iter(built.values()))
        return Chosen(only.encoder, replace(only.choice, others=others))
    texts = _timed(_TEXTS * remembered.cores())
    tokens = sum(len(one) for one in model.tokenizer().encode_batch(texts))
    seconds = dict.fromkeys(built, float("inf"))
    started = time.perf_counter()
    for number in range(_ROUNDS):
        if number and time.perf_counter() - started > _PATIENCE:
            break
        for candidate, chosen in built.items():
            began = time.perf_counter()
            chosen.encoder.encode_documents(texts)
            seconds[candidate] = min(seconds[candidate], time.perf_counter() - began)
    best = next(candidate for candidate in built if seconds[candidate] <= min(seconds.values()) * _TIE)
    slower = {str(one): f"{tokens / seconds[one]:,.0f} tokens/s" for one in built if one != best}
    choice = replace(built[best].choice, tokens_per_second=tokens / seconds[best], others=slower | others)
    return Chosen(built[best].encoder, choice)


def _timed(count: int) -> list[str]:
    """Texts of about 47 tokens each."""
    return [
        f"Text {number} is as long as a passage of documentation often is; it says what a function takes, what it "
        f"returns, and which of its {number + 2} arguments may be left out when the caller wants no more than usual."
        for number in range(count)
    ]
