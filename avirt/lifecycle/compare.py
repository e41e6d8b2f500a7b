"""What a listing says otherwise than the records, without taking it in: for audits.

The same rules as for any read decide (`reads.py`), on copies. A domain that is on its way in (being started, or coming
from another host) is listed long before its event tells that it has arrived: that is no lost event. One that was
restored from a save in mid-migration looks like that for ever, and is to be seen all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import copy
from enum import Enum, auto
from typing import Final

from avirt.lifecycle.effect import Now
from avirt.lifecycle.ledger import Ledger
from avirt.lifecycle.reads import gone, read
from avirt.lifecycle.rules import Entry
from avirt.model.change import Change, Origin, Updated
from avirt.model.observation import Observation
from avirt.model.record import Certainty, DomainRecord, Key
from avirt.model.state import DomainState, PausedReason

__all__ = ["Difference", "Differs", "absent", "differing"]


class Differs(Enum):
    """How a domain differs from its record."""

    TOLD = auto()
    """In what events tell: whether it is there, its name, state, runtime id, persistence."""
    UNTOLD = auto()
    """Only in what a hypervisor may change without an event (autostart, a reason, flags, certainty), or in what was
    not known before, or for now: it is on its way in."""


Difference = tuple[Key, int, Differs]
"""Which domain, the count of its last event, and how."""

_ARRIVING: Final = (
    (DomainState.PAUSED, PausedReason.STARTING_UP),
    (DomainState.PAUSED, PausedReason.MIGRATION),
)


def differing(ledger: Ledger, items: Iterable[Observation], asked: int, now: Now) -> Iterator[Difference]:
    """The domains of a listing that are not as recorded, each with the count of its last event."""
    for seen in items:
        entry = ledger.entries.get(seen.key)
        record = None if entry is None else entry.record
        if record is not None and _is_alike(seen, record):
            continue
        scratch, copied = _copied(ledger, seen.key, entry, now)
        read(scratch, copied, seen, asked, Origin.AUDIT)
        if scratch.changes:
            how = Differs.UNTOLD if _is_arriving(seen, record) else _how(scratch.changes)
            yield seen.key, copied.last_event, how


def absent(ledger: Ledger, keys: frozenset[Key], asked: int, now: Now) -> Iterator[Difference]:
    """The domains that a complete listing lacks."""
    for key in ledger.records:
        if key not in keys:
            scratch, copied = _copied(ledger, key, ledger.entries[key], now)
            gone(scratch, copied, key, asked, Origin.AUDIT)
            if scratch.changes:
                yield key, copied.last_event, Differs.TOLD


def _copied(ledger: Ledger, key: Key, entry: Entry | None, now: Now) -> tuple[Ledger, Entry]:
    scratch = Ledger(ledger.host)
    scratch.now = now
    scratch.synced = ledger.synced
    copied = scratch.entries[key] = Entry() if entry is None else copy(entry)
    if copied.record is not None:
        scratch.records[key] = copied.record
    return scratch, copied


def _is_alike(seen: Observation, record: DomainRecord) -> bool:
    """Whether it says just what is known: nearly all do, and need not be looked at by all the rules."""
    status = seen.status
    return (
        status is not None
        and status.state is record.state
        and status.reason is record.reason
        and status.transition is None
        and status.idle is record.idle
        and status.needs_answer is record.needs_answer
        and seen.active in (None, record.active)
        and seen.id in (None, record.id)
        and seen.name in (None, record.name)
        and seen.persistent in (None, record.persistent)
        and seen.autostart in (None, record.autostart)
        and seen.marker in (None, record.marker)
        and record.certainty is Certainty.LIVE
    )


def _is_arriving(seen: Observation, record: DomainRecord | None) -> bool:
    status = seen.status
    return status is not None and (status.state, status.reason) in _ARRIVING and (record is None or not record.active)


def _how(changes: Iterable[Change]) -> Differs:
    for change in changes:
        if not isinstance(change, Updated) or change.before is None or change.after is None:
            return Differs.TOLD
        before, after = change.before, change.after
        pairs = ((before.id, after.id), (before.persistent, after.persistent), (before.marker, after.marker))
        if any(known is not None and known != seen for known, seen in pairs):
            return Differs.TOLD
    return Differs.UNTOLD
