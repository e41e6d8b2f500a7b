"""Cursor: what a reader gets, whatever its pace and policy. A state machine against a model, and the single cases."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from avirt.errors import RevisionTooOld, SlowSubscriber
from avirt.events import Filter, Slow, Store, Token, apply
from avirt.events.cursor import Cursor
from avirt.model.change import Change, DomainChange, Gap, HostChange, RecordChange, StateChanged
from avirt.model.record import DomainKey, DomainRecord
from avirt.model.state import DomainState

from .world import World, key

HOSTS = ["h0", "h1"]
NUMBERS = range(1, 6)
FILTERS = [
    Filter(),
    Filter(hosts=frozenset({"h0"})),
    Filter(domains=frozenset({DomainKey("h1", key(2)), DomainKey("h0", key(3))})),
    Filter(kinds=frozenset({StateChanged})),
    Filter(kinds=frozenset({RecordChange})),
    Filter(kinds=frozenset({HostChange})),
    Filter(hosts=frozenset({"nowhere"})),
    Filter(states=frozenset({DomainState.RUNNING})),
]


class Reader:
    """One reader and what it made of what it got."""

    def __init__(self, store: Store, cursor: Cursor, records: dict[DomainKey, DomainRecord]) -> None:
        self.store = store
        self.cursor = cursor
        self.records = records
        self.start = cursor.seq
        self.gaps = 0
        self.jumped = False
        self.given: list[Change] = []
        self.seq = cursor.seq
        """Of the last change given, or of a gap."""

    def take(self, items: list[Change | Gap]) -> None:
        slow = self.cursor.slow
        everything = self.cursor.filter == Filter()
        for item in items:
            apply(self.records, item)
            if isinstance(item, Gap):
                assert slow is not Slow.DISCONNECT
                assert item.lost > 0
                self.gaps += item.lost
                self.jumped = True
                if slow is Slow.GAP:
                    assert item.seq == self.seq + item.lost or not everything
                    self.seq = item.seq
                continue
            if isinstance(item, DomainChange) and item.merged > 1:
                self.jumped = True
            if slow is not Slow.COALESCE and everything:
                assert item.seq == self.seq + 1
            assert item.seq > self.seq or (slow is Slow.COALESCE and self.jumped)
            self.seq = item.seq
            self.given.append(item)

    def read(self, limit: int, scan: int) -> None:
        self.take(self.cursor.read(limit, scan=scan))

    def read_all(self) -> None:
        while self.cursor.behind:
            self.read(100, 100)


class StreamMachine(RuleBasedStateMachine):
    """Publishes and readers of every pace; each reader is checked against the whole history."""

    readers = Bundle("readers")
    tokens = Bundle("tokens")

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.store = Store(capacity=8, epoch="e")
        self.open: list[Reader] = []

    def publish(self, *changes: Change | None) -> None:
        self.store.publish([change for change in changes if change is not None])

    @rule(host=st.sampled_from(HOSTS), number=st.sampled_from(NUMBERS))
    def add(self, host: str, number: int) -> None:
        self.publish(self.world.add(host, number))

    @rule(host=st.sampled_from(HOSTS), number=st.sampled_from(NUMBERS))
    def remove(self, host: str, number: int) -> None:
        self.publish(self.world.remove(host, number))

    @rule(
        host=st.sampled_from(HOSTS),
        number=st.sampled_from(NUMBERS),
        what=st.lists(st.sampled_from(["state", "update", "rename", "reboot"]), min_size=1, max_size=6),
    )
    def change(self, host: str, number: int, what: list[str]) -> None:
        self.publish(*[self.world.change(host, number, one) for one in what])

    @rule(host=st.sampled_from(HOSTS), number=st.sampled_from(NUMBERS), count=st.integers(1, 12))
    def native(self, host: str, number: int, count: int) -> None:
        self.publish(*[self.world.native(host, number) for _ in range(count)])

    @rule(host=st.sampled_from(HOSTS), what=st.sampled_from(["connected", "lost", "resynced", "replaced"]))
    def host(self, host: str, what: str) -> None:
        self.publish(self.world.host(host, what))

    @rule(target=readers, slow=st.sampled_from(list(Slow)), filter=st.sampled_from(FILTERS))
    def subscribe(self, slow: Slow, filter: Filter) -> Reader:
        return self.reader(slow, filter)

    def reader(self, slow: Slow, filter: Filter) -> Reader:
        snapshot = {record.domain: self.store.record(record.host, record.key) for record in self.store.view()}
        records = {domain: record for domain, record in snapshot.items() if record is not None}
        reader = Reader(self.store, self.store.cursor(filter=filter, slow=slow), records)
        self.open.append(reader)
        return reader

    @rule(reader=readers, limit=st.integers(1, 6), scan=st.integers(1, 12))
    def read(self, reader: Reader, limit: int, scan: int) -> None:
        if reader not in self.open:
            return
        missed = self.store.oldest - 1 - reader.cursor.seq
        try:
            reader.read(limit, scan)
        except SlowSubscriber as error:
            self.open.remove(reader)
            lost = error.lost
        else:
            return
        assert reader.cursor.slow is Slow.DISCONNECT
        assert lost == missed > 0

    @rule(reader=readers)
    def read_all(self, reader: Reader) -> None:
        if reader not in self.open:
            return
        try:
            reader.read_all()
        except SlowSubscriber:
            self.open.remove(reader)
            return
        if reader.cursor.filter == Filter() and (reader.cursor.slow is Slow.COALESCE or not reader.gaps):
            assert reader.records == self.world.records
        if not reader.jumped:
            match = reader.cursor.filter.compile()
            expected = self.world.history[reader.start :]
            expected = [change for change in expected if match is None or match(change)]
            assert [(c.host, c.revision, c.kind) for c in reader.given] == [
                (c.host, c.revision, c.kind) for c in expected
            ]

    @rule(target=tokens, reader=consumes(readers))
    def crash(self, reader: Reader) -> tuple[Token, dict[DomainKey, DomainRecord], Reader]:
        """A reader is gone; its token and what it had made of the stream are left."""
        if reader in self.open:
            self.open.remove(reader)
        return Token("e", reader.cursor.seq), reader.records, reader

    @rule(target=readers, left=consumes(tokens), slow=st.sampled_from(list(Slow)))
    def resume(self, left: tuple[Token, dict[DomainKey, DomainRecord], Reader], slow: Slow) -> Reader:
        token, records, before = left
        refused: list[RevisionTooOld] = []
        try:
            reader = Reader(self.store, self.store.cursor(since=token, slow=slow), records)
        except RevisionTooOld as error:
            refused.append(error)
            reader = self.reader(slow, Filter())
        assert bool(refused) == (token.seq + 1 < self.store.oldest)
        for why in refused:
            assert (why.oldest, why.head, why.reason) == (self.store.oldest, self.store.head, "pruned")
        lossy = before.gaps and before.cursor.slow is not Slow.COALESCE
        if not refused and (lossy or before.cursor.filter != Filter()):
            return self.reader(slow, Filter())
        if not refused:
            self.open.append(reader)
        return reader

    @invariant()
    def the_store_shows_the_world(self) -> None:
        shown = {record.domain: record for host in HOSTS for record in self.store.records(host).values()}
        assert shown == self.world.records
        assert self.store.head == len(self.world.history)
        assert len(self.store.window) == min(self.store.head, 8)


TestStream = StreamMachine.TestCase
TestStream.settings = settings(max_examples=300, stateful_step_count=60, deadline=None)
