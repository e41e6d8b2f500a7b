"""One domain: what an event, a read, a failed read, an accepted verb or a timer changes in its record.

An event is shown at once and asks for a read; a read is applied if the rule of time lets it. Both come together in
`_settle`, which compares what is shown with what was said and writes one Change, or none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from uuid import UUID

from msgspec.structs import replace

from avirt.lifecycle.ledger import Ledger, Timer
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
from avirt.lifecycle.transitions import COMPLETE, PASSING, Legality, legality
from avirt.model.change import Origin, Rebooted, RecordChange, Renamed, StateChanged, Updated
from avirt.model.observation import Accepted, Observation, ReadFailed, Signal
from avirt.model.record import NO_NATIVE, Certainty, DomainRecord, Key, Native
from avirt.model.state import (
    DomainState,
    NormalState,
    NostateReason,
    RunningReason,
    ShutoffReason,
    Transition,
)

__all__ = ["accept", "event", "fail", "gone", "read", "wake"]

RENAME_HALVES: Final = 2.0
"""Both halves of a rename come together; after so many seconds the domain is read."""
REREAD_AFTER: Final = (0.2, 0.5, 1.0, 2.0)
"""libvirt says RUNNING for over a second after an emulator was killed (reference/libvirt-wire.md §10)."""
BELIEVED_AFTER: Final = REREAD_AFTER[-1]
AHEAD: Final = 4
AHEAD_FOR: Final = 2.0
"""An event that is told at all comes within so many seconds after a read has shown what it tells."""
REBOOT_PAIR: Final = 30.0
"""A stop that belongs to a reboot is followed by its start within so many seconds."""

_OFF: Final = NormalState(DomainState.SHUTOFF, ShutoffReason.UNKNOWN)
_UP: Final = NormalState(DomainState.RUNNING, RunningReason.UNKNOWN)
_UNKNOWN: Final = NormalState(DomainState.NOSTATE, NostateReason.UNKNOWN)

_OPENING: Final = frozenset({Signal.STARTED, Signal.RESUMED, Signal.SUSPENDED, Signal.DEFINED, Signal.RENAMED})
"""Events that may be the first of a domain. Any other means that an earlier one was missed."""


# ---------------------------------------------------------------- events


def event(ledger: Ledger, entry: Entry, seen: Observation) -> None:
    """A lifecycle event: shown at once, and a read is asked for."""
    entry.last_event = max(entry.last_event, seen.asked)
    signal = seen.signal
    assert signal is not None
    _EVENTS[signal](ledger, entry, seen)


def _on_state(ledger: Ledger, entry: Entry, seen: Observation) -> None:
    """STARTED, SUSPENDED, RESUMED, SHUTDOWN, PMSUSPENDED, CRASHED, STOPPED."""
    before = entry.record
    status = normalise(seen, before) if seen.status is not None or seen.active is False else None
    active = status is None or is_active(status.state, seen, before)
    if _is_late(ledger, entry, seen.id, active):
        ledger.probe(seen.key)
        return
    if active:
        entry.told_id = seen.id
        entry.ended_at = None
        if (
            before is not None
            and before.active
            and seen.signal is Signal.STARTED
            and is_other_incarnation(seen, before)
        ):
            before = _fill(ledger, entry, before, _OFF)
    entry.unsure = entry.unsure and status is None
    entry.started = status is None and (entry.started or before is None or not before.active)
    if before is None:
        if status is not None:
            _come_into_sight(ledger, entry, seen, status, active)
        ledger.probe(seen.key)
    elif status is None or (active and seen.signal is Signal.STARTED and _is_opened_paused(before)):
        # only a read can tell: migrated in, restored, from a snapshot; or SUSPENDED came first and says more
        _settle(ledger, entry, before, seen, None, origin=Origin.EVENT)
        ledger.probe(seen.key)
    elif active:
        _go_on(ledger, entry, before, seen, status)
        ledger.probe(seen.key)
    else:
        _stop(ledger, entry, before, seen, status)


def _is_opened_paused(before: DomainRecord) -> bool:
    return before.active and before.state == DomainState.PAUSED


def _go_on(ledger: Ledger, entry: Entry, before: DomainRecord, seen: Observation, status: NormalState) -> None:
    """An event of a domain that is active, or becomes so."""
    origin = Origin.EVENT
    step = legality(before.state if before.active else DomainState.SHUTOFF, status.state)
    if step is Legality.STOPPED_MISSING and seen.id is not None and seen.id == before.id:
        step = Legality.ILLEGAL  # the same incarnation: it was not stopped
    if step is Legality.STARTED_MISSING:
        before = _fill(ledger, entry, before, _UP)
    elif step is Legality.STOPPED_MISSING:
        before = _fill(ledger, entry, before, _OFF)
    elif step is Legality.ILLEGAL:
        origin = Origin.INFERRED
    elif status.state == before.state and booted_beats_unpaused(before.reason, status.reason):
        status = replace(status, reason=before.reason)
    if is_rebooted(entry, seen, before, status.state, ledger.now.monotonic):
        _settle(ledger, entry, before, seen, status, origin=Origin.INFERRED, kind=Rebooted)
    else:
        _settle(ledger, entry, before, seen, status, origin=origin)


def _stop(ledger: Ledger, entry: Entry, before: DomainRecord, seen: Observation, status: NormalState) -> None:
    """An event that ends an incarnation. A transient domain ends with it, unless it is to start again."""
    now = ledger.now.monotonic
    if before.active:
        entry.ended_at = now
        entry.ended_id = before.id
    if Transition.REBOOTING in (status.transition, entry.held):
        _hold(ledger, entry, seen.key, Transition.REBOOTING, now + REBOOT_PAIR)
    _settle(ledger, entry, before, seen, status, origin=Origin.EVENT)
    after = ledger.records[seen.key]
    if after.persistent is False and after.transition is not Transition.REBOOTING:
        ledger.remove(entry, after, Origin.EVENT)
    else:
        ledger.probe(seen.key)


def _come_into_sight(ledger: Ledger, entry: Entry, seen: Observation, status: NormalState, active: bool) -> None:
    """The event of a domain that is not shown. The end of one that was removed, or is transient, shows nothing."""
    if seen.name is None or ledger.now.monotonic < entry.undefined_by:
        return
    if seen.signal is Signal.STOPPED and (
        entry.removed or (seen.persistent if seen.persistent is not None else entry.persistent) is False
    ):
        return
    origin = Origin.EVENT if seen.signal in _OPENING else Origin.INFERRED
    ledger.add(entry, _first_record(ledger, entry, seen, status, active), origin)


def _on_defined(ledger: Ledger, entry: Entry, seen: Observation) -> None:
    before = entry.record
    if before is not None:
        name = seen.name if seen.signal is Signal.RENAMED else None
        _settle(ledger, entry, before, seen, None, origin=Origin.EVENT, name=name)
    else:
        entry.persistent = seen.persistent
        status = normalise(seen, None)
        if status is None and ledger.synced and not entry.started:
            status = _OFF  # all that are active are known
        if status is not None:
            _come_into_sight(ledger, entry, seen, status, is_active(status.state, seen, None))
    ledger.probe(seen.key)


def _on_undefined(ledger: Ledger, entry: Entry, seen: Observation) -> None:
    before = entry.record
    entry.undefined_by = 0.0
    if before is None:
        entry.persistent = False
    elif before.active or entry.started:
        _settle(ledger, entry, before, seen, None, origin=Origin.EVENT)
    elif entry.ahead and ledger.now.monotonic < entry.ahead_until:
        pass  # a read was faster than the events: this one may be older than what is shown
    else:
        ledger.remove(entry, before, Origin.EVENT)
        return
    ledger.probe(seen.key)


def _on_renamed_from(ledger: Ledger, entry: Entry, seen: Observation) -> None:
    if entry.renaming is None:
        entry.renaming = ledger.now.monotonic + RENAME_HALVES
        ledger.wake_at(entry.renaming, Timer.RENAME, seen.key)


def _on_renamed(ledger: Ledger, entry: Entry, seen: Observation) -> None:
    entry.renaming = None
    _on_defined(ledger, entry, seen)


def _on_rebooted(ledger: Ledger, entry: Entry, seen: Observation) -> None:
    before = entry.record
    if before is not None and not _is_late(ledger, entry, seen.id, active=True):
        if not before.active:
            before = _fill(ledger, entry, before, _UP)
        id = runtime_id(seen, before)
        now = ledger.now.monotonic
        asked_for = entry.held is Transition.REBOOTING
        if asked_for or not is_told_twice(entry, id, now):
            entry.marker_due = seen.marker is None
            if asked_for:
                entry.held = entry.held_until = None
            _settle(ledger, entry, before, seen, seen.status, origin=Origin.EVENT, kind=Rebooted)
    ledger.probe(seen.key)


def _on_control_lost(ledger: Ledger, entry: Entry, seen: Observation) -> None:
    _reread_later(ledger, entry, seen.key, 0)


_EVENTS: Final[dict[Signal, Callable[[Ledger, Entry, Observation], None]]] = {
    Signal.DEFINED: _on_defined,
    Signal.UNDEFINED: _on_undefined,
    Signal.RENAMED_FROM: _on_renamed_from,
    Signal.RENAMED: _on_renamed,
    Signal.STARTED: _on_state,
    Signal.SUSPENDED: _on_state,
    Signal.RESUMED: _on_state,
    Signal.SHUTDOWN: _on_state,
    Signal.STOPPED: _on_state,
    Signal.PMSUSPENDED: _on_state,
    Signal.CRASHED: _on_state,
    Signal.REBOOTED: _on_rebooted,
    Signal.CONTROL_LOST: _on_control_lost,
}


# ---------------------------------------------------------------- reads


def read(ledger: Ledger, entry: Entry, seen: Observation, asked: int, origin: Origin) -> None:
    """A read of a domain: a probe's answer, or an entry of a listing."""
    if is_too_old(entry, asked):
        _skip(ledger, entry, seen.key)
        return
    entry.last_read = asked
    before = entry.record
    status = normalise(seen, before)
    if status is None:
        _read_without_state(ledger, entry, seen, origin)
        return
    entry.unsure = False
    active = is_active(status.state, seen, before)
    ghost = active and (before is None or not before.active) and _is_ghost(ledger, entry, seen)
    if not ghost:
        entry.started = False
        if active and (before is None or not before.active):
            _await_start(ledger, entry, seen.id)
        elif active and before is not None and is_other_run(seen, before):
            _await_end(ledger, entry, before.id)
            _await_start(ledger, entry, seen.id)
    if before is None:
        if not ghost:
            ledger.add(entry, _first_record(ledger, entry, seen, status, active), origin)
        return
    if ghost:
        status = None
    now = ledger.now.monotonic
    rebooted = status is not None and is_rebooted(entry, seen, before, status.state, now)
    if before.active and not active:
        _await_end(ledger, entry, before.id)
    if rebooted:
        _settle(ledger, entry, before, seen, status, origin=Origin.INFERRED, kind=Rebooted, name=seen.name)
    else:
        _settle(ledger, entry, before, seen, status, origin=origin, name=seen.name)
    entry.marker_due = False


