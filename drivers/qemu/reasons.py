"""Why a domain is in the state it is in: what led to it, where QEMU's own word for the state does not say. Pure.

Of avirt's own work, of the run state before, and of the causes that SHUTDOWN and RESET carry.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final

from avirt.drivers.qemu.events import Data, flag, word
from avirt.drivers.qemu.states import RunState, ShutdownCause
from avirt.model.observation import Cause
from avirt.model.state import DomainState, NormalState, PausedReason, RunningReason, Transition

__all__ = ["OURS", "RESUMED_BY", "RESUMED_FROM", "STOPPED_FOR", "Work", "cause_of", "told_as"]


class Work(Enum):
    """What avirt itself does with a domain: its reason for a STOP, a RESUME or an end."""

    PAUSE = auto()
    SAVE = auto()
    """Migrated into a file, then quit."""
    RESTORE = auto()
    DUMP = auto()
    SNAPSHOT = auto()
    REVERT = auto()
    MIGRATE = auto()
    KILL = auto()
    """SIGKILL: nothing is said of it on the monitor."""


STOPPED_FOR: Final[Mapping[Work, RunState]] = {
    # the run state that our own work puts a running domain into
    Work.PAUSE: RunState.PAUSED,
    Work.SAVE: RunState.FINISH_MIGRATE,
    Work.MIGRATE: RunState.FINISH_MIGRATE,
    Work.DUMP: RunState.SAVE_VM,
    Work.SNAPSHOT: RunState.SAVE_VM,
    Work.REVERT: RunState.RESTORE_VM,
}

_SAVING: Final = NormalState(DomainState.PAUSED, PausedReason.SAVE, Transition.SAVING)
_DUMPING: Final = NormalState(DomainState.PAUSED, PausedReason.DUMP)
_SNAPSHOTTING: Final = NormalState(DomainState.PAUSED, PausedReason.SNAPSHOT, Transition.SNAPSHOTTING)

OURS: Final[Mapping[tuple[Work, RunState], NormalState]] = {
    # run states that mean something else while our own work goes on
    (Work.SAVE, RunState.PAUSED): _SAVING,
    (Work.SAVE, RunState.FINISH_MIGRATE): _SAVING,
    (Work.SAVE, RunState.POSTMIGRATE): _SAVING,
    (Work.DUMP, RunState.PAUSED): _DUMPING,
    (Work.DUMP, RunState.SAVE_VM): _DUMPING,
    (Work.SNAPSHOT, RunState.PAUSED): _SNAPSHOTTING,
    (Work.SNAPSHOT, RunState.SAVE_VM): _SNAPSHOTTING,
    (Work.RESTORE, RunState.INMIGRATE): NormalState(DomainState.PAUSED, PausedReason.MIGRATION, Transition.RESTORING),
}

RESUMED_FROM: Final[Mapping[RunState, RunningReason]] = {
    # why a domain runs that was in that run state; any other: UNPAUSED
    RunState.PRELAUNCH: RunningReason.BOOTED,
    RunState.INMIGRATE: RunningReason.MIGRATED,
    RunState.FINISH_MIGRATE: RunningReason.MIGRATION_CANCELED,
    RunState.RESTORE_VM: RunningReason.FROM_SNAPSHOT,
    RunState.GUEST_PANICKED: RunningReason.CRASHED,
    RunState.INTERNAL_ERROR: RunningReason.CRASHED,
}

RESUMED_BY: Final[Mapping[tuple[Work, RunState], RunningReason]] = {
    (Work.RESTORE, RunState.INMIGRATE): RunningReason.RESTORED,
    (Work.SAVE, RunState.FINISH_MIGRATE): RunningReason.SAVE_CANCELED,
    (Work.SAVE, RunState.POSTMIGRATE): RunningReason.SAVE_CANCELED,
    (Work.SAVE, RunState.PAUSED): RunningReason.SAVE_CANCELED,
}


def cause_of(data: Data) -> ShutdownCause:
    """`reason` since 4.0; before that only `guest` (2.10), before that nothing."""
    reason = word(data, "reason")
    if reason:
        return ShutdownCause(reason)
    guest = flag(data, "guest")
    if guest is None:
        return ShutdownCause.NONE
    return ShutdownCause.GUEST_SHUTDOWN if guest else ShutdownCause.HOST_QMP_QUIT


def told_as(event: str, data: Data, cause: ShutdownCause) -> Cause:
    """The event as people read it: who did it, and why."""
    guest = flag(data, "guest")
    return Cause(event, "" if guest is None else "guest" if guest else "host", cause)
