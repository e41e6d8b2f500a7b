"""What QEMU's words mean: every row of reference/drivers.md §1, and every word that a real QEMU has."""

from __future__ import annotations

import pytest

from avirt.drivers.qemu.states import (
    PASSING,
    SHUTOFF_REASONS,
    STATES,
    GuestPanicAction,
    JobStatus,
    JobType,
    MigrationStatus,
    RunState,
    ShutdownCause,
    WatchdogAction,
    meaning,
    shutoff_reason,
)
from avirt.drivers.wire.open_enum import OpenStrEnum
from avirt.model.state import (
    CrashedReason,
    DomainState,
    NormalState,
    NostateReason,
    PausedReason,
    PMSuspendedReason,
    Reason,
    RunningReason,
    ShutdownReason,
    ShutoffReason,
    Transition,
)
from tests.drivers.qemu.golden import SCHEMA

ENUMS: list[type[OpenStrEnum]] = [
    RunState,
    ShutdownCause,
    JobStatus,
    JobType,
    MigrationStatus,
    GuestPanicAction,
    WatchdogAction,
]
NEWER = {MigrationStatus.POSTCOPY_RECOVER_SETUP, MigrationStatus.POSTCOPY_DEVICE}  # since 9.1 and 10.2


@pytest.mark.parametrize("enum", ENUMS, ids=lambda enum: enum.__name__)
def test_enumeration_has_the_words_of_a_real_qemu(enum: type[OpenStrEnum]) -> None:
    """Those of 7.2, and what came since."""
    assert set(enum) - NEWER == set(SCHEMA["enums"][enum.__name__])


@pytest.mark.parametrize("enum", ENUMS, ids=lambda enum: enum.__name__)
def test_enumeration_unknown_word_is_kept(enum: type[OpenStrEnum]) -> None:
    """A newer QEMU may say anything."""
    assert enum("from-the-future") == "from-the-future"


@pytest.mark.parametrize(
    ("status", "state", "reason", "transition"),
    [
        ("running", DomainState.RUNNING, RunningReason.UNKNOWN, None),
        ("paused", DomainState.PAUSED, PausedReason.USER, None),
        ("prelaunch", DomainState.PAUSED, PausedReason.STARTING_UP, None),
        ("inmigrate", DomainState.PAUSED, PausedReason.MIGRATION, Transition.MIGRATING),
        ("finish-migrate", DomainState.PAUSED, PausedReason.MIGRATION, Transition.MIGRATING),
        ("postmigrate", DomainState.PAUSED, PausedReason.MIGRATION, None),
        ("restore-vm", DomainState.PAUSED, PausedReason.FROM_SNAPSHOT, Transition.RESTORING),
        ("save-vm", DomainState.PAUSED, PausedReason.SAVE, Transition.SAVING),
        ("io-error", DomainState.PAUSED, PausedReason.IOERROR, None),
        ("watchdog", DomainState.PAUSED, PausedReason.WATCHDOG, None),
        ("guest-panicked", DomainState.CRASHED, CrashedReason.PANICKED, None),
        ("internal-error", DomainState.CRASHED, CrashedReason.UNKNOWN, None),
        ("shutdown", DomainState.SHUTDOWN, ShutdownReason.UNKNOWN, Transition.STOPPING),
        ("suspended", DomainState.PMSUSPENDED, PMSuspendedReason.UNKNOWN, None),
        ("debug", DomainState.PAUSED, PausedReason.UNKNOWN, None),
        ("colo", DomainState.PAUSED, PausedReason.MIGRATION, None),
    ],
)
@pytest.mark.parametrize("running", [True, False, None])
def test_run_state_means(
    status: str, state: DomainState, reason: Reason, transition: Transition | None, running: bool | None
) -> None:
    """As the reference's table says, whatever `running` is: "suspended" has true in some versions."""
    assert meaning(status, running) == NormalState(state, reason, transition)


@pytest.mark.parametrize(
    ("running", "state", "reason"),
    [
        (True, DomainState.RUNNING, RunningReason.UNKNOWN),
        (False, DomainState.PAUSED, PausedReason.UNKNOWN),
        (None, DomainState.NOSTATE, NostateReason.UNKNOWN),
    ],
)
def test_run_state_of_the_future_is_what_its_cpus_do(running: bool | None, state: DomainState, reason: Reason) -> None:
    """Total: it answers, so it is not off."""
    assert meaning("from-the-future", running) == NormalState(state, reason)


def test_run_states_are_total() -> None:
    """Each has its row, and those that pass by themselves are among them."""
    assert STATES.keys() == set(RunState)
    assert {"inmigrate", "finish-migrate", "restore-vm", "save-vm"} == PASSING


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        ("none", ShutoffReason.UNKNOWN),
        ("host-error", ShutoffReason.CRASHED),
        ("host-qmp-quit", ShutoffReason.DESTROYED),
        ("host-qmp-system-reset", ShutoffReason.DESTROYED),
        ("host-signal", ShutoffReason.DESTROYED),
        ("host-ui", ShutoffReason.SHUTDOWN),
        ("guest-shutdown", ShutoffReason.SHUTDOWN),
        ("guest-reset", ShutoffReason.SHUTDOWN),
        ("guest-panic", ShutoffReason.CRASHED),
        ("subsystem-reset", ShutoffReason.UNKNOWN),
        ("snapshot-load", ShutoffReason.UNKNOWN),
        ("from-the-future", ShutoffReason.UNKNOWN),
    ],
)
def test_shutdown_cause_is_why_it_is_off(cause: str, reason: ShutoffReason) -> None:
    """As the reference says; a cause nobody knew yet says nothing."""
    assert shutoff_reason(ShutdownCause(cause)) is reason


def test_shutdown_causes_are_total() -> None:
    """Each has its row."""
    assert SHUTOFF_REASONS.keys() == set(ShutdownCause)