def gone(ledger: Ledger, entry: Entry, key: Key, asked: int, origin: Origin) -> None:
    """A read, or a complete listing, says that there is no such domain."""
    if is_too_old(entry, asked):
        _skip(ledger, entry, key)
        return
    entry.last_read = asked
    entry.started = False
    before = entry.record
    if before is None:
        return
    if before.active:
        _await_end(ledger, entry, before.id)
        before = _fill(ledger, entry, before, _OFF)
    if before.persistent:
        entry.undefined_by = ledger.now.monotonic + AHEAD_FOR
    ledger.remove(entry, before, origin)


def fail(ledger: Ledger, entry: Entry, item: ReadFailed) -> None:
    """A read failed: the record is stale, its state stays as last known."""
    before = entry.record
    if before is None or before.certainty is not Certainty.LIVE:
        return
    wall = ledger.now.wall
    after = replace(
        before,
        certainty=Certainty.STALE,
        stale_since=wall,
        stale_why=item.why,
        observed_at=wall,
        revision=ledger.revision + 1,
    )
    ledger.change(Updated, entry, before, after, Origin.POLL)


def _skip(ledger: Ledger, entry: Entry, key: Key) -> None:
    """A read that came too late: ask again, unless one that was asked since has been answered, or all is told."""
    if entry.last_read < entry.last_event and entry.record is not None:
        ledger.probe(key)


