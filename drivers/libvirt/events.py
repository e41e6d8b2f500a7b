"""What libvirt's domain events mean: the lifecycle table, and the words of every enumeration in the others. Pure.

The state after a lifecycle event is an assumption that a read confirms (reference/libvirt-wire.md §10); where the
table knows none (migrated in, restored, reverted), the read decides. Words of lifecycle events are virsh's; words of
the other enumerations are libvirt's own enumerators, lower case, unknown numbers "unknown_<n>".
"""

from __future__ import annotations

from typing import Final

import msgspec.structs

from avirt.model.observation import Cause, Signal
from avirt.model.record import NO_NATIVE, Native
from avirt.model.state import (
    CrashedReason,
    DomainState,
    NormalState,
    PausedReason,
    PMSuspendedReason,
    RunningReason,
    ShutdownReason,
    ShutoffReason,
    Transition,
)

__all__ = [
    "CONTROL_ERROR",
    "LIFECYCLE",
    "REBOOT",
    "LifecycleRow",
    "lifecycle_row",
    "word",
]


class LifecycleRow(msgspec.Struct, frozen=True, gc=False):
    """What one (event, detail) says of a domain.

    Attributes:
        status: None: not said, a read decides.
        active, persistent: None: not said.
        cause: virsh's words, one object for each row.
        native: the numbers, where they are evidence for a state.
    """

    signal: Signal
    cause: Cause
    status: NormalState | None = None
    active: bool | None = None
    persistent: bool | None = None
    native: Native = NO_NATIVE


REBOOT: Final = LifecycleRow(Signal.REBOOTED, Cause("reboot"))
CONTROL_ERROR: Final = LifecycleRow(Signal.CONTROL_LOST, Cause("control-error"))


def _row(
    signal: Signal,
    type: str,
    detail: str,
    status: NormalState | None = None,
    *,
    active: bool | None = None,
    persistent: bool | None = None,
) -> LifecycleRow:
    return LifecycleRow(signal, Cause("lifecycle", type, detail), status, active, persistent)


def _started(detail: str, reason: RunningReason | None = None) -> LifecycleRow:
    status = None if reason is None else NormalState(DomainState.RUNNING, reason)
    return _row(Signal.STARTED, "Started", detail, status, active=True)


def _suspended(detail: str, reason: PausedReason, transition: Transition | None = None) -> LifecycleRow:
    status = NormalState(DomainState.PAUSED, reason, transition)
    return _row(Signal.SUSPENDED, "Suspended", detail, status, active=True)


def _resumed(detail: str, reason: RunningReason, transition: Transition | None = None) -> LifecycleRow:
    return _row(Signal.RESUMED, "Resumed", detail, NormalState(DomainState.RUNNING, reason, transition), active=True)


def _stopped(detail: str, reason: ShutoffReason, transition: Transition | None = None) -> LifecycleRow:
    return _row(Signal.STOPPED, "Stopped", detail, NormalState(DomainState.SHUTOFF, reason, transition), active=False)


def _shutdown(detail: str) -> LifecycleRow:
    # qemu's reason stays "unknown" whoever asked for it
    status = NormalState(DomainState.SHUTDOWN, ShutdownReason.UNKNOWN, Transition.STOPPING)
    return _row(Signal.SHUTDOWN, "Shutdown", detail, status, active=True)


def _pmsuspended(detail: str) -> LifecycleRow:
    status = NormalState(DomainState.PMSUSPENDED, PMSuspendedReason.UNKNOWN)
    return _row(Signal.PMSUSPENDED, "PMSuspended", detail, status, active=True)


