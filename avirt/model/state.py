"""Domain states, reasons and transitions.

Names and numbers are libvirt's (virDomainState and virDomain…Reason in libvirt-domain.h). A number that a newer
hypervisor adds is kept as a member of its own (`RunningReason(99).name == "UNKNOWN_99"`), never refused.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Final, Self

import msgspec

__all__ = [
    "REASONS",
    "BlockedReason",
    "CrashedReason",
    "DomainState",
    "NormalState",
    "NostateReason",
    "PMSuspendedReason",
    "PausedReason",
    "Reason",
    "RunningReason",
    "ShutdownReason",
    "ShutoffReason",
    "Transition",
    "reason_of",
    "state_of",
]


class OpenIntEnum(IntEnum):
    """An enum that keeps unknown numbers."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, int):
            return None
        member = int.__new__(cls, value)
        member._name_ = f"UNKNOWN_{value}"
        member._value_ = value
        return member


class DomainState(OpenIntEnum):
    """virDomainState."""

    NOSTATE = 0
    RUNNING = 1
    BLOCKED = 2
    PAUSED = 3
    SHUTDOWN = 4
    """On its way down; still active."""
    SHUTOFF = 5
    CRASHED = 6
    PMSUSPENDED = 7


class NostateReason(OpenIntEnum):
    """virDomainNostateReason."""

    UNKNOWN = 0


class RunningReason(OpenIntEnum):
    """virDomainRunningReason."""

    UNKNOWN = 0
    BOOTED = 1
    MIGRATED = 2
    RESTORED = 3
    FROM_SNAPSHOT = 4
    UNPAUSED = 5
    MIGRATION_CANCELED = 6
    SAVE_CANCELED = 7
    WAKEUP = 8
    CRASHED = 9
    POSTCOPY = 10
    POSTCOPY_FAILED = 11


class BlockedReason(OpenIntEnum):
    """virDomainBlockedReason."""

    UNKNOWN = 0


class PausedReason(OpenIntEnum):
    """virDomainPausedReason."""

    UNKNOWN = 0
    USER = 1
    MIGRATION = 2
    SAVE = 3
    DUMP = 4
    IOERROR = 5
    WATCHDOG = 6
    FROM_SNAPSHOT = 7
    SHUTTING_DOWN = 8
    SNAPSHOT = 9
    CRASHED = 10
    STARTING_UP = 11
    POSTCOPY = 12
    POSTCOPY_FAILED = 13
    API_ERROR = 14


class ShutdownReason(OpenIntEnum):
    """virDomainShutdownReason."""

    UNKNOWN = 0
    USER = 1


class ShutoffReason(OpenIntEnum):
    """virDomainShutoffReason."""

    UNKNOWN = 0
    SHUTDOWN = 1
    DESTROYED = 2
    CRASHED = 3
    MIGRATED = 4
    SAVED = 5
    FAILED = 6
    FROM_SNAPSHOT = 7
    DAEMON = 8


class CrashedReason(OpenIntEnum):
    """virDomainCrashedReason."""

    UNKNOWN = 0
    PANICKED = 1


class PMSuspendedReason(OpenIntEnum):
    """virDomainPMSuspendedReason."""

    UNKNOWN = 0


Reason = (
    NostateReason
    | RunningReason
    | BlockedReason
    | PausedReason
    | ShutdownReason
    | ShutoffReason
    | CrashedReason
    | PMSuspendedReason
)

REASONS: Final[dict[DomainState, type[Reason]]] = {
    DomainState.NOSTATE: NostateReason,
    DomainState.RUNNING: RunningReason,
    DomainState.BLOCKED: BlockedReason,
    DomainState.PAUSED: PausedReason,
    DomainState.SHUTDOWN: ShutdownReason,
    DomainState.SHUTOFF: ShutoffReason,
    DomainState.CRASHED: CrashedReason,
    DomainState.PMSUSPENDED: PMSuspendedReason,
}
"""The reason enum of each state; the states of the future have NostateReason."""

# Enum(n) costs 470 ns, a dict 80: states are decoded by the thousand.
_STATES: Final[dict[int, DomainState]] = {int(s): s for s in DomainState}
_REASONS: Final[dict[tuple[int, int], Reason]] = {
    (int(state), int(reason)): reason for state, reasons in REASONS.items() for reason in reasons
}


def state_of(number: int) -> DomainState:
    """The state of a libvirt number; unknown numbers are kept."""
    return _STATES.get(number) or DomainState(number)


def reason_of(state: int, number: int) -> Reason:
    """The reason of a libvirt number within a state; unknown numbers are kept."""
    reason = _REASONS.get((state, number))
    if reason is None:
        return REASONS.get(state_of(state), NostateReason)(number)
    return reason


class Transition(StrEnum):
    """What is under way."""

    STARTING = "starting"
    STOPPING = "stopping"
    PAUSING = "pausing"
    RESUMING = "resuming"
    SAVING = "saving"
    RESTORING = "restoring"
    SNAPSHOTTING = "snapshotting"
    MIGRATING = "migrating"
    REBOOTING = "rebooting"
    DELETING = "deleting"


class NormalState(msgspec.Struct, frozen=True, gc=False):
    """One row of a driver's state table: what a native state means."""

    state: DomainState
    reason: Reason
    transition: Transition | None = None
    idle: bool = False
    """Active, waiting for work: Xen's blocked or flagless domains."""
    needs_answer: bool = False
    """The hypervisor waits for someone to answer a question."""
