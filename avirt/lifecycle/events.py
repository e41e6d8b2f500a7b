"""Lifecycle events of one domain: shown at once, and a read is asked for that confirms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from avirt.lifecycle.late import is_late, reread_later
from avirt.lifecycle.ledger import Ledger, Timer
from avirt.lifecycle.plain import show_plainly
from avirt.lifecycle.record import fill, first_record, settle
from avirt.lifecycle.rules import (
    OFF,
    UP,
    Entry,
    booted_beats_unpaused,
    is_active,
    is_other_incarnation,
    is_rebooted,
    is_told_twice,
    normalise,
    runtime_id,
)
from avirt.lifecycle.transitions import Legality, legality
from avirt.lifecycle.verbs import hold
from avirt.model.change import Origin, Rebooted
from avirt.model.observation import Observation, Signal
from avirt.model.record import DomainRecord
from avirt.model.state import DomainState, NormalState, Transition

__all__ = ["consider", "event"]

RENAME_HALVES: Final = 2.0
"""Both halves of a rename come together; after so many seconds the domain is read."""
REBOOT_PAIR: Final = 30.0
"""A stop that belongs to a reboot is followed by its start within so many seconds."""
_OPENING: Final = frozenset({Signal.STARTED, Signal.RESUMED, Signal.SUSPENDED, Signal.DEFINED, Signal.RENAMED})
"""Events that may be the first of a domain. Any other means that an earlier one was missed."""


def event(ledger: Ledger, entry: Entry, seen: Observation) -> None:
    """A lifecycle event: shown at once, and a read is asked for."""
    entry.last_event = max(entry.last_event, seen.asked)
    if not show_plainly(ledger, entry, seen):
        consider(ledger, entry, seen)


def consider(ledger: Ledger, entry: Entry, seen: Observation) -> None:
    """By all the rules: the long way."""
    signal = seen.signal
    assert signal is not None
    _EVENTS[signal](ledger, entry, seen)


def _on_state(ledger: Ledger, entry: Entry, seen: Observation) -> None:
    """STARTED, SUSPENDED, RESUMED, SHUTDOWN, PMSUSPENDED, CRASHED, STOPPED."""
    before = entry.record
    status = normalise(seen, before) if seen.status is not None or seen.active is False else None
    active = status is None or is_active(status.state, seen, before)
    if is_late(ledger, entry, seen.id, active):
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
            before = fill(ledger, entry, before, OFF)
    entry.unsure = entry.unsure and status is None
    entry.started = status is None and (entry.started or before is None or not before.active)
    if before is None:
        if status is not None:
            _come_into_sight(ledger, entry, seen, status, active)
        ledger.probe(seen.key)
    elif status is None or (active and seen.signal is Signal.STARTED and _is_opened_paused(before)):
        # only a read can tell: migrated in, restored, from a snapshot; or SUSPENDED came first and says more
        settle(ledger, entry, before, seen, None, origin=Origin.EVENT)
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
        before = fill(ledger, entry, before, UP)
    elif step is Legality.STOPPED_MISSING:
        before = fill(ledger, entry, before, OFF)
    elif step is Legality.ILLEGAL:
        origin = Origin.INFERRED
    elif status.state == before.state and booted_beats_unpaused(before.reason, status.reason):
        status = replace(status, reason=before.reason)
    if is_rebooted(entry, seen, before, status.state, ledger.now.monotonic):
        settle(ledger, entry, before, seen, status, origin=Origin.INFERRED, kind=Rebooted)
    else:
        settle(ledger, entry, before, seen, status, origin=origin)


def _stop(ledger: Ledger, entry: Entry, before: DomainRecord, seen: Observation, status: NormalState) -> None:
    """An event that ends an incarnation. A transient domain ends with it, unless it is to start again."""
    now = ledger.now.monotonic
    if before.active:
        entry.ended_at = now
        entry.ended_id = before.id
    if Transition.REBOOTING in (status.transition, entry.held):
        hold(ledger, entry, seen.key, Transition.REBOOTING, now + REBOOT_PAIR)
    settle(ledger, entry, before, seen, status, origin=Origin.EVENT)
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
    ledger.add(entry, first_record(ledger, entry, seen, status, active), origin)


def _on_defined(ledger: Ledger, entry: Entry, seen: Observation) -> None:
    before = entry.record
    if before is not None:
        name = seen.name if seen.signal is Signal.RENAMED else None
        settle(ledger, entry, before, seen, None, origin=Origin.EVENT, name=name)
    else:
        entry.persistent = seen.persistent
        status = normalise(seen, None)
        if status is None and ledger.synced and not entry.started:
            status = OFF  # all that are active are known
        if status is not None:
            _come_into_sight(ledger, entry, seen, status, is_active(status.state, seen, None))
    ledger.probe(seen.key)


def _on_undefined(ledger: Ledger, entry: Entry, seen: Observation) -> None:
    before = entry.record
    entry.undefined_by = 0.0
    if before is None:
        entry.persistent = False
    elif before.active or entry.started:
        settle(ledger, entry, before, seen, None, origin=Origin.EVENT)
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
    if before is not None and not is_late(ledger, entry, seen.id, active=True):
        if not before.active:
            before = fill(ledger, entry, before, UP)
        id = runtime_id(seen, before)
        now = ledger.now.monotonic
        asked_for = entry.held is Transition.REBOOTING
        if asked_for or not is_told_twice(entry, id, now):
            entry.marker_due = seen.marker is None
            if asked_for:
                entry.held = entry.held_until = None
            settle(ledger, entry, before, seen, seen.status, origin=Origin.EVENT, kind=Rebooted)
    ledger.probe(seen.key)


def _on_control_lost(ledger: Ledger, entry: Entry, seen: Observation) -> None:
    reread_later(ledger, entry, seen.key, 0)


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
