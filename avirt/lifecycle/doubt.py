"""An empty listing is never believed by itself: an expired session may look like a host without domains.

The known domains are read singly instead, some at a time. If each answers that it is gone, so it is, and the listing
counts; if one is still there, or can't be read, the listing is dropped, and another one is owed.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from avirt.lifecycle.ledger import Ledger
from avirt.lifecycle.rules import is_too_old
from avirt.model.record import Key

__all__ = ["AT_ONCE", "answered", "begin", "end"]

AT_ONCE: Final = 20
"""Reads asked for at once: well below what makes the engine list again instead."""


def begin(ledger: Ledger, asked: int) -> bool:
    """A listing named no domain. Whether there is a doubt: domains are known that no later event told of."""
    doubtful = [key for key in ledger.records if not is_too_old(ledger.entries[key], asked)]
    ledger.unread = deque(doubtful)
    ledger.doubted = set()
    ledger.owed = bool(doubtful)
    for _ in range(AT_ONCE):
        _ask_next(ledger)
    return ledger.owed


def end(ledger: Ledger) -> None:
    """Another listing says more, or the link is lost."""
    ledger.unread = deque()
    ledger.doubted = set()
    ledger.owed = False


def answered(ledger: Ledger, key: Key) -> bool:
    """A domain in doubt was read, or could not be. Whether the listing is believed now: all are gone."""
    if key in ledger.records:
        end(ledger)
        ledger.owed = True
        return False
    ledger.doubted.discard(key)
    _ask_next(ledger)
    ledger.owed = bool(ledger.doubted)
    return not ledger.owed


def _ask_next(ledger: Ledger) -> None:
    unread = ledger.unread
    while unread:
        key = unread.popleft()
        if key in ledger.records:  # else an event has told it by now
            ledger.doubted.add(key)
            ledger.probe(key)
            return
