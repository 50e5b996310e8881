"""The release protocol as a state machine that hypothesis drives: several actors, one store that goes wrong."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, get_state_machine_test, invariant, rule

from slipway import layout
from tests.support.actors import CANDIDATES, SHARES, Collection, assert_sound
from tests.support.faulty_store import Event, Fault, Overtaken

Action = tuple[Any, ...]
Script = dict[int, Event]
STEPS = 25
CALLS = 60  # faults befall one of the first so many calls of an action; a release makes about fifty

_NUMBERS = st.integers(0, 7)
ACTIONS = st.one_of(
    st.tuples(st.just("begin"), st.integers(0, CANDIDATES - 1), st.sampled_from([[], [], SHARES])),
    st.tuples(st.just("release"), _NUMBERS),
    st.tuples(st.just("roll_back"), st.none() | _NUMBERS),
    st.tuples(st.just("retain")),
    st.tuples(st.just("refresh")),
)
PLACES = st.integers(0, 5) | st.integers(0, CALLS - 1)
FAULTS = st.dictionaries(PLACES, st.sampled_from(Fault), min_size=1, max_size=4)
BURSTS = st.builds(
    lambda first, length: dict.fromkeys(range(first, first + length), Fault.FAILED), PLACES, st.integers(2, 6)
)
SCRIPTS = st.one_of(FAULTS, FAULTS, BURSTS, st.just({}))
CONDITIONAL = st.dictionaries(st.integers(0, 6), st.sampled_from(Fault), max_size=2)
_scratch = Path(tempfile.gettempdir())


class ReleaseProtocol(RuleBasedStateMachine):
    """What actors do, one after the other or one in the middle of another, and what is checked after each."""

    finished = 0
    """Sequences that ran to their end, in this process."""

    def __init__(self) -> None:
        super().__init__()
        self.collection = Collection(_scratch)

    @rule(candidate=st.integers(0, CANDIDATES - 1), shares=st.sampled_from([[], SHARES]))
    def a_night(self, candidate: int, shares: list[int]) -> None:
        """A run that nothing befalls: without it, few sequences have much to lose."""
        self._act(("begin", candidate, shares), {})
        self._act(("release", len(self.collection.nights) - 1), {})

    @rule(action=ACTIONS, script=SCRIPTS)
    def one_acts(self, action: Action, script: Script) -> None:
        """An actor acts on a store that goes wrong."""
        self._act(action, script)

    @rule(action=ACTIONS, conditional=CONDITIONAL)
    def one_swaps(self, action: Action, conditional: Script) -> None:
        """An actor acts, and its conditional writes go wrong."""
        self._act(action, {}, conditional)

    @rule(action=ACTIONS, other=ACTIONS, at=PLACES, script=SCRIPTS)
    def one_acts_in_the_middle_of_another(self, action: Action, other: Action, at: int, script: Script) -> None:
        """Before one actor's call, another does all of its own."""
        if _exclude_each_other(action, other):
            return
        self._act(action, {**script, at: lambda: self._act(other, {})})

    @rule(action=ACTIONS, other=ACTIONS, at=st.integers(0, 6), conditional=CONDITIONAL)
    def one_swaps_just_after_another(self, action: Action, other: Action, at: int, conditional: Script) -> None:
        """Before one actor's conditional write, which it has read for, another does all of its own."""
        if _exclude_each_other(action, other):
            return
        self._act(action, {}, {**conditional, at: lambda: self._act(other, {})})

    @rule(action=ACTIONS, other=ACTIONS, at=st.integers(0, 6))
    def one_is_overtaken(self, action: Action, other: Action, at: int) -> None:
        """One actor's conditional write lands, its reply is lost, and another goes on before it can look."""
        if _exclude_each_other(action, other):
            return
        self._act(action, {}, {at: Overtaken(lambda: self._act(other, {}))})

    @rule(number=_NUMBERS)
    def a_write_arrives_late(self, number: int) -> None:
        """What was held on its way arrives after all."""
        self.collection.world.land(number)

    @rule(number=_NUMBERS)
    def a_retained_release_loses_an_object(self, number: int) -> None:
        """Nothing may name it afterwards, unless it is made whole again."""
        self.collection.lose(number)

    @invariant()
    def all_is_sound(self) -> None:
        """See tests.support.actors."""
        assert_sound(self.collection)

    def teardown(self) -> None:
        """Count the sequence."""
        ReleaseProtocol.finished += 1

    def _act(self, action: Action, script: Script, conditional: Script | None = None) -> None:
        name, *arguments = action
        method: Callable[..., None] = getattr(self.collection, name)
        store = self.collection.world.view(script, conditional)
        refused = self.collection.act(lambda: method(store, *arguments))
        if refused and "nothing was changed by this" in refused:
            assert layout.SERVING not in store.overtaken, f"{name} was told that it changed nothing, but it did"


def _exclude_each_other(action: Action, other: Action) -> bool:
    """Retention holds the collection's lease, and one reader looks once at a time."""
    return bool(action[0] == other[0] and action[0] in ("retain", "refresh"))


def run_sequences(count: int, drawn_with: int, scratch: Path, *, shrink: bool = True) -> None:
    """Run so many sequences. Raises what a sequence found, with the shortest that finds it (`shrink`) in its notes."""
    global _scratch
    _scratch = scratch
    asked = settings(
        max_examples=count,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        derandomize=False,
        phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
        suppress_health_check=list(HealthCheck),
        print_blob=False,
        report_multiple_bugs=False,
    )
    seed(drawn_with)(get_state_machine_test(ReleaseProtocol, settings=asked))()
