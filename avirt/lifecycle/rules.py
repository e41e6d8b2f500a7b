"""The rules for one domain: what an observation says of its state, identity and incarnation, and the rule of time.

Time: a host's inbound messages are counted. An event carries its own count; a read carries the count when it was asked.
A read is believed only if no event of *that domain* came after it was asked, and no later read was believed before:
    asked >= last_event and asked >= last_read
Events are shown at once; the read that each one asks for confirms.
"""

from __future__ import annotations

from typing import Final

from avirt.model.observation import Observation
from avirt.model.record import DomainRecord
from avirt.model.state import (
    DomainState,
    NormalState,
    Reason,
    RunningReason,
    ShutoffReason,
    Transition,
)

__all__ = [
    "OFF",
    "UP",
    "Entry",
    "booted_beats_unpaused",
    "is_active",
    "is_other_incarnation",
    "is_other_run",
    "is_rebooted",
    "is_told_twice",
    "is_too_old",
    "normalise",
    "runtime_id",
]

SAME_REBOOT: Final = 2.0
"""Two words of a reboot within so many seconds, with the same runtime id, are one."""

_INACTIVE: Final = (DomainState.SHUTOFF, DomainState.CRASHED)
OFF: Final = NormalState(DomainState.SHUTOFF, ShutoffReason.UNKNOWN)
UP: Final = NormalState(DomainState.RUNNING, RunningReason.UNKNOWN)


class Entry:
    """What is kept of one domain besides its record; without a record: a tombstone, or a domain not shown yet.

    Attributes:
        record: what is shown, or None.
        last_event: the count of its last event.
        last_read: the count at which the last read that was believed was asked.
        removed: there was a record, and an event or a read took it away.
        vacant_since: monotonic; since when there is no record.
        held, held_until: a transition that ends by an event or in time, not by a read of the same state.
        started: a start was told without a state: it is active, but not shown so yet.
        persistent: told before there was a record.
        told_id: the runtime id in the last event of an active domain.
        awaited: runtime id of an incarnation that a read showed before an event told its start.
        ahead: runtime ids of incarnations whose end a read showed before an event told it.
        ahead_until: monotonic; until when those events are waited for.
        undefined_by: monotonic; a read showed that it is gone, and until then an event may still tell so.
        ended_at, ended_id: monotonic; when an event told the end of an incarnation, and of which.
        rebooted_at, rebooted_id: monotonic; when it rebooted last, and with which runtime id.
        marker_due: a reboot was told without its new marker.
        unsure: a read named no state, and another one was asked for.
        renaming: one half of a rename was told; monotonic, until when the other half is waited for.
        reread_at, rereads: the next of the repeated reads, and how many were asked for.
    """

    __slots__ = (
        "ahead",
        "ahead_until",
        "awaited",
        "ended_at",
        "ended_id",
        "held",
        "held_until",
        "last_event",
        "last_read",
        "marker_due",
        "persistent",
        "rebooted_at",
        "rebooted_id",
        "record",
        "removed",
        "renaming",
        "reread_at",
        "rereads",
        "started",
        "told_id",
        "undefined_by",
        "unsure",
        "vacant_since",
    )

    def __init__(self) -> None:
        self.record: DomainRecord | None = None
        self.removed = False
        self.vacant_since = 0.0
        self.held: Transition | None = None
        self.held_until: float | None = None
        self.ended_at: float | None = None
        self.ended_id: int | None = None
        self.restart()

    def restart(self) -> None:
        """A new connection: counts begin anew, and what was told on the old one is read again anyway.

        What has ended stays ended: the new connection, too, may show for a while what the old one told the end of.
        """
        self.last_event = 0
        self.last_read = 0
        self.started = False
        self.persistent: bool | None = None
        self.ahead: tuple[int | None, ...] = ()
        self.ahead_until = 0.0
        self.awaited: int | None = None
        self.told_id: int | None = None
        self.undefined_by = 0.0
        self.rebooted_at: float | None = None
        self.rebooted_id: int | None = None
        self.marker_due = False
        self.unsure = False
        self.renaming: float | None = None
        self.reread_at: float | None = None
        self.rereads = 0

    def bury(self) -> None:
        """The domain is gone. Counts and runtime ids stay: what is older than its end can't raise it."""
        self.record = None
        self.removed = True
        self.held = self.held_until = None
        self.persistent = None
        self.started = self.marker_due = self.unsure = False
        self.renaming = None


def is_too_old(entry: Entry, asked: int) -> bool:
    """The rule of time, for a read."""
    return asked < entry.last_event or asked < entry.last_read


def normalise(observation: Observation, before: DomainRecord | None) -> NormalState | None:
    """The state that an observation names; None if its evidence names none.

    An inactive domain is SHUTOFF or CRASHED, whatever else is said of its state.
    """
    status = observation.status
    if observation.active is False:
        if status is None:
            return _with_known_reason(OFF, before)
        if status.state in _INACTIVE:
            return status
        return OFF
    if status is None and observation.active is True:
        return _with_known_reason(UP, before)
    return status


def _with_known_reason(status: NormalState, before: DomainRecord | None) -> NormalState:
    if before is None or before.state != status.state or before.reason == 0:
        return status
    return NormalState(status.state, before.reason)


_SAYS_ACTIVE: Final[dict[DomainState, bool]] = {
    DomainState.RUNNING: True,
    DomainState.BLOCKED: True,
    DomainState.PAUSED: True,
    DomainState.SHUTDOWN: True,
    DomainState.PMSUSPENDED: True,
    DomainState.SHUTOFF: False,
}


def is_active(state: DomainState, observation: Observation, before: DomainRecord | None) -> bool:
    """Whether a domain in this state is active. CRASHED, NOSTATE and states of the future may be either."""
    active = _SAYS_ACTIVE.get(state)
    if active is not None:
        return active
    if observation.active is not None:
        return observation.active
    return before is not None and before.active


def runtime_id(observation: Observation, before: DomainRecord | None) -> int | None:
    """The runtime id of an active domain: as told, else as known. Hypervisors print -1 for none."""
    told = observation.id
    if told is not None:
        return told if told >= 0 else None
    return before.id if before is not None else None


def is_other_run(observation: Observation, before: DomainRecord) -> bool:
    """Whether an active domain has another runtime id than the one that is known."""
    told = observation.id
    return told is not None and told >= 0 and before.id is not None and told != before.id


def is_other_incarnation(observation: Observation, before: DomainRecord) -> bool:
    """Whether an event of an active domain speaks of another boot than the one that is known."""
    if is_other_run(observation, before):
        return True
    return observation.marker is not None and before.marker is not None and observation.marker != before.marker


def is_rebooted(entry: Entry, observation: Observation, before: DomainRecord, state: DomainState, now: float) -> bool:
    """Whether a changed marker, RUNNING on both sides, is a reboot that nobody told."""
    return (
        observation.marker is not None
        and before.marker is not None
        and observation.marker != before.marker
        and state == DomainState.RUNNING
        and before.state == DomainState.RUNNING
        and not entry.marker_due
        and not is_told_twice(entry, runtime_id(observation, before), now)
    )


def is_told_twice(entry: Entry, id: int | None, now: float) -> bool:
    """Whether a reboot was told a moment ago already."""
    return entry.rebooted_at is not None and now - entry.rebooted_at < SAME_REBOOT and entry.rebooted_id == id


def booted_beats_unpaused(before: Reason, told: Reason) -> bool:
    """RESUMED comes with each start: it says less than STARTED did."""
    return before is RunningReason.BOOTED and told is RunningReason.UNPAUSED