def _read_without_state(ledger: Ledger, entry: Entry, seen: Observation, origin: Origin) -> None:
    """The evidence names no state: never a guess, but read again a few times."""
    before = entry.record
    if before is None:
        ledger.add(entry, _first_record(ledger, entry, seen, None, False), origin)
    else:
        _settle(ledger, entry, before, seen, None, origin=origin, name=seen.name)
    if not entry.unsure:
        entry.unsure = True
        ledger.probe(seen.key)
        _reread_later(ledger, entry, seen.key, 0)


def _await_start(ledger: Ledger, entry: Entry, id: int | None) -> None:
    """A read shows a start that no event has told yet; the first listing needs no event."""
    if ledger.synced and id is not None and id != entry.told_id:
        entry.awaited = id
        entry.ahead_until = ledger.now.monotonic + AHEAD_FOR


def _await_end(ledger: Ledger, entry: Entry, id: int | None) -> None:
    """A read shows the end of an incarnation that no event has told yet."""
    entry.awaited = None
    if ledger.synced:
        entry.ahead = (*entry.ahead, id)[-AHEAD:]
        entry.ahead_until = ledger.now.monotonic + AHEAD_FOR


def _is_late(ledger: Ledger, entry: Entry, id: int | None, active: bool) -> bool:
    """Whether reads were faster: the event is of an incarnation that is known to be over. `id`: of the event."""
    if entry.awaited is None and not entry.ahead:
        return False
    if ledger.now.monotonic >= entry.ahead_until:
        entry.awaited, entry.ahead = None, ()
        return False
    if entry.awaited is not None:
        if active and id in (None, entry.awaited):
            entry.awaited, entry.ahead = None, ()
            return False
        return True
    if not active:
        entry.ahead = entry.ahead[1:]
        return False
    if id is not None and id in entry.ahead:
        return True
    entry.ahead = ()
    return False


