"""One domain's record: made, compared with what was said, changed by one Change, or left alone."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from msgspec.structs import replace

from avirt.lifecycle.ledger import Ledger
from avirt.lifecycle.rules import Entry, is_active, runtime_id
from avirt.lifecycle.transitions import PASSING
from avirt.model.change import Origin, Rebooted, RecordChange, Renamed, StateChanged, Updated
from avirt.model.observation import Observation
from avirt.model.record import NO_NATIVE, Certainty, DomainRecord, Native
from avirt.model.state import DomainState, NormalState, NostateReason, Transition

__all__ = ["fill", "first_record", "rename", "settle", "show_transition"]

_UNKNOWN: Final = NormalState(DomainState.NOSTATE, NostateReason.UNKNOWN)


def first_record(
    ledger: Ledger, entry: Entry, seen: Observation, status: NormalState | None, active: bool
) -> DomainRecord:
    """The record of a domain that comes into sight. `status` None: never known."""
    known = _UNKNOWN if status is None else status
    wall = ledger.now.wall
    entry.held = entry.held_until = None
    return DomainRecord(
        host=ledger.host,
        key=seen.key,
        name=seen.name if seen.name is not None else str(UUID(bytes=seen.key)),
        state=known.state,
        reason=known.reason,
        id=runtime_id(seen, None) if active else None,
        active=active,
        transition=known.transition,
        idle=known.idle,
        needs_answer=known.needs_answer,
        persistent=seen.persistent if seen.persistent is not None else entry.persistent,
        autostart=seen.autostart,
        marker=seen.marker if active else None,
        native=_evidence(seen),
        certainty=Certainty.UNKNOWN if status is None else Certainty.LIVE,
        observed_at=wall,
        since=None if seen.signal is None else wall,
        revision=ledger.revision + 1,
    )


def fill(ledger: Ledger, entry: Entry, before: DomainRecord, status: NormalState) -> DomainRecord:
    """A start or stop that nobody told."""
    entry.held = entry.held_until = None
    wall = ledger.now.wall
    after = replace(
        before,
        state=status.state,
        reason=status.reason,
        id=None,
        marker=None,
        active=status.state != DomainState.SHUTOFF,
        transition=None,
        idle=False,
        needs_answer=False,
        observed_at=wall,
        since=wall,
        revision=ledger.revision + 1,
    )
    ledger.change(StateChanged, entry, before, after, Origin.INFERRED)
    return after


def rename(ledger: Ledger, entry: Entry, before: DomainRecord, name: str, origin: Origin) -> DomainRecord:
    """A new name alone."""
    after = replace(before, name=name, observed_at=ledger.now.wall, revision=ledger.revision + 1)
    ledger.change(Renamed, entry, before, after, origin)
    return after


def show_transition(ledger: Ledger, entry: Entry, before: DomainRecord, transition: Transition | None) -> None:
    """A transition begins or ends, by our own doing."""
    after = replace(before, transition=transition, observed_at=ledger.now.wall, revision=ledger.revision + 1)
    ledger.change(StateChanged, entry, before, after, Origin.INFERRED)


def settle(
    ledger: Ledger,
    entry: Entry,
    before: DomainRecord,
    seen: Observation,
    status: NormalState | None,
    *,
    origin: Origin,
    kind: type[RecordChange] | None = None,
    name: str | None = None,
) -> None:
    """Show what was said, by one Change (`kind`, or the one that fits), or none if it shows already.

    `status` None: no state was said; whatever else was said counts. `name` None: it stays; events keep the name that
    a domain had when they were made, so only a rename and reads tell it.
    """
    if status is None:
        state, reason, active = before.state, before.reason, before.active
        transition = None if kind is Rebooted else before.transition
        idle, needs_answer = before.idle, before.needs_answer
        certainty = before.certainty
    else:
        state, reason = status.state, status.reason
        active = is_active(state, seen, before)
        transition = _transition(entry, seen, before, status)
        idle, needs_answer = status.idle, status.needs_answer
        certainty = Certainty.LIVE
    if not active:
        id = marker = None
    elif status is None and kind is None and before.id is not None:
        # what says nothing of the state, and was made some time ago, may speak of an older incarnation
        id, marker = before.id, before.marker
    else:
        known = before if before.active else None
        id = runtime_id(seen, known)
        marker = seen.marker if seen.marker is not None or known is None else known.marker
    persistent = before.persistent if seen.persistent is None else seen.persistent
    autostart = before.autostart if seen.autostart is None else seen.autostart
    is_new_state = state != before.state or active is not before.active
    if kind is None:
        if is_new_state or transition is not before.transition:
            closes_reboot = active and not before.active and before.transition is Transition.REBOOTING
            kind = Rebooted if closes_reboot else StateChanged
        elif name is not None and name != before.name:
            kind = Renamed
        elif (
            reason == before.reason
            and id == before.id
            and persistent is before.persistent
            and autostart is before.autostart
            and marker == before.marker
            and idle is before.idle
            and needs_answer is before.needs_answer
            and certainty is before.certainty
        ):
            return
        else:
            kind = Updated
    if name is None:
        name = before.name
    elif name != before.name:
        entry.renaming = None
        if kind is not Renamed:
            before = rename(ledger, entry, before, name, origin)
    if kind is Rebooted:
        entry.rebooted_at = ledger.now.monotonic
        entry.rebooted_id = id
    wall = ledger.now.wall
    live = certainty is Certainty.LIVE
    after = DomainRecord(
        host=before.host,
        key=before.key,
        name=name,
        state=state,
        reason=reason,
        id=id,
        active=active,
        transition=transition,
        idle=idle,
        needs_answer=needs_answer,
        persistent=persistent,
        autostart=autostart,
        marker=marker,
        native=before.native if status is None else _evidence(seen),
        certainty=certainty,
        observed_at=wall,
        since=wall if is_new_state else before.since,
        revision=ledger.revision + 1,
        stale_since=None if live else before.stale_since,
        stale_why="" if live else before.stale_why,
    )
    ledger.change(kind, entry, before, after, origin)


def _was_paused_already(seen: Observation, before: DomainRecord, status: NormalState) -> bool:
    """Whether a read says "paused for migration" of what is known to be paused, and not for one: libvirt goes on saying
    so of a domain that was restored from a save in mid-migration, or paused."""
    return (
        seen.signal is None
        and status.state == before.state == DomainState.PAUSED
        and before.transition is None
        and seen.id in (None, before.id)
        and (before.certainty is Certainty.LIVE or before.reason == status.reason)
    )


def _evidence(seen: Observation) -> Native:
    """The hypervisor's own words for a state: as the driver gives them, else the event that told it."""
    if seen.native:
        return seen.native
    cause = seen.cause
    if cause is None:
        return NO_NATIVE
    return {"event": cause.event, "type": cause.type, "detail": cause.detail}


def _transition(entry: Entry, seen: Observation, before: DomainRecord, status: NormalState) -> Transition | None:
    """What is under way: what is held, unless an event, or a read of another state, ends it; else as told."""
    told = status.transition
    if told is None and status.state == DomainState.SHUTDOWN:
        told = Transition.STOPPING
    elif told is Transition.MIGRATING and _was_paused_already(seen, before, status):
        told = None
    held = entry.held
    if held is None:
        return told
    if (seen.signal is not None or status.state != before.state) and status.state not in PASSING[held]:
        entry.held = entry.held_until = None
        return told
    return held
