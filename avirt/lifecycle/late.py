"""Reads and events that cross: what a read has shown is not shown again by the events that come later, and a read that
still shows what an event has ended is not believed at once.

By runtime ids: an event of an incarnation that is known to be over tells nothing new. It is not shown, the read that it
asks for confirms. Where ids are not told, or nothing comes in time, an event is shown as it comes.
"""

from __future__ import annotations

from typing import Final

from avirt.lifecycle.ledger import Ledger, Timer
from avirt.lifecycle.rules import Entry
from avirt.model.observation import Observation
from avirt.model.record import Key

__all__ = ["await_end", "await_start", "is_ghost", "is_late", "reread_later"]

REREAD_AFTER: Final = (0.2, 0.5, 1.0, 2.0)
"""libvirt says RUNNING for over a second after an emulator was killed (reference/libvirt-wire.md §10)."""
BELIEVED_AFTER: Final = REREAD_AFTER[-1]
AHEAD: Final = 4
AHEAD_FOR: Final = 2.0
"""An event that is told at all comes within so many seconds after a read has shown what it tells."""


def await_start(ledger: Ledger, entry: Entry, id: int | None) -> None:
    """A read shows a start that no event has told yet; the first listing needs no event."""
    if ledger.synced and id is not None and id != entry.told_id:
        entry.awaited = id
        entry.ahead_until = ledger.now.monotonic + AHEAD_FOR


def await_end(ledger: Ledger, entry: Entry, id: int | None) -> None:
    """A read shows the end of an incarnation that no event has told yet."""
    entry.awaited = None
    if ledger.synced:
        entry.ahead = (*entry.ahead, id)[-AHEAD:]
        entry.ahead_until = ledger.now.monotonic + AHEAD_FOR


def is_late(ledger: Ledger, entry: Entry, id: int | None, active: bool) -> bool:
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


def is_ghost(ledger: Ledger, entry: Entry, seen: Observation) -> bool:
    """Whether a read still shows the incarnation that an event has just ended. Read again, for a while."""
    if entry.ended_at is None or ledger.now.monotonic - entry.ended_at >= BELIEVED_AFTER:
        return False
    if seen.id is None or seen.id != entry.ended_id:
        return False
    if entry.reread_at is None:
        reread_later(ledger, entry, seen.key, 0)
    return True


def reread_later(ledger: Ledger, entry: Entry, key: Key, done: int) -> None:
    """Read again after a while, then after longer ones; `done`: how many of these reads were asked for."""
    pause = REREAD_AFTER[done] - (REREAD_AFTER[done - 1] if done else 0.0)
    entry.rereads = done
    entry.reread_at = ledger.now.monotonic + pause
    ledger.wake_at(entry.reread_at, Timer.REREAD, key)
