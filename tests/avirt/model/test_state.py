"""States and reasons: libvirt's names and numbers; unknown numbers are kept."""

from __future__ import annotations

from avirt.model.state import (
    REASONS,
    DomainState,
    NostateReason,
    PausedReason,
    RunningReason,
    ShutoffReason,
    reason_of,
    state_of,
)


def test_state_numbers_are_libvirts() -> None:
    assert [(s.name, int(s)) for s in DomainState] == [
        ("NOSTATE", 0), ("RUNNING", 1), ("BLOCKED", 2), ("PAUSED", 3), ("SHUTDOWN", 4), ("SHUTOFF", 5), ("CRASHED", 6),
        ("PMSUSPENDED", 7),
    ]  # fmt: skip
    assert set(REASONS) == set(DomainState)


def test_reason_belongs_to_its_state() -> None:
    assert reason_of(1, 5) is RunningReason.UNPAUSED
    assert reason_of(3, 5) is PausedReason.IOERROR
    assert reason_of(5, 5) is ShutoffReason.SAVED


def test_unknown_numbers_are_kept() -> None:
    assert (int(state_of(42)), state_of(42).name) == (42, "UNKNOWN_42")
    reason = reason_of(1, 99)
    assert isinstance(reason, RunningReason)
    assert (int(reason), reason.name) == (99, "UNKNOWN_99")
    assert isinstance(reason_of(42, 1), NostateReason)
    assert state_of(42) == state_of(42)
    assert hash(state_of(42)) == hash(state_of(42))
