"""The rules: states from evidence, identity, incarnations, and the rule of time."""

from __future__ import annotations

import pytest

from avirt.lifecycle.rules import (
    Entry,
    booted_beats_unpaused,
    is_active,
    is_other_incarnation,
    is_other_run,
    is_rebooted,
    is_told_twice,
    is_too_old,
    normalise,
    runtime_id,
)
from avirt.model.observation import Observation
from avirt.model.record import DomainRecord
from avirt.model.state import (
    CrashedReason,
    DomainState,
    NormalState,
    NostateReason,
    RunningReason,
    ShutoffReason,
    state_of,
)
from tests.avirt.lifecycle.lab import CRASHED, KEY, OFF, PAUSED, RUNNING

UNKNOWN = NormalState(DomainState.NOSTATE, NostateReason.UNKNOWN)
FUTURE = NormalState(state_of(42), NostateReason.UNKNOWN)


def record(
    status: NormalState, *, id: int | None = None, marker: int | None = None, active: bool = True
) -> DomainRecord:
    return DomainRecord(
        host="h", key=KEY, name="web", state=status.state, reason=status.reason, id=id, marker=marker, active=active
    )


@pytest.mark.parametrize(
    ("status", "active", "state", "reason"),
    [
        (None, False, DomainState.SHUTOFF, ShutoffReason.UNKNOWN),
        (None, True, DomainState.RUNNING, RunningReason.UNKNOWN),
        (RUNNING, False, DomainState.SHUTOFF, ShutoffReason.UNKNOWN),
        (PAUSED, False, DomainState.SHUTOFF, ShutoffReason.UNKNOWN),
        (UNKNOWN, False, DomainState.SHUTOFF, ShutoffReason.UNKNOWN),
        (OFF, False, DomainState.SHUTOFF, ShutoffReason.DESTROYED),
        (CRASHED, False, DomainState.CRASHED, CrashedReason.PANICKED),
        (UNKNOWN, True, DomainState.NOSTATE, NostateReason.UNKNOWN),
        (RUNNING, None, DomainState.RUNNING, RunningReason.BOOTED),
    ],
)
def test_state_follows_from_status_and_activity(
    status: NormalState | None, active: bool | None, state: DomainState, reason: object
) -> None:
    found = normalise(Observation(key=KEY, status=status, active=active), None)
    assert found is not None
    assert (found.state, found.reason) == (state, reason)


def test_evidence_without_status_and_activity_names_no_state() -> None:
    assert normalise(Observation(key=KEY, id=7), None) is None


def test_known_reason_is_kept_when_only_activity_is_said() -> None:
    off = normalise(Observation(key=KEY, active=False), record(OFF, active=False))
    on = normalise(Observation(key=KEY, active=True), record(RUNNING))
    other = normalise(Observation(key=KEY, active=True), record(OFF, active=False))
    assert [found and found.reason for found in (off, on, other)] == [
        ShutoffReason.DESTROYED,
        RunningReason.BOOTED,
        RunningReason.UNKNOWN,
    ]


@pytest.mark.parametrize(
    ("state", "said", "before", "active"),
    [
        (DomainState.RUNNING, None, None, True),
        (DomainState.SHUTOFF, True, None, False),
        (DomainState.CRASHED, True, None, True),
        (DomainState.CRASHED, False, None, False),
        (DomainState.CRASHED, None, None, False),
        (DomainState.CRASHED, None, record(RUNNING), True),
        (FUTURE.state, None, record(OFF, active=False), False),
    ],
)
def test_activity_follows_from_the_state_else_from_what_is_said_else_it_stays(
    state: DomainState, said: bool | None, before: DomainRecord | None, active: bool
) -> None:
    assert is_active(state, Observation(key=KEY, active=said, id=7), before) is active


def test_runtime_id_is_as_told_else_as_known_and_minus_one_is_none() -> None:
    assert runtime_id(Observation(key=KEY, id=0), None) == 0
    assert runtime_id(Observation(key=KEY, id=-1), record(RUNNING, id=3)) is None
    assert runtime_id(Observation(key=KEY), record(RUNNING, id=3)) == 3
    assert runtime_id(Observation(key=KEY), None) is None


@pytest.mark.parametrize(
    ("id", "marker", "other"),
    [(4, None, True), (3, None, False), (-1, None, False), (None, None, False), (None, 2, True), (3, 1, False)],
)
def test_other_incarnation_has_another_id_or_marker(id: int | None, marker: int | None, other: bool) -> None:
    seen = Observation(key=KEY, id=id, marker=marker)
    assert is_other_incarnation(seen, record(RUNNING, id=3, marker=1)) is other
    assert not is_other_incarnation(seen, record(RUNNING))
    assert is_other_run(seen, record(RUNNING, id=3)) is (id == 4)


def test_reboot_is_a_changed_marker_while_running_on_both_sides_unless_it_was_told() -> None:
    entry = Entry()
    seen = Observation(key=KEY, id=3, marker=2)
    before = record(RUNNING, id=3, marker=1)
    assert is_rebooted(entry, seen, before, DomainState.RUNNING, 100.0)
    assert not is_rebooted(entry, Observation(key=KEY, id=3), before, DomainState.RUNNING, 100.0)
    assert not is_rebooted(entry, seen, record(RUNNING, id=3), DomainState.RUNNING, 100.0)
    assert not is_rebooted(entry, seen, record(RUNNING, id=3, marker=2), DomainState.RUNNING, 100.0)
    assert not is_rebooted(entry, seen, before, DomainState.PAUSED, 100.0)
    assert not is_rebooted(entry, seen, record(PAUSED, id=3, marker=1), DomainState.RUNNING, 100.0)
    entry.rebooted_at, entry.rebooted_id = 99.0, 3
    assert not is_rebooted(entry, seen, before, DomainState.RUNNING, 100.0)
    entry.rebooted_at, entry.marker_due = None, True
    assert not is_rebooted(entry, seen, before, DomainState.RUNNING, 100.0)


def test_reboot_is_told_twice_within_two_seconds_under_the_same_id_only() -> None:
    entry = Entry()
    assert not is_told_twice(entry, 3, 100.0)
    entry.rebooted_at, entry.rebooted_id = 99.0, 3
    assert is_told_twice(entry, 3, 100.0)
    assert not is_told_twice(entry, 4, 100.0)
    assert not is_told_twice(entry, 3, 101.0)


def test_read_is_too_old_if_an_event_or_a_later_read_came_first() -> None:
    entry = Entry()
    entry.last_event, entry.last_read = 5, 3
    assert [is_too_old(entry, asked) for asked in (4, 5, 6)] == [True, False, False]
    entry.last_read = 6
    assert [is_too_old(entry, asked) for asked in (5, 6)] == [True, False]


def test_booted_beats_unpaused_and_nothing_else() -> None:
    assert booted_beats_unpaused(RunningReason.BOOTED, RunningReason.UNPAUSED)
    assert not booted_beats_unpaused(RunningReason.UNPAUSED, RunningReason.BOOTED)
    assert not booted_beats_unpaused(RunningReason.BOOTED, RunningReason.MIGRATED)


def test_buried_entry_keeps_its_counts_and_a_new_connection_forgets_them() -> None:
    entry = Entry()
    entry.last_event, entry.last_read, entry.started = 5, 3, True
    entry.bury()
    assert (entry.last_event, entry.last_read, entry.removed, entry.started) == (5, 3, True, False)
    entry.restart()
    assert (entry.last_event, entry.last_read) == (0, 0)
