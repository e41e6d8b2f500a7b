"""What QEMU's run states mean, and the words of its other enumerations. Pure.

Whoever answers `query-status` has a live process, so each run state is a state of an active domain; SHUTOFF is what an
ended connection means (`observe.py`). Words that a newer QEMU may add are kept. Rows follow reference/drivers.md §1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

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

__all__ = [
    "PASSING",
    "SHUTOFF_REASONS",
    "STATES",
    "GuestPanicAction",
    "JobStatus",
    "JobType",
    "MigrationStatus",
    "RunState",
    "ShutdownCause",
    "WatchdogAction",
    "meaning",
    "shutoff_reason",
]


class RunState(OpenStrEnum):
    """qapi/run-state.json, RunState."""

    DEBUG = "debug"
    INMIGRATE = "inmigrate"
    INTERNAL_ERROR = "internal-error"
    IO_ERROR = "io-error"
    PAUSED = "paused"
    POSTMIGRATE = "postmigrate"
    PRELAUNCH = "prelaunch"
    FINISH_MIGRATE = "finish-migrate"
    RESTORE_VM = "restore-vm"
    RUNNING = "running"
    SAVE_VM = "save-vm"
    SHUTDOWN = "shutdown"
    SUSPENDED = "suspended"
    WATCHDOG = "watchdog"
    GUEST_PANICKED = "guest-panicked"
    COLO = "colo"


class ShutdownCause(OpenStrEnum):
    """qapi/run-state.json, ShutdownCause: why SHUTDOWN and RESET."""

    NONE = "none"
    HOST_ERROR = "host-error"
    HOST_QMP_QUIT = "host-qmp-quit"
    HOST_QMP_SYSTEM_RESET = "host-qmp-system-reset"
    HOST_SIGNAL = "host-signal"
    HOST_UI = "host-ui"
    GUEST_SHUTDOWN = "guest-shutdown"
    GUEST_RESET = "guest-reset"
    GUEST_PANIC = "guest-panic"
    SUBSYSTEM_RESET = "subsystem-reset"
    SNAPSHOT_LOAD = "snapshot-load"


class JobStatus(OpenStrEnum):
    """qapi/job.json, JobStatus. A job is done at CONCLUDED: `query-jobs` has its error until it is dismissed."""

    UNDEFINED = "undefined"
    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    READY = "ready"
    STANDBY = "standby"
    WAITING = "waiting"
    PENDING = "pending"
    ABORTING = "aborting"
    CONCLUDED = "concluded"
    NULL = "null"


class JobType(OpenStrEnum):
    """qapi/job.json, JobType."""

    COMMIT = "commit"
    STREAM = "stream"
    MIRROR = "mirror"
    BACKUP = "backup"
    CREATE = "create"
    AMEND = "amend"
    SNAPSHOT_LOAD = "snapshot-load"
    SNAPSHOT_SAVE = "snapshot-save"
    SNAPSHOT_DELETE = "snapshot-delete"


class MigrationStatus(OpenStrEnum):
    """qapi/migration.json, MigrationStatus."""

    NONE = "none"
    SETUP = "setup"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    ACTIVE = "active"
    POSTCOPY_DEVICE = "postcopy-device"
    POSTCOPY_ACTIVE = "postcopy-active"
    POSTCOPY_PAUSED = "postcopy-paused"
    POSTCOPY_RECOVER_SETUP = "postcopy-recover-setup"
    POSTCOPY_RECOVER = "postcopy-recover"
    COMPLETED = "completed"
    FAILED = "failed"
    COLO = "colo"
    PRE_SWITCHOVER = "pre-switchover"
    DEVICE = "device"
    WAIT_UNPLUG = "wait-unplug"


class GuestPanicAction(OpenStrEnum):
    """qapi/run-state.json, GuestPanicAction: what QEMU does about a panic."""

    PAUSE = "pause"
    POWEROFF = "poweroff"
    RUN = "run"


class WatchdogAction(OpenStrEnum):
    """qapi/run-state.json, WatchdogAction: what QEMU does when the watchdog fires."""

    RESET = "reset"
    SHUTDOWN = "shutdown"
    """Presses the power button: POWERDOWN follows, not SHUTDOWN (seen on 7.2)."""
    POWEROFF = "poweroff"
    """Exits at once: no SHUTDOWN follows (seen on 7.2)."""
    PAUSE = "pause"
    DEBUG = "debug"
    """Prints a line; the guest runs on (seen on 7.2)."""
    NONE = "none"
    INJECT_NMI = "inject-nmi"


def _paused(reason: PausedReason, transition: Transition | None = None) -> NormalState:
    return NormalState(DomainState.PAUSED, reason, transition)


STATES: Final[Mapping[RunState, NormalState]] = {
    # qapi/run-state.json, RunState; reference/drivers.md §1, "Native state → normalised state"
    RunState.RUNNING: NormalState(DomainState.RUNNING, RunningReason.UNKNOWN),
    RunState.PAUSED: _paused(PausedReason.USER),
    RunState.PRELAUNCH: _paused(PausedReason.STARTING_UP),  # -S, or reset while held; libvirt: PAUSED(USER)
    RunState.INMIGRATE: _paused(PausedReason.MIGRATION, Transition.MIGRATING),
    RunState.FINISH_MIGRATE: _paused(PausedReason.MIGRATION, Transition.MIGRATING),
    RunState.POSTMIGRATE: _paused(PausedReason.MIGRATION),  # the source, afterwards: nothing goes on here
    RunState.RESTORE_VM: _paused(PausedReason.FROM_SNAPSHOT, Transition.RESTORING),  # libvirt: PAUSED(UNKNOWN)
    RunState.SAVE_VM: _paused(PausedReason.SAVE, Transition.SAVING),  # a dump is held by it, too
    RunState.IO_ERROR: _paused(PausedReason.IOERROR),
    RunState.WATCHDOG: _paused(PausedReason.WATCHDOG),
    # the process is there; libvirt: PAUSED(CRASHED) after a reconnect
    RunState.GUEST_PANICKED: NormalState(DomainState.CRASHED, CrashedReason.PANICKED),
    RunState.INTERNAL_ERROR: NormalState(DomainState.CRASHED, CrashedReason.UNKNOWN),  # libvirt: PAUSED(UNKNOWN)
    # off, the process is kept by -no-shutdown; libvirt: PAUSED(SHUTTING_DOWN)
    RunState.SHUTDOWN: NormalState(DomainState.SHUTDOWN, ShutdownReason.UNKNOWN, Transition.STOPPING),
    RunState.SUSPENDED: NormalState(DomainState.PMSUSPENDED, PMSuspendedReason.UNKNOWN),
    RunState.DEBUG: _paused(PausedReason.UNKNOWN),  # held by the gdb stub
    RunState.COLO: _paused(PausedReason.MIGRATION),
}
"""What each run state means by itself; what led to it may say more (`observe.py`)."""

PASSING: Final = frozenset({RunState.INMIGRATE, RunState.FINISH_MIGRATE, RunState.RESTORE_VM, RunState.SAVE_VM})
"""QEMU leaves these by itself, and not always with an event: finish-migrate → postmigrate has none, inmigrate → paused
neither (seen on 7.2; MIGRATION comes only where someone turned it on)."""

SHUTOFF_REASONS: Final[Mapping[ShutdownCause, ShutoffReason]] = {
    # qapi/run-state.json, ShutdownCause
    ShutdownCause.NONE: ShutoffReason.UNKNOWN,
    ShutdownCause.HOST_ERROR: ShutoffReason.CRASHED,
    ShutdownCause.HOST_QMP_QUIT: ShutoffReason.DESTROYED,
    ShutdownCause.HOST_QMP_SYSTEM_RESET: ShutoffReason.DESTROYED,  # `system_reset` with -no-reboot (seen on 7.2)
    ShutdownCause.HOST_SIGNAL: ShutoffReason.DESTROYED,
    ShutdownCause.HOST_UI: ShutoffReason.SHUTDOWN,
    ShutdownCause.GUEST_SHUTDOWN: ShutoffReason.SHUTDOWN,
    ShutdownCause.GUEST_RESET: ShutoffReason.SHUTDOWN,  # a reboot with -no-reboot
    ShutdownCause.GUEST_PANIC: ShutoffReason.CRASHED,
    ShutdownCause.SUBSYSTEM_RESET: ShutoffReason.UNKNOWN,  # these two never come by QMP
    ShutdownCause.SNAPSHOT_LOAD: ShutoffReason.UNKNOWN,
}


def meaning(status: str, running: bool | None = None) -> NormalState:
    """What a reply of `query-status` means. A state nobody knew yet is what `running` says of its CPUs, if anything."""
    known = STATES.get(RunState(status))
    if known is not None:
        return known
    reason: Reason
    if running is None:
        state, reason = DomainState.NOSTATE, NostateReason.UNKNOWN
    elif running:
        state, reason = DomainState.RUNNING, RunningReason.UNKNOWN
    else:
        state, reason = DomainState.PAUSED, PausedReason.UNKNOWN
    return NormalState(state, reason)


def shutoff_reason(cause: ShutdownCause) -> ShutoffReason:
    """Why a domain is off whose SHUTDOWN gave this cause."""
    return SHUTOFF_REASONS.get(cause, ShutoffReason.UNKNOWN)
