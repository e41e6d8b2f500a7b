"""The tables of steps and transitions are total, and say what they should."""

from __future__ import annotations

import pytest

from avirt.lifecycle.transitions import COMPLETE, PASSING, STEPS, Legality, legality
from avirt.model.state import DomainState, Transition, state_of

S = DomainState


def test_table_of_steps_is_total_over_all_pairs_of_states() -> None:
    assert set(STEPS) == {(before, after) for before in S for after in S}
    assert all(STEPS[state, state] is Legality.LEGAL for state in S)


def test_steps_that_are_not_legal_are_these() -> None:
    assert {pair: step for pair, step in STEPS.items() if step is not Legality.LEGAL} == {
        (S.SHUTOFF, S.SHUTDOWN): Legality.STARTED_MISSING,
        (S.SHUTOFF, S.CRASHED): Legality.STARTED_MISSING,
        (S.SHUTOFF, S.PMSUSPENDED): Legality.STARTED_MISSING,
        (S.SHUTDOWN, S.RUNNING): Legality.STOPPED_MISSING,
        (S.SHUTDOWN, S.BLOCKED): Legality.STOPPED_MISSING,
        (S.SHUTDOWN, S.PMSUSPENDED): Legality.ILLEGAL,
        (S.PAUSED, S.PMSUSPENDED): Legality.ILLEGAL,
        (S.CRASHED, S.PMSUSPENDED): Legality.ILLEGAL,
    }


@pytest.mark.parametrize("pair", [(S.RUNNING, state_of(42)), (state_of(42), S.PMSUSPENDED)])
def test_every_step_is_possible_with_a_state_of_the_future(pair: tuple[DomainState, DomainState]) -> None:
    assert legality(*pair) is Legality.LEGAL
    assert legality(S.SHUTOFF, S.SHUTDOWN) is Legality.STARTED_MISSING


def test_tables_of_transitions_are_total_and_disjoint() -> None:
    assert set(PASSING) == set(COMPLETE) == set(Transition)
    for transition in Transition:
        assert not PASSING[transition] & COMPLETE[transition] - {S.PAUSED}, transition
