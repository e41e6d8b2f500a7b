"""Cursor: what a reader gets, whatever its pace and policy. A state machine against a model, and the single cases."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from msgspec.structs import replace

from avirt.errors import RevisionTooOld, SlowSubscriber
from avirt.events import Filter, Slow, Store, Token, apply
from avirt.events.cursor import Cursor, Statistics
from avirt.model.change import (
    Added,
    Change,
    DomainChange,
    Gap,
    HostChange,
    Rebooted,
    RecordChange,
    Removed,
    StateChanged,
    Updated,
)
from avirt.model.record import DomainKey, DomainRecord
from avirt.model.state import DomainState

from .world import World, key, running

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
                if item.reset:
                    self.seq = 0
                if slow is Slow.GAP:
                    assert item.seq == self.seq + item.lost or not everything
                    self.seq = item.seq
                continue
            if isinstance(item, DomainChange):
                assert item.merged >= 1
            if slow is not Slow.COALESCE and everything:
                assert item.seq == self.seq + 1
            assert item.seq > self.seq
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
        assert reader.cursor.lag == 0
        if reader.cursor.filter == Filter() and (reader.cursor.slow is Slow.COALESCE or not reader.gaps):
            assert reader.records == self.world.records
        statistics = reader.cursor.statistics
        if not statistics.lost and not statistics.coalesced:
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


TestStream = pytest.mark.slow(StreamMachine.TestCase)
TestStream.settings = settings(max_examples=300, stateful_step_count=60, deadline=None)


# ---------------------------------------------------------------- single cases


def store_of(capacity: int, *changes: Change | None) -> Store:
    store = Store(capacity=capacity, epoch="e")
    store.publish([change for change in changes if change is not None])
    return store


def everything_of(cursor: Cursor) -> list[Change | Gap]:
    items: list[Change | Gap] = []
    while cursor.behind:
        items += cursor.read(100)
    return items


def test_cursor_at_the_head_has_nothing() -> None:
    cursor = store_of(8, *World().flips(3)).cursor()
    assert (cursor.lag, cursor.behind, cursor.read(10)) == (0, False, [])
    assert cursor.statistics == Statistics()


def test_cursor_gives_one_by_one_what_it_gives_in_lists() -> None:
    store = Store(capacity=8)
    single, lists = store.cursor(), store.cursor()
    store.publish([*World().flips(5)])
    assert [single.read(1)[0] for _ in range(5)] == lists.read(5)
    assert single.statistics == lists.statistics == Statistics(given=5)


def test_cursor_with_a_filter_looks_no_further_than_what_it_gives() -> None:
    store = Store(capacity=300)
    world = World()
    cursor = store.cursor(filter=Filter(kinds=frozenset({HostChange})))
    store.publish([*world.flips(100), world.host("h0", "lost"), world.host("h0", "connected"), *world.flips(9)])
    assert [item.seq for item in cursor.read(1)] == [101]
    assert cursor.seq == 101
    assert [item.seq for item in cursor.read(9)] == [102]
    assert cursor.lag == 0


def test_cursor_ahead_gives_what_the_ring_has_as_it_is() -> None:
    store = Store(capacity=8)
    plain, picky = store.cursor(), store.cursor(filter=Filter(kinds=frozenset({HostChange})))
    assert list(plain.ahead(3)) == []
    world = World()
    store.publish([*world.flips(2), world.host("h0", "lost"), *world.flips(2)])
    assert [change.seq for change in plain.ahead(3)] == [1, 2, 3]
    assert [change.seq for change in plain.ahead(3)] == [4, 5]
    assert [change.seq for change in picky.ahead(4)] == [3]
    assert list(picky.ahead(4)) == []
    assert (plain.lag, picky.lag) == (0, 0)
    assert (plain.statistics.given, picky.statistics.given) == (5, 1)


def test_cursor_ahead_leaves_to_reading_what_was_skipped_or_is_merged() -> None:
    world = World()
    store = store_of(2, world.add("h0", 1), world.add("h0", 2))
    cursor = store.cursor()
    store.publish([*world.flips(3), *world.flips(1, number=2)])
    assert list(cursor.ahead(9)) == []
    assert [item.seq for item in cursor.read(1)] == [5]
    assert list(cursor.ahead(9)) == []
    assert [item.seq for item in cursor.read(9)] == [6]
    store.publish([*world.flips(1)])
    assert [change.seq for change in cursor.ahead(9)] == [7]


def test_cursor_given_back_what_was_read_too_much_gives_it_again() -> None:
    store = Store(capacity=8)
    cursor = store.cursor()
    store.publish([*World().flips(5)])
    cursor.read(4)
    cursor.unread(2, 2)
    assert cursor.statistics == Statistics(given=2)
    assert [item.seq for item in cursor.read(9)] == [3, 4, 5]


def test_cursor_is_on_the_ring_until_it_falls_behind_and_when_it_has_caught_up() -> None:
    world = World()
    store = store_of(2, world.add("h0", 1), world.add("h0", 2))
    cursor = store.cursor()
    assert cursor.on_ring
    store.publish([*world.flips(2)])
    assert cursor.on_ring
    store.publish([*world.flips(2), *world.flips(2, number=2)])
    fallen = cursor.on_ring
    cursor.read(1)
    walking = cursor.on_ring
    cursor.read(5)
    assert (fallen, walking, cursor.on_ring) == (False, False, True)


def test_cursor_looks_at_no_more_than_it_may_between_two_turns() -> None:
    store = Store(capacity=100)
    cursor = store.cursor(filter=Filter(hosts=frozenset({"elsewhere"})))
    store.publish([*World().flips(90)])
    assert cursor.read(10, scan=40) == []
    assert cursor.lag == 50
    assert cursor.behind
    assert everything_of(cursor) == []
    assert not cursor.behind


def test_cursors_do_not_influence_each_other() -> None:
    store = Store(capacity=8)
    stuck, slow, fast = store.cursor(), store.cursor(slow=Slow.GAP), store.cursor()
    given: list[Change | Gap] = []
    for change in World().flips(50):
        store.publish([change])
        given += fast.read(10)
    assert [item.seq for item in given] == list(range(1, 51))
    assert (stuck.lag, slow.lag, fast.lag) == (50, 50, 0)
    assert [item.seq for item in slow.read(3)] == [42, 43, 44]
    assert (stuck.lag, slow.lag) == (50, 6)


def test_cursor_that_falls_behind_with_gap_goes_on_with_the_oldest() -> None:
    store = Store(capacity=4)
    cursor = store.cursor(slow=Slow.GAP)
    world = World()
    store.publish([*world.flips(2)])
    cursor.read(2)
    store.publish([*world.flips(8)])
    items = cursor.read(100)
    assert items[0] == Gap(lost=4, since=1002.0, seq=6)
    assert [item.seq for item in items[1:]] == [7, 8, 9, 10]
    assert cursor.statistics == Statistics(given=7, lost=4)


def test_cursor_that_falls_behind_with_disconnect_says_how_much() -> None:
    store = Store(capacity=4)
    cursor = store.cursor(slow=Slow.DISCONNECT)
    store.publish([*World().flips(10)])
    with pytest.raises(SlowSubscriber) as caught:
        cursor.read(100)
    assert caught.value.lost == 6
    assert cursor.statistics == Statistics(lost=6)


def test_cursor_that_falls_behind_with_coalesce_gets_the_latest_of_each_in_order() -> None:
    world = World()
    store = store_of(4, world.add("h0", 1), world.add("h0", 2), world.add("h0", 3))
    cursor = store.cursor()
    store.publish([*world.flips(6, number=2), *world.flips(3, number=1)])
    assert everything_of(cursor) == [
        StateChanged(
            host="h0",
            key=key(2),
            name="vm2",
            after=world.records[DomainKey("h0", key(2))],
            revision=9,
            observed_at=1009.0,
            seq=9,
            merged=1,  # of six the ring holds one
        ),
        StateChanged(
            host="h0",
            key=key(1),
            name="vm1",
            after=world.records[DomainKey("h0", key(1))],
            revision=12,
            observed_at=1012.0,
            seq=12,
            merged=3,
        ),
    ]
    assert cursor.statistics == Statistics(given=2, coalesced=9)
    store.publish([*world.flips(1, number=3)])
    assert [item.seq for item in everything_of(cursor)] == [13]


def test_cursor_that_coalesces_counts_what_can_not_be_merged_first() -> None:
    world = World()
    store = store_of(4, world.add("h0", 1))
    cursor = store.cursor()
    store.publish([world.native("h0", 1), *world.flips(7)])
    gap, merged = everything_of(cursor)
    assert gap == Gap(lost=8, since=1001.0, seq=9)
    assert isinstance(merged, StateChanged)
    assert merged.merged == 4


@pytest.mark.parametrize(
    ("filter", "gap"),
    [
        (Filter(), True),
        (Filter(hosts=frozenset({"h0"})), True),
        (Filter(hosts=frozenset({"h1"})), False),
        (Filter(kinds=frozenset({StateChanged})), False),
        (Filter(kinds=frozenset({HostChange})), True),
        (Filter(kinds=frozenset({Rebooted}), hosts=frozenset({"h1"})), True),
    ],
)
def test_cursor_that_coalesces_has_a_gap_only_if_it_may_have_lost_what_it_wants(filter: Filter, gap: bool) -> None:
    world = World()
    store = store_of(4, world.add("h0", 1), world.add("h1", 1))
    cursor = store.cursor(filter=filter)
    store.publish([world.native("h0", 1), *world.flips(7), *world.flips(1, host="h1")])
    items = everything_of(cursor)
    assert any(isinstance(item, Gap) for item in items) is gap


def test_cursor_that_coalesces_says_what_was_removed_since() -> None:
    world = World()
    store = store_of(3, world.add("h0", 1), world.add("h0", 2))
    cursor = store.cursor(filter=Filter(kinds=frozenset({RecordChange})))
    store.publish([c for c in [world.remove("h0", 1), world.add("h0", 3), world.remove("h0", 3)] if c])
    store.publish([*world.flips(5, number=2)])
    removed, changed = everything_of(cursor)
    assert isinstance(removed, Removed)
    assert (removed.key, removed.name, removed.before, removed.seq) == (key(1), "vm1", None, 3)
    assert isinstance(changed, StateChanged)


def test_cursor_that_coalesces_says_that_a_domain_is_gone_that_came_back_in_between() -> None:
    world = World()
    store = store_of(3, world.add("h0", 1), world.add("h0", 2))
    cursor = store.cursor()
    store.publish([c for c in [world.remove("h0", 1), world.add("h0", 1), world.remove("h0", 1)] if c])
    store.publish([*world.flips(5, number=2)])
    assert [type(item) for item in everything_of(cursor)] == [Removed, StateChanged]


def test_cursor_that_coalesces_calls_a_domain_added_that_came_back() -> None:
    world = World()
    store = store_of(2, world.add("h0", 1))
    cursor = store.cursor()
    store.publish([c for c in [world.remove("h0", 1), world.add("h0", 1)] if c])
    store.publish([*world.flips(1)])
    assert [(type(c), c.merged) for c in everything_of(cursor) if isinstance(c, RecordChange)] == [(Added, 2)]


def test_cursor_that_coalesces_keeps_the_same_name_with_a_new_uuid_apart() -> None:
    world = World()
    store = store_of(2, world.add("h0", 1))
    cursor = store.cursor()
    new = replace(running("h0", 2), name="vm1")
    removed = world.remove("h0", 1)
    assert removed is not None
    store.publish([removed, Added(host="h0", key=new.key, name="vm1", after=new, revision=3)])
    store.publish([Updated(host="h0", key=new.key, name="vm1", before=new, after=new, revision=4)])
    first, second = everything_of(cursor)
    assert isinstance(first, Removed)
    assert isinstance(second, Added)
    assert (first.name, first.key, second.name, second.key) == ("vm1", key(1), "vm1", key(2))
    assert second.merged == 2


def test_cursor_that_coalesces_learns_that_the_host_was_replaced_and_how_it_stands() -> None:
    world = World()
    store = store_of(2, world.add("h0", 1), world.add("h0", 2))
    cursor = store.cursor()
    records = dict(world.records)
    store.publish([c for c in [world.remove("h0", 1), world.host("h0", "lost"), world.host("h0", "replaced")] if c])
    store.publish([c for c in [world.host("h0", "connected"), world.add("h0", 2), world.host("h0", "resynced")] if c])
    items = everything_of(cursor)
    assert [type(item).__name__ for item in items] == ["Gap", "HostReplaced", "Added", "HostResynced"]
    for item in items:
        apply(records, item)
    assert records == world.records


def test_cursor_from_before_what_is_remembered_of_removals_starts_all_over() -> None:
    world = World()
    store = store_of(2, *[world.add("h0", number) for number in range(1, 8)])
    cursor = store.cursor(filter=Filter(kinds=frozenset({StateChanged, Added})))
    records = dict(world.records)
    for number in range(1, 6):
        store.publish([c for c in [world.remove("h0", number)] if c])
    items = everything_of(cursor)
    assert items[0] == Gap(lost=5, since=1007.0, seq=12, reset=True)
    assert [type(item) for item in items[1:]] == [Added, Added]
    for item in items:
        apply(records, item)
    assert records == world.records


def test_cursor_whose_list_is_taken_away_asks_again_and_ends_with_the_view() -> None:
    world = World()
    numbers = range(1, 8)
    store = store_of(7, *[world.add("h0", number) for number in numbers])
    slow, other = store.cursor(), store.cursor()
    records = dict(world.records)
    for number in numbers:
        store.publish([*world.flips(2, number=number)])
    for item in slow.read(3):
        apply(records, item)
    other.read(1)  # its list takes the room of the other's
    store.publish([c for c in [world.remove("h0", 1), world.native("h0", 2), world.remove("h0", 7)] if c])
    items = everything_of(slow)
    assert items[0] == Gap(lost=3, since=1007.0, seq=24)
    assert [item.seq for item in items[1:]] == [15, 17, 19, 22, 24]
    for item in items:
        apply(records, item)
    assert records == world.records


def test_cursor_so_slow_that_the_ring_passes_it_again_while_it_catches_up_catches_up_again() -> None:
    world = World()
    store = store_of(3, world.add("h0", 1), world.add("h0", 2))
    cursor = store.cursor()
    records = dict(world.records)
    store.publish([*world.flips(4), *world.flips(4, number=2)])
    items = cursor.read(1)
    store.publish([world.native("h0", 1), *world.flips(4)])
    items += everything_of(cursor)
    assert [(type(item), item.seq) for item in items] == [
        (StateChanged, 6),
        (StateChanged, 10),
        (Gap, 15),
        (StateChanged, 15),
    ]
    for item in items:
        apply(records, item)
    assert records == world.records


def test_cursor_made_when_the_ring_is_empty_dates_its_gap_from_nothing() -> None:
    store = Store(capacity=2)
    cursor = store.cursor(slow=Slow.GAP)
    store.publish([*World().flips(3)])
    assert cursor.read(1) == [Gap(lost=1, since=0.0, seq=1)]


@given(
    capacity=st.integers(1, 12),
    before=st.integers(0, 8),
    steps=st.lists(st.tuples(st.integers(1, 4), st.sampled_from(["add", "remove", "state", "update"])), max_size=40),
)
def test_cursor_that_coalesces_at_once_counts_exactly_what_the_ring_holds(
    capacity: int, before: int, steps: list[tuple[int, str]]
) -> None:
    """`merged` is the number of the domain's changes in the ring, and what is given is the shortest that will do."""
    world = World()
    store = store_of(capacity, *[world.add("h0", 1 + number % 4) for number in range(before)])
    cursor = store.cursor()
    had = dict(world.records)
    for number, what in steps:
        change = (
            world.add("h0", number)
            if what == "add"
            else world.remove("h0", number)
            if what == "remove"
            else world.change("h0", number, what)
        )
        store.publish([] if change is None else [change])
    behind = cursor.seq + 1 < store.oldest
    kept = [c for c in store.window.slice(store.oldest, capacity) if isinstance(c, RecordChange)]
    items = everything_of(cursor)
    reset = any(isinstance(item, Gap) for item in items)
    if behind:
        for item in items:
            if isinstance(item, RecordChange):
                assert item.merged == max(1, sum(c.key == item.key for c in kept))
        given = [item.key for item in items if isinstance(item, RecordChange)]
        assert len(given) == len(set(given))
        gone = {domain.key for domain in had} - {domain.key for domain in world.records}
        removed = {item.key for item in items if isinstance(item, Removed)}
        assert removed == (set() if reset else gone)
    for item in items:
        apply(had, item)
    assert had == world.records


def test_cursor_that_was_given_changes_another_way_goes_on_after_them() -> None:
    store = store_of(10, *World().flips(10))
    cursor = store.cursor(since=Token(store.epoch, 0))
    cursor.moved(4, 3, 77.0)
    assert cursor.missed(6, 2) == Gap(lost=2, since=77.0, seq=6)
    assert [item.seq for item in cursor.read(2)] == [7, 8]
    assert cursor.statistics == Statistics(given=6, lost=2)