def _is_ghost(ledger: Ledger, entry: Entry, seen: Observation) -> bool:
    """Whether a read still shows the incarnation that an event has just ended. Read again, for a while."""
    if entry.ended_at is None or ledger.now.monotonic - entry.ended_at >= BELIEVED_AFTER:
        return False
    if seen.id is None or seen.id != entry.ended_id:
        return False
    if entry.reread_at is None:
        _reread_later(ledger, entry, seen.key, 0)
    return True


def _reread_later(ledger: Ledger, entry: Entry, key: Key, done: int) -> None:
    pause = REREAD_AFTER[done] - (REREAD_AFTER[done - 1] if done else 0.0)
    entry.rereads = done
    entry.reread_at = ledger.now.monotonic + pause
    ledger.wake_at(entry.reread_at, Timer.REREAD, key)


# ---------------------------------------------------------------- verbs and timers


def accept(ledger: Ledger, entry: Entry, item: Accepted) -> None:
    """A verb of ours was accepted, or is given up: show what is under way, or no longer."""
    before = entry.record
    if before is None:
        return
    transition = item.transition
    if transition is None:
        _release(ledger, entry, before)
        return
    if before.state in COMPLETE[transition]:
        return
    _hold(ledger, entry, item.key, transition, item.expires)
    if before.transition is not transition:
        _show_transition(ledger, entry, before, transition)


