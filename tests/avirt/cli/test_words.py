"""Words of the table output are virsh's."""

from __future__ import annotations

import msgspec
import pytest

from avirt.cli.words import SAID, STATES, id_cell, parse_state, reason_words, state_cell, state_words
from avirt.model.command import Verb
from avirt.model.document import state_name
from avirt.model.record import Certainty, DomainRecord, Key
from avirt.model.state import (
    CrashedReason,
    DomainState,
    PausedReason,
    RunningReason,
    ShutdownReason,
    ShutoffReason,
    Transition,
)

RECORD = DomainRecord(
    host="h", key=Key(bytes(16)), name="n", state=DomainState.RUNNING, reason=RunningReason.BOOTED, id=3
)


def test_states_are_virshs_words() -> None:
    # virsh 9.0.0, virshDomainState
    words = ["no state", "running", "idle", "paused", "in shutdown", "shut off", "crashed", "pmsuspended"]
    assert [state_words(DomainState(number)) for number in range(8)] == words
    assert state_words(DomainState(99)) == "unknown 99"


@pytest.mark.parametrize(
    ("reasons", "words"),
    [
        # virsh 9.0.0, virshDomain*Reason
        (
            RunningReason,
            (
                "unknown|booted|migrated|restored|from snapshot|unpaused|migration canceled|save canceled|event wakeup|"
                "crashed|post-copy|post-copy failed"
            ),
        ),
        (
            PausedReason,
            (
                "unknown|user|migrating|saving|dumping|I/O error|watchdog|from snapshot|shutting down|creating "
                "snapshot|crashed|starting up|post-copy|post-copy failed"
            ),
        ),
        (ShutdownReason, "unknown|user"),
        (ShutoffReason, "unknown|shutdown|destroyed|crashed|migrated|saved|failed|from snapshot|daemon"),
        (CrashedReason, "unknown|panicked"),
    ],
)
def test_reasons_are_virshs_words(reasons: type[RunningReason], words: str) -> None:
    for number, expected in enumerate(words.split("|")):
        assert reason_words(reasons(number)) == expected


@pytest.mark.parametrize("state", STATES)
def test_a_state_is_read_by_name_and_by_words(state: DomainState) -> None:
    for text in (
        state_name(state),
        state_words(state),
        state_words(state).upper(),
        state_words(state).replace(" ", "_"),
    ):
        assert parse_state(text) is state


def test_an_unknown_state_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown state 'off', expecting nostate, running"):
        parse_state("off")


def test_state_column_says_what_is_under_way_and_what_is_uncertain() -> None:
    assert state_cell(RECORD) == "running"
    moving = msgspec.structs.replace(RECORD, transition=Transition.STOPPING)
    assert state_cell(moving) == "running (stopping)"
    assert state_cell(msgspec.structs.replace(moving, certainty=Certainty.STALE)) == "running (stopping, stale)"


def test_id_column_of_an_inactive_domain_is_a_dash() -> None:
    assert id_cell(RECORD) == "3"
    assert id_cell(msgspec.structs.replace(RECORD, id=None)) == "-"


def test_every_verb_says_something() -> None:
    assert SAID.keys() == set(Verb)
    for said in SAID.values():
        for text in (said.done, said.already, said.accepted):
            text.format(name="n", path="p")
