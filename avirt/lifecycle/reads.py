"""Reads of one domain: applied if the rule of time lets them."""

from __future__ import annotations

from msgspec.structs import replace

from avirt.lifecycle.late import AHEAD_FOR, await_end, await_start, is_ghost, reread_later
from avirt.lifecycle.ledger import Ledger
from avirt.lifecycle.record import fill, first_record, settle
from avirt.lifecycle.rules import OFF, Entry, is_active, is_other_run, is_rebooted, is_too_old, normalise
from avirt.model.change import Origin, Rebooted, Updated
from avirt.model.observation import Observation, ReadFailed
from avirt.model.record import Certainty, Key

__all__ = ["fail", "gone", "read"]


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
    ghost = active and (before is None or not before.active) and is_ghost(ledger, entry, seen)
    if not ghost:
        entry.started = False
        if active and (before is None or not before.active):
            await_start(ledger, entry, seen.id)
        elif active and before is not None and is_other_run(seen, before):
            await_end(ledger, entry, before.id)
            await_start(ledger, entry, seen.id)
    if before is None:
        if not ghost:
            ledger.add(entry, first_record(ledger, entry, seen, status, active), origin)
        return
    if ghost:
        status = None
    now = ledger.now.monotonic
    rebooted = status is not None and is_rebooted(entry, seen, before, status.state, now)
    if before.active and not active:
        await_end(ledger, entry, before.id)
    if rebooted:
        settle(ledger, entry, before, seen, status, origin=Origin.INFERRED, kind=Rebooted, name=seen.name)
    else:
        settle(ledger, entry, before, seen, status, origin=origin, name=seen.name)
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
        await_end(ledger, entry, before.id)
        before = fill(ledger, entry, before, OFF)
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
        ledger.add(entry, first_record(ledger, entry, seen, None, False), origin)
    else:
        settle(ledger, entry, before, seen, None, origin=origin, name=seen.name)
    if not entry.unsure:
        entry.unsure = True
        ledger.probe(seen.key)
        reread_later(ledger, entry, seen.key, 0)