def wake(ledger: Ledger, entry: Entry, at: float, what: Timer, key: Key) -> None:
    """A timer came due; one that was replaced or is of no use any more does nothing."""
    if what is Timer.RENAME:
        if entry.renaming == at:
            entry.renaming = None
            ledger.probe(key)
    elif what is Timer.REREAD:
        if entry.reread_at == at:
            entry.reread_at = None
            ledger.probe(key)
            if entry.rereads + 1 < len(REREAD_AFTER):
                _reread_later(ledger, entry, key, entry.rereads + 1)
    elif entry.held_until == at and entry.record is not None:
        _release(ledger, entry, entry.record)
        ledger.probe(key)


def _hold(ledger: Ledger, entry: Entry, key: Key, transition: Transition, until: float | None) -> None:
    entry.held = transition
    entry.held_until = until
    if until is not None:
        ledger.wake_at(until, Timer.HELD, key)


def _release(ledger: Ledger, entry: Entry, before: DomainRecord) -> None:
    held = entry.held
    entry.held = entry.held_until = None
    if held is not None and before.transition is held:
        _show_transition(ledger, entry, before, None)


def _show_transition(ledger: Ledger, entry: Entry, before: DomainRecord, transition: Transition | None) -> None:
    after = replace(before, transition=transition, observed_at=ledger.now.wall, revision=ledger.revision + 1)
    ledger.change(StateChanged, entry, before, after, Origin.INFERRED)


# ---------------------------------------------------------------- records


def _evidence(seen: Observation) -> Native:
    """The hypervisor's own words for a state: as the driver gives them, else the event that told it."""
    if seen.native:
        return seen.native
    cause = seen.cause
    if cause is None:
        return NO_NATIVE
    return {"event": cause.event, "type": cause.type, "detail": cause.detail}


def _first_record(
    ledger: Ledger, entry: Entry, seen: Observation, status: NormalState | None, active: bool
) -> DomainRecord:
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


def _fill(ledger: Ledger, entry: Entry, before: DomainRecord, status: NormalState) -> DomainRecord:
    """A start or stop that nobody told."""
    entry.held = entry.held_until = None
    wall = ledger.now.wall
    after = replace(
        before,
        state=status.state,
        reason=status.reason,
        id=None,
        marker=None,
        active=status is _UP,
        transition=None,
        idle=False,
        needs_answer=False,
        observed_at=wall,
        since=wall,
        revision=ledger.revision + 1,
    )
    ledger.change(StateChanged, entry, before, after, Origin.INFERRED)
    return after


def _rename(ledger: Ledger, entry: Entry, before: DomainRecord, name: str, origin: Origin) -> DomainRecord:
    after = replace(before, name=name, observed_at=ledger.now.wall, revision=ledger.revision + 1)
    ledger.change(Renamed, entry, before, after, origin)
    return after


def _transition(entry: Entry, seen: Observation, before: DomainRecord, status: NormalState) -> Transition | None:
    """What is under way: what is held, unless an event, or a read of another state, ends it; else as told."""
    told = status.transition
    if told is None and status.state == DomainState.SHUTDOWN:
        told = Transition.STOPPING
    held = entry.held
    if held is None:
        return told
    if (seen.signal is not None or status.state != before.state) and status.state not in PASSING[held]:
        entry.held = entry.held_until = None
        return told
    return held


def _settle(
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
            before = _rename(ledger, entry, before, name, origin)
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