_ROWS: Final[tuple[tuple[LifecycleRow, ...], ...]] = (
    # virDomainEventType by number, each with its details by number (§10; libvirt-domain.h for what is newer)
    (  # "added" also comes for a running transient domain that becomes persistent
        _row(Signal.DEFINED, "Defined", "Added", persistent=True),
        _row(Signal.DEFINED, "Defined", "Updated", persistent=True),
        _row(Signal.RENAMED, "Defined", "Renamed", persistent=True),
        _row(Signal.DEFINED, "Defined", "Snapshot", persistent=True),
    ),
    (
        _row(Signal.UNDEFINED, "Undefined", "Removed", persistent=False),
        _row(Signal.RENAMED_FROM, "Undefined", "Renamed"),
    ),
    (
        _started("Booted", RunningReason.BOOTED),
        _started("Migrated"),
        _started("Restored"),
        _started("Snapshot"),
        _started("Event wakeup", RunningReason.WAKEUP),
        _started("Recreated"),
    ),
    (  # "paused" is also sent in the midst of a managed save
        _suspended("Paused", PausedReason.USER),
        _suspended("Migrated", PausedReason.MIGRATION, Transition.MIGRATING),
        _suspended("I/O Error", PausedReason.IOERROR),
        _suspended("Watchdog", PausedReason.WATCHDOG),
        _suspended("Restored", PausedReason.UNKNOWN),
        _suspended("Snapshot", PausedReason.FROM_SNAPSHOT),
        _suspended("API error", PausedReason.API_ERROR),
        _suspended("Post-copy", PausedReason.POSTCOPY, Transition.MIGRATING),
        _suspended("Post-copy Error", PausedReason.POSTCOPY_FAILED),
        _suspended("Guest shutdown", PausedReason.SHUTTING_DOWN, Transition.STOPPING),
    ),
    (
        _resumed("Unpaused", RunningReason.UNPAUSED),
        _resumed("Migrated", RunningReason.MIGRATED),
        _resumed("Snapshot", RunningReason.FROM_SNAPSHOT),
        _resumed("Post-copy", RunningReason.POSTCOPY, Transition.MIGRATING),
        _resumed("Post-copy Error", RunningReason.POSTCOPY_FAILED),
    ),
    (
        _stopped("Shutdown", ShutoffReason.SHUTDOWN),
        _stopped("Destroyed", ShutoffReason.DESTROYED),
        _stopped("Crashed", ShutoffReason.CRASHED),
        _stopped("Migrated", ShutoffReason.MIGRATED),
        _stopped("Saved", ShutoffReason.SAVED),
        _stopped("Failed", ShutoffReason.FAILED),
        _stopped("Snapshot", ShutoffReason.FROM_SNAPSHOT),
        _stopped("Recreated", ShutoffReason.UNKNOWN, Transition.REBOOTING),  # a new process follows at once
    ),
    (
        _shutdown("Finished"),
        _shutdown("Finished after guest request"),
        _shutdown("Finished after host request"),
    ),
    (_pmsuspended("Memory"), _pmsuspended("Disk")),
    (
        # the process is there until on_crash has had its way
        _row(
            Signal.CRASHED, "Crashed", "Panicked", NormalState(DomainState.CRASHED, CrashedReason.PANICKED), active=True
        ),
        # the guest runs its crash kernel
        _row(
            Signal.CRASHED,
            "Crashed",
            "Crashloaded",
            NormalState(DomainState.RUNNING, RunningReason.CRASHED),
            active=True,
        ),
    ),
)


def _numbered(row: LifecycleRow, event: int, detail: int) -> LifecycleRow:
    return row if row.status is None else msgspec.structs.replace(row, native={"event": event, "detail": detail})


LIFECYCLE: Final[tuple[tuple[LifecycleRow, ...], ...]] = tuple(
    tuple(_numbered(row, event, detail) for detail, row in enumerate(rows)) for event, rows in enumerate(_ROWS)
)
"""Rows by event and detail."""

_OTHER_DETAIL: Final[tuple[LifecycleRow, ...]] = (
    # a detail nobody knew yet: what the event says is kept, what only the detail would say is left to a read
    _row(Signal.DEFINED, "Defined", "unknown"),
    _row(Signal.UNDEFINED, "Undefined", "unknown"),
    _started("unknown"),
    _suspended("unknown", PausedReason.UNKNOWN),
    _resumed("unknown", RunningReason.UNKNOWN),
    _stopped("unknown", ShutoffReason.UNKNOWN),
    _shutdown("unknown"),
    _pmsuspended("unknown"),
    _row(Signal.CRASHED, "Crashed", "unknown", active=True),
)


def lifecycle_row(event: int, detail: int) -> LifecycleRow | None:
    """The row of a lifecycle event; None for an event that nobody knew yet: only a listing can tell."""
    if not 0 <= event < len(LIFECYCLE):
        return None
    rows = LIFECYCLE[event]
    return rows[detail] if 0 <= detail < len(rows) else _numbered(_OTHER_DETAIL[event], event, detail)


WORDS: Final[dict[str, tuple[str, ...]]] = {
    # enumerators by number; the first of a table is number 0
    "virDomainEventWatchdogAction": ("none", "pause", "reset", "poweroff", "shutdown", "debug", "injectnmi"),
    "virDomainEventIOErrorAction": ("none", "pause", "report"),
    "virDomainEventGraphicsPhase": ("connect", "initialize", "disconnect"),
    "virDomainEventGraphicsAddressType": ("ipv4", "ipv6", "unix"),
    "virDomainBlockJobType": ("unknown", "pull", "copy", "commit", "active_commit", "backup"),
    "virConnectDomainEventBlockJobStatus": ("completed", "failed", "canceled", "ready"),
    "virConnectDomainEventDiskChangeReason": ("change_missing_on_start", "drop_missing_on_start"),
    "virDomainEventTrayChangeReason": ("open", "close"),
    "virConnectDomainEventAgentLifecycleState": ("unknown_0", "connected", "disconnected"),
    "virConnectDomainEventAgentLifecycleReason": ("unknown", "domain_started", "channel"),
    "virConnectDomainEventChannelLifecycleState": ("unknown_0", "connected", "disconnected"),
    "virConnectDomainEventChannelLifecycleReason": ("unknown", "domain_started", "channel"),
    "virDomainMetadataType": ("description", "title", "element"),
    "virDomainMemoryFailureRecipientType": ("hypervisor", "guest"),
    "virDomainMemoryFailureActionType": ("ignore", "inject", "fatal", "reset"),
}


def word(enum: str, number: int) -> str:
    """The word of a number of one of libvirt's enumerations."""
    words = WORDS[enum]
    return words[number] if 0 <= number < len(words) else f"unknown_{number}"
