"""The lifecycle of one host: an Item and the time in, Changes and effects out. Pure: no I/O, no clock of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from msgspec.structs import replace

from avirt.lifecycle import compare, doubt, events, reads, reconcile, verbs
from avirt.lifecycle.compare import Difference
from avirt.lifecycle.effect import Now, Relist, Step
from avirt.lifecycle.ledger import Ledger
from avirt.lifecycle.rules import is_too_old
from avirt.model.change import HostConnected, HostLost, HostReplaced, HostResynced, Origin
from avirt.model.observation import (
    Accepted,
    Gone,
    Item,
    LinkLost,
    LinkUp,
    Listing,
    ListingSlice,
    NativeEvent,
    Overrun,
    ReadFailed,
    Scope,
    Seen,
)
from avirt.model.record import DomainRecord, HostFacts, Key

__all__ = ["HostLifecycle"]


class HostLifecycle:
    """What is known of one host and its domains.

    Args:
        host: the host's name in this process; every record and Change carries it.
    """

    def __init__(self, host: str) -> None:
        self._ledger = Ledger(host)
        self._view = MappingProxyType(self._ledger.records)
        self._facts: HostFacts | None = None
        self._connected = False
        self._listed_once = False

    def recall(
        self, records: Iterable[DomainRecord], *, facts: HostFacts | None, revision: int, connected: bool
    ) -> None:
        """Go on where an earlier process ended: its next connection and listing are as after a lost one.

        Args:
            connected: the stream has not said yet that the connection is lost.
        """
        ledger = self._ledger
        ledger.revision = revision
        for record in records:
            ledger.entry(record.key).record = ledger.records[record.key] = record
        self._facts = facts
        self._connected = connected
        self._listed_once = facts is not None

    @property
    def records(self) -> Mapping[Key, DomainRecord]:
        """The records by key; a live view, read-only."""
        return self._view

    @property
    def facts(self) -> HostFacts | None:
        """What the host said of itself when it was connected last."""
        return self._facts

    @property
    def owes_listing(self) -> bool:
        """No complete listing of this connection was applied yet, or the last one is not believed."""
        return self._connected and (not self._ledger.synced or self._ledger.owed)

    @property
    def revision(self) -> int:
        """How many Changes there were."""
        return self._ledger.revision

    def is_overtaken(self, item: Seen | Gone) -> bool:
        """Whether an event of its domain, or a later read, came since this read was asked: it is not believed then."""
        key, asked = (
            (item.key, item.asked) if isinstance(item, Gone) else (item.observation.key, item.observation.asked)
        )
        entry = self._ledger.entries.get(key)
        return entry is not None and is_too_old(entry, asked)

    def differing(self, listing: Listing, now: Now, *, start: int, stop: int) -> Iterator[Difference]:
        """The domains of a part of a listing that are not as recorded, each with the count of its last event.

        Nothing is taken in. With the first part of a complete listing come the domains that it lacks.
        """
        yield from compare.differing(self._ledger, listing.items[start:stop], listing.asked, now)
        if not start and listing.complete:
            keys = frozenset(item.key for item in listing.items)
            yield from compare.absent(self._ledger, keys, listing.asked, now)

    def step(self, item: Item, now: Now) -> Step:
        """Take one Item."""
        return self.steps((item,), now)

    def steps(self, items: Iterable[Item], now: Now) -> Step:
        """Take what came together, in order."""
        ledger = self._ledger
        ledger.begin(now)
        entries = ledger.entries
        for item in items:
            if isinstance(item, Seen):
                seen = item.observation
                entry = entries.get(seen.key) or ledger.entry(seen.key)
                if seen.signal is not None:
                    events.event(ledger, entry, seen)
                else:
                    reads.read(ledger, entry, seen, seen.asked, seen.origin)
                    if seen.key in ledger.doubted:
                        self._answered(seen.key)
            else:
                self._take(item)
                entries = ledger.entries
        return ledger.end()

    def _take(self, item: Item) -> None:
        ledger = self._ledger
        if isinstance(item, NativeEvent):
            self._native_event(item)
        elif isinstance(item, ListingSlice):
            self._listing(item)
        elif isinstance(item, Gone):
            origin = item.origin if ledger.synced else self._origin_of_listing
            reads.gone(ledger, ledger.entry(item.key), item.key, item.asked, origin)
            if item.key in ledger.doubted:
                self._answered(item.key)
        elif isinstance(item, ReadFailed):
            reads.fail(ledger, ledger.entry(item.key), item)
            if item.key in ledger.doubted:
                self._answered(item.key)
        elif isinstance(item, Accepted):
            verbs.accept(ledger, ledger.entry(item.key), item)
        elif isinstance(item, LinkUp):
            self._link_up(item)
        elif isinstance(item, LinkLost):
            self._link_lost(item)
        elif isinstance(item, Overrun):
            ledger.effects.append(Relist(Scope.ALL, item.why))

    def wake(self, now: Now) -> Step:
        """A WakeAt came due."""
        ledger = self._ledger
        ledger.begin(now)
        while (due := ledger.next_due()) is not None:
            at, what, key = due
            entry = ledger.entries.get(key)
            if entry is not None:
                verbs.wake(ledger, entry, at, what, key)
        return ledger.end()

    # ------------------------------------------------------------ the host

    def _native_event(self, item: NativeEvent) -> None:
        ledger = self._ledger
        event = item.event
        record = ledger.records.get(event.key)
        ledger.revision += 1
        ledger.changes.append(
            replace(
                event,
                host=ledger.host,
                name=event.name if record is None else record.name,
                observed_at=ledger.now.wall,
                revision=ledger.revision,
            )
        )
        if record is None:
            ledger.probe(event.key)

    def _listing(self, part: ListingSlice) -> None:
        ledger = self._ledger
        if part.keys is not None and not part.keys and doubt.begin(ledger, part.asked):
            return
        doubt.end(ledger)
        reconcile.apply(ledger, part, part.origin if ledger.synced else self._origin_of_listing)
        if part.last and part.keys is not None:
            self._synced()

    @property
    def _origin_of_listing(self) -> Origin:
        """Of the first listing of a connection."""
        return Origin.RESYNC if self._listed_once else Origin.LIST

    def _answered(self, key: Key) -> None:
        """A domain was read whose listing is in doubt."""
        if doubt.answered(self._ledger, key):
            self._synced()

    def _synced(self) -> None:
        """A complete listing is applied."""
        ledger = self._ledger
        if ledger.synced:
            return
        origin = self._origin_of_listing
        ledger.synced = self._listed_once = True
        ledger.revision += 1
        ledger.changes.append(
            HostResynced(
                host=ledger.host,
                origin=origin,
                observed_at=ledger.now.wall,
                revision=ledger.revision,
                domains=len(ledger.records),
            )
        )

    def _link_up(self, item: LinkUp) -> None:
        ledger = self._ledger
        before, facts = self._facts, item.facts
        if before is not None and before.uuid != facts.uuid:
            ledger.clear()
            self._listed_once = False
            ledger.revision += 1
            ledger.changes.append(
                HostReplaced(
                    host=ledger.host,
                    observed_at=ledger.now.wall,
                    revision=ledger.revision,
                    before=before,
                    after=facts,
                )
            )
        else:
            ledger.restart()
        doubt.end(ledger)
        self._facts = facts
        self._connected = True
        ledger.synced = False
        ledger.revision += 1
        ledger.changes.append(
            HostConnected(host=ledger.host, observed_at=ledger.now.wall, revision=ledger.revision, facts=facts)
        )

    def _link_lost(self, item: LinkLost) -> None:
        if not self._connected:
            return
        ledger = self._ledger
        self._connected = False
        ledger.synced = False
        doubt.end(ledger)
        ledger.revision += 1
        ledger.changes.append(
            HostLost(
                host=ledger.host,
                observed_at=ledger.now.wall,
                revision=ledger.revision,
                why=item.why,
                refused=item.refused,
            )
        )
