"""From what the simulated hypervisor says to observations. Pure; every moment and every state has its row."""

from __future__ import annotations

from typing import Final

import msgspec

from avirt.drivers.sim.domain import SimDomain
from avirt.drivers.sim.moments import Moment, WorldEvent
from avirt.model.change import Origin
from avirt.model.observation import Cause, Gone, Observation, Seen, Signal
from avirt.model.record import Key
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

__all__ = ["MOMENTS", "TRANSITIONS", "MomentRow", "gone", "read", "told"]


class MomentRow(msgspec.Struct, frozen=True, gc=False):
    """What a moment says. `status` None: a read decides. None elsewhere: not said."""

    signal: Signal
    status: NormalState | None = None
    active: bool | None = None
    persistent: bool | None = None


def _running(signal: Signal, reason: RunningReason) -> MomentRow:
    return MomentRow(signal, NormalState(DomainState.RUNNING, reason), True)


def _paused(reason: PausedReason, transition: Transition | None = None) -> MomentRow:
    return MomentRow(Signal.SUSPENDED, NormalState(DomainState.PAUSED, reason, transition), True)


def _stopped(reason: ShutoffReason) -> MomentRow:
    return MomentRow(Signal.STOPPED, NormalState(DomainState.SHUTOFF, reason), False)


_GOING_DOWN: Final = MomentRow(
    Signal.SHUTDOWN, NormalState(DomainState.SHUTDOWN, ShutdownReason.UNKNOWN, Transition.STOPPING), True
)

MOMENTS: Final[dict[Moment, MomentRow]] = {
    # the state an event lets assume: reference/libvirt-wire.md §10
    Moment.DEFINED_ADDED: MomentRow(Signal.DEFINED, persistent=True),
    Moment.DEFINED_UPDATED: MomentRow(Signal.DEFINED, persistent=True),
    Moment.DEFINED_RENAMED: MomentRow(Signal.RENAMED, persistent=True),
    Moment.UNDEFINED_REMOVED: MomentRow(Signal.UNDEFINED, persistent=False),
    Moment.UNDEFINED_RENAMED: MomentRow(Signal.RENAMED_FROM),
    Moment.STARTED_BOOTED: _running(Signal.STARTED, RunningReason.BOOTED),
    Moment.STARTED_MIGRATED: MomentRow(Signal.STARTED, None, True),
    Moment.STARTED_RESTORED: MomentRow(Signal.STARTED, None, True),
    Moment.STARTED_WAKEUP: _running(Signal.STARTED, RunningReason.WAKEUP),
    Moment.SUSPENDED_PAUSED: _paused(PausedReason.USER),
    Moment.SUSPENDED_MIGRATED: _paused(PausedReason.MIGRATION, Transition.MIGRATING),
    Moment.SUSPENDED_IOERROR: _paused(PausedReason.IOERROR),
    Moment.SUSPENDED_RESTORED: _paused(PausedReason.UNKNOWN),
    Moment.RESUMED_UNPAUSED: _running(Signal.RESUMED, RunningReason.UNPAUSED),
    Moment.RESUMED_MIGRATED: _running(Signal.RESUMED, RunningReason.MIGRATED),
    Moment.RESUMED_FROM_SNAPSHOT: _running(Signal.RESUMED, RunningReason.FROM_SNAPSHOT),
    Moment.STOPPED_SHUTDOWN: _stopped(ShutoffReason.SHUTDOWN),
    Moment.STOPPED_DESTROYED: _stopped(ShutoffReason.DESTROYED),
    Moment.STOPPED_CRASHED: _stopped(ShutoffReason.CRASHED),
    Moment.STOPPED_MIGRATED: _stopped(ShutoffReason.MIGRATED),
    Moment.STOPPED_SAVED: _stopped(ShutoffReason.SAVED),
    Moment.STOPPED_FAILED: _stopped(ShutoffReason.FAILED),
    Moment.SHUTDOWN_BY_GUEST: _GOING_DOWN,
    Moment.SHUTDOWN_BY_HOST: _GOING_DOWN,
    Moment.PMSUSPENDED_MEMORY: MomentRow(
        Signal.PMSUSPENDED, NormalState(DomainState.PMSUSPENDED, PMSuspendedReason.UNKNOWN), True
    ),
    Moment.CRASHED_PANICKED: MomentRow(Signal.CRASHED, NormalState(DomainState.CRASHED, CrashedReason.PANICKED), True),
    Moment.REBOOT: MomentRow(Signal.REBOOTED),
    Moment.CONTROL_ERROR: MomentRow(Signal.CONTROL_LOST),
}

TRANSITIONS: Final[dict[tuple[DomainState, int], Transition]] = {
    (DomainState.PAUSED, PausedReason.SAVE): Transition.SAVING,
    (DomainState.PAUSED, PausedReason.MIGRATION): Transition.MIGRATING,
    (DomainState.SHUTDOWN, ShutdownReason.UNKNOWN): Transition.STOPPING,
}
"""States that are on their way somewhere (reference/libvirt-wire.md §16, qemu)."""

_CAUSES: Final[dict[Moment, Cause]] = {
    **{moment: Cause("lifecycle", moment.type_word, moment.detail_word) for moment in Moment},
    Moment.REBOOT: Cause("reboot"),
    Moment.CONTROL_ERROR: Cause("control-error"),
}


def told(event: WorldEvent, asked: int) -> Seen:
    """An event, as an observation. Its id is what the event carries, stale or not."""
    row = MOMENTS[event.moment]
    return Seen(
        Observation(
            key=event.key,
            name=event.name,
            status=row.status,
            active=row.active,
            persistent=row.persistent,
            id=None if event.id < 0 else event.id,
            origin=Origin.EVENT,
            asked=asked,
            signal=row.signal,
            cause=_CAUSES[event.moment],
        )
    )


def read(domain: SimDomain, asked: int, origin: Origin, *, stale_id: bool = False) -> Observation:
    """A domain as a read finds it. `stale_id`: an inactive one prints its last id."""
    state, reason = domain.state, domain.reason
    native: dict[str, int | str] = {"state": int(state), "reason": int(reason)}
    id = domain.last_id if stale_id else domain.id
    if id is not None:
        native["id"] = id
    return Observation(
        key=domain.key,
        name=domain.name,
        status=NormalState(state, reason, TRANSITIONS.get((state, int(reason)))),
        active=domain.active,
        persistent=domain.persistent,
        autostart=domain.autostart,
        id=id,
        native=native,
        origin=origin,
        asked=asked,
    )


def gone(key: Key, asked: int) -> Gone:
    """A read found no such domain."""
    return Gone(key, asked, Origin.POLL)
