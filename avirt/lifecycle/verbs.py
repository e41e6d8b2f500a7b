"""What is under way after a verb of ours, and the timers of one domain."""

from __future__ import annotations

from avirt.lifecycle.late import REREAD_AFTER, reread_later
from avirt.lifecycle.ledger import Ledger, Timer
from avirt.lifecycle.record import show_transition
from avirt.lifecycle.rules import Entry
from avirt.lifecycle.transitions import COMPLETE
from avirt.model.observation import Accepted
from avirt.model.record import DomainRecord, Key
from avirt.model.state import Transition

__all__ = ["accept", "hold", "wake"]


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
    hold(ledger, entry, item.key, transition, item.expires)
    if before.transition is not transition:
        show_transition(ledger, entry, before, transition)


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
                reread_later(ledger, entry, key, entry.rereads + 1)
    elif entry.held_until == at and entry.record is not None:
        _release(ledger, entry, entry.record)
        ledger.probe(key)


def hold(ledger: Ledger, entry: Entry, key: Key, transition: Transition, until: float | None) -> None:
    """Show a transition until an event ends it, or until then."""
    entry.held = transition
    entry.held_until = until
    if until is not None:
        ledger.wake_at(until, Timer.HELD, key)


def _release(ledger: Ledger, entry: Entry, before: DomainRecord) -> None:
    held = entry.held
    entry.held = entry.held_until = None
    if held is not None and before.transition is held:
        show_transition(ledger, entry, before, None)
