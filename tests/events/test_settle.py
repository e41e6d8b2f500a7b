"""Settling: what is held back, for how long, in what order it comes; by a clock of its own."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from avirt.errors import SlowSubscriber
from avirt.events import EVERYTHING, Filter, Slow, Statistics, Store, Token, apply
from avirt.events.settle import HELD, LATEST, Settler, SettlingCursor
from avirt.model.change import (
    Added,
    Change,
    DomainChange,
    Gap,
    HostChange,
    HostLost,
    HostResynced,
    Rebooted,
    RecordChange,
    Removed,
    StateChanged,
    Updated,
)
from avirt.model.native_event import BalloonChange
from avirt.model.record import DomainKey, DomainRecord
from avirt.model.state import DomainState

from .world import World, key

SETTLE = 5.0


class Desk:
    """A store, a clock and a reader of what has settled."""

    def __init__(
        self,
        *,
        filter: Filter = EVERYTHING,
        slow: Slow = Slow.COALESCE,
        capacity: int = 1000,
        domains: int = 0,
        since: Token | None = None,
    ) -> None:
        self.world = World()
        self.store = Store(capacity=capacity, epoch="e")
        self.now = 100.0
        for number in range(1, domains + 1):
            self.publish(self.world.add("h0", number))
        self.records = self.view()
        self.filter = filter
        self.slow = slow
        self.cursor = self.reader(since)

    def reader(self, since: Token | None = None) -> SettlingCursor:
        cursor = self.store.cursor(filter=self.filter.before_settling, slow=self.slow, since=since)
        return SettlingCursor(cursor, settle=SETTLE, filter=self.filter, clock=lambda: self.now)

    def view(self) -> dict[DomainKey, DomainRecord]:
        """As last observed: that no host is connected here makes nothing stale."""
        return {record.domain: record for name in self.store.hosts for record in self.store.records(name).values()}

    def publish(self, *changes: Change | None) -> None:
        self.store.publish([replace(change) for change in changes if change is not None])

    def flip(self, number: int = 1, times: int = 1, *, host: str = "h0") -> None:
        for _ in range(times):
            self.publish(self.world.change(host, number, "state"))

    def is_behind(self) -> bool:
        return self.cursor.behind

    def read(self, limit: int = 1000) -> list[Change | Gap]:
        items: list[Change | Gap] = []
        while True:
            more = self.cursor.read(limit)
            items += more
            if not more and not self.cursor.behind:
                return items

    def after(self, seconds: float) -> list[Change | Gap]:
        items = self.read()
        self.now += seconds
        return items + self.read()


def kinds(items: list[Change | Gap]) -> list[type]:
    return [type(item) for item in items]


def merged(items: list[Change | Gap]) -> list[int]:
    return [item.merged for item in items if isinstance(item, DomainChange)]


def test_settling_holds_a_change_back_until_its_domain_was_quiet() -> None:
    desk = Desk(domains=1)
    desk.flip()
    assert desk.read() == []
    assert desk.cursor.due == desk.now + SETTLE
    assert not desk.is_behind()
    desk.now += SETTLE - 0.01
    assert desk.read() == []
    desk.now += 0.01
    assert desk.is_behind()
    (item,) = desk.read()
    assert (type(item), merged([item])) == (StateChanged, [1])
    assert desk.cursor.due is None


def test_settling_folds_a_stop_and_a_start_into_one_reboot() -> None:
    desk = Desk(domains=1)
    desk.flip()
    assert desk.after(SETTLE - 1) == []
    desk.flip()
    assert desk.after(SETTLE - 1) == []
    items = desk.after(1)
    assert (kinds(items), merged(items)) == ([Rebooted], [2])
    assert desk.cursor.statistics == Statistics(given=1, folded=1)


def test_settling_starves_nobody_a_domain_that_is_never_quiet_is_given_at_the_latest() -> None:
    desk = Desk(domains=1)
    began = desk.now
    items: list[Change | Gap] = []
    while not items:
        desk.flip()
        items = desk.after(SETTLE / 2)
        assert desk.now <= began + LATEST * SETTLE + SETTLE / 2
    assert desk.now >= began + LATEST * SETTLE
    assert merged(items) == [2 * LATEST]


def test_settling_a_domain_that_is_never_quiet_holds_up_no_other() -> None:
    desk = Desk(domains=2)
    desk.flip(2)
    desk.flip(1)
    desk.after(SETTLE - 1)
    desk.flip(1)
    items = desk.after(1)
    assert [item.key for item in items if isinstance(item, DomainChange)] == [key(2)]


def test_settling_gives_domains_in_the_order_in_which_they_settled() -> None:
    desk = Desk(domains=3)
    for number in (3, 1, 2, 3):
        desk.flip(number)
    items = desk.after(SETTLE)
    assert [item.seq for item in items] == [5, 6, 7]
    assert [item.key for item in items if isinstance(item, DomainChange)] == [key(1), key(2), key(3)]


def test_settling_never_merges_a_name_that_passed_to_another_uuid() -> None:
    desk = Desk(domains=1)
    desk.publish(desk.world.remove("h0", 1))
    added = desk.world.add("h0", 2)
    assert isinstance(added, Added)
    assert added.after is not None
    desk.publish(replace(added, name="vm1", after=replace(added.after, name="vm1")))
    items = desk.after(SETTLE)
    assert (kinds(items), merged(items)) == ([Removed, Added], [1, 1])


def test_settling_keeps_the_domains_other_events_in_their_place() -> None:
    desk = Desk(domains=2)
    desk.publish(desk.world.native("h0", 1))
    assert kinds(desk.read()) == [BalloonChange]  # nothing is held back of that domain
    desk.flip(1)
    desk.publish(desk.world.native("h0", 1))
    desk.flip(1)
    desk.publish(desk.world.native("h0", 1), desk.world.native("h0", 2))
    items = desk.read()
    assert [item.key for item in items if isinstance(item, DomainChange)] == [key(2)]
    items = desk.after(SETTLE)
    assert kinds(items) == [BalloonChange, Rebooted, BalloonChange]
    assert [item.seq for item in items] == [5, 6, 7]


def test_settling_events_do_not_make_a_domain_restless() -> None:
    desk = Desk(domains=1)
    desk.flip()
    desk.after(SETTLE - 1)
    desk.publish(desk.world.native("h0", 1))
    assert kinds(desk.after(1)) == [StateChanged, BalloonChange]


def test_settling_gives_a_hosts_domains_before_what_happens_to_the_host() -> None:
    desk = Desk(domains=1)
    desk.publish(desk.world.add("h1", 1))
    desk.after(SETTLE)
    desk.flip(host="h1")
    desk.flip()
    desk.flip()
    desk.publish(desk.world.host("h0", "lost"))
    items = desk.read()
    assert kinds(items) == [Rebooted, HostLost]
    desk.publish(desk.world.host("h0", "connected"))
    desk.flip()
    desk.publish(desk.world.host("h0", "resynced"))
    assert kinds(desk.read())[1:] == [StateChanged, HostResynced]
    assert kinds(desk.after(SETTLE)) == [StateChanged]


def test_settling_gives_all_before_a_gap_and_the_gap_at_once() -> None:
    desk = Desk(domains=1, capacity=10, slow=Slow.GAP)
    desk.flip()
    desk.read()
    desk.flip(times=30)
    items = desk.read()
    assert kinds(items)[:2] == [StateChanged, Gap]
    assert desk.cursor.statistics.lost == 20
    assert desk.cursor.seq == desk.store.oldest - 1  # before the oldest that is kept, which is held back
    items = desk.after(SETTLE)
    assert merged(items) == [10]


def test_settling_reader_that_fell_behind_gets_the_latest_folded_once_it_has_settled() -> None:
    desk = Desk(domains=3, capacity=10)
    desk.flip(1, 30)
    desk.flip(2, 1)
    assert desk.read() == []
    items = desk.after(SETTLE)
    assert [item.key for item in items if isinstance(item, DomainChange)] == [key(1), key(2)]
    assert desk.cursor.statistics.coalesced == 31
    for item in items:
        apply(desk.records, item)
    assert desk.records == desk.view()


def test_settling_reader_that_is_disconnected_gets_what_was_held_back_first() -> None:
    desk = Desk(domains=1, capacity=10, slow=Slow.DISCONNECT)
    desk.flip()
    desk.read()
    desk.flip(times=30)
    assert kinds(desk.cursor.read(10)) == [StateChanged]
    assert desk.is_behind()
    with pytest.raises(SlowSubscriber) as caught:
        desk.cursor.read(10)
    assert caught.value.lost == 20


def test_settling_end_of_the_stream_gives_all_that_is_held_back() -> None:
    desk = Desk(domains=2)
    desk.flip(1)
    desk.flip(2)
    assert desk.read() == []
    desk.store.close()
    assert desk.is_behind()
    assert kinds(desk.read(1)) == [StateChanged, StateChanged]
    assert not desk.is_behind()
    desk.publish(desk.world.change("h0", 1, "state"))
    assert kinds(desk.read()) == [StateChanged]


SETTLED: Final[list[tuple[set[type[Change]], set[tuple[type[Change], int]]]]] = [
    ({Rebooted}, {(Rebooted, 1), (Rebooted, 2)}),
    ({StateChanged}, set()),
    ({StateChanged, Updated}, {(Updated, 2)}),
    ({HostChange}, {(HostLost, 0)}),
    ({RecordChange}, {(Rebooted, 1), (Rebooted, 2)}),
    ({BalloonChange, Rebooted}, {(BalloonChange, 2), (Rebooted, 1), (Rebooted, 2)}),
    ({Removed}, set()),
]


@pytest.mark.parametrize(("wanted", "expected"), SETTLED)
def test_settling_filter_is_applied_to_what_has_settled(
    wanted: set[type[Change]], expected: set[tuple[type[Change], int]]
) -> None:
    """Two domains reboot by a stop and a start; the second is also updated."""
    desk = Desk(domains=2, filter=Filter(kinds=frozenset(wanted)))
    desk.flip(1, 2)
    desk.flip(2, 2)
    desk.publish(desk.world.change("h0", 2, "update"), desk.world.native("h0", 2), desk.world.host("h0", "lost"))
    given = {(type(item), item.key[-1] if isinstance(item, DomainChange) else 0) for item in desk.after(SETTLE)}
    assert given == expected


def test_settling_filter_by_state_looks_at_both_ends_only() -> None:
    desk = Desk(domains=1, filter=Filter(states=frozenset({DomainState.SHUTOFF})))
    desk.flip(1, 2)
    assert desk.after(SETTLE) == []
    desk.flip(1)
    assert kinds(desk.after(SETTLE)) == [StateChanged]


def test_settling_resumes_before_what_is_held_back() -> None:
    desk = Desk(domains=2)
    desk.flip(1)
    desk.flip(2)
    desk.after(SETTLE - 1)
    desk.flip(1)
    (item,) = desk.after(1)
    assert (item.seq, desk.cursor.seq) == (4, 2)
    again = desk.reader(Token("e", desk.cursor.seq))
    again.read(10)
    desk.now += SETTLE
    items = again.read(10)
    assert kinds(items) == [StateChanged, Rebooted]  # at least once: the one of domain 2 was given before
    assert again.seq == desk.store.head


def test_settling_holds_back_no_more_than_so_many() -> None:
    assert HELD == 10_000
    desk = Desk(domains=1)
    settler = Settler(SETTLE, EVERYTHING)
    world = World()
    for number in range(1, HELD + 6):
        change = world.add("h0", number)
        assert change is not None
        settler.add(replace(change, seq=number), number - 1, desk.now)
    given = settler.take(100)
    assert [item.seq for item in given] == [1, 2, 3, 4, 5]
    assert settler.place == 5


def test_settling_a_storm_of_events_of_one_domain_is_bounded_too() -> None:
    settler = Settler(SETTLE, EVERYTHING)
    world = World()
    first = world.add("h0", 1)
    assert first is not None
    settler.add(replace(first, seq=1), 0, 0.0)
    for seq in range(2, HELD + 1):
        settler.add(replace(world.native("h0", 1), seq=seq), seq - 1, 0.0)
    was_ready = settler.is_ready
    settler.add(replace(world.native("h0", 1), seq=HELD + 1), HELD, 0.0)
    assert (was_ready, settler.is_ready) == (False, True)
    assert len(settler.take(2 * HELD)) == HELD + 1
    assert settler.place is None


def test_settling_judges_quiet_only_when_all_is_read() -> None:
    """A reader that was away has more to read than one turn looks at: a stop there is not given without its start."""
    desk = Desk(domains=2)
    desk.read()
    desk.flip(1)
    assert desk.cursor.read(10) == []
    desk.flip(2, 800)
    desk.flip(1)
    desk.now += 2 * SETTLE
    items = desk.read()
    assert items == []
    assert sorted(merged(desk.after(SETTLE))) == [2, 800]


def test_settling_reader_that_never_catches_up_is_given_at_the_latest() -> None:
    desk = Desk(domains=2)
    desk.flip(1)
    desk.cursor.read(10, scan=1)
    desk.flip(2, 10)
    desk.now += LATEST * SETTLE
    items = desk.cursor.read(10, scan=1)
    assert [item.key for item in items if isinstance(item, DomainChange)] == [key(1)]


def test_settling_gives_as_many_as_were_asked_for() -> None:
    desk = Desk(domains=1)
    desk.flip()
    desk.publish(*[desk.world.native("h0", 1) for _ in range(3)])
    desk.read()
    desk.now += SETTLE
    assert [len(desk.cursor.read(1)) for _ in range(5)] == [1, 1, 1, 1, 0]
    assert desk.cursor.ahead(5) == ()
    desk.cursor.unread(0, 0)
    assert desk.cursor.seq == desk.store.head


class Settling(RuleBasedStateMachine):
    """Any life, read at any pace: in order for each domain, nothing lost, nothing uncounted, nobody starved."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk(capacity=200)
        self.counted = 0
        self.last: dict[object, int] = {}
        self.changed: dict[DomainKey, float] = {}
        """When a change that is not given yet happened first."""

    def note(self, change: Change | None) -> None:
        if change is None:
            return
        self.desk.publish(change)
        if isinstance(change, RecordChange):
            self.changed.setdefault(change.domain, self.desk.now)
            self.counted += 1
        if isinstance(change, HostChange):
            self.read()
            assert not [domain for domain in self.changed if domain.host == change.host]

    @rule(host=st.sampled_from(["h0", "h1"]), number=st.integers(1, 3))
    def comes_or_goes(self, host: str, number: int) -> None:
        self.note(self.desk.world.add(host, number) or self.desk.world.remove(host, number))

    @rule(
        host=st.sampled_from(["h0", "h1"]),
        number=st.integers(1, 3),
        what=st.sampled_from(["state", "state", "update", "reboot", "rename"]),
    )
    def changes(self, host: str, number: int, what: str) -> None:
        self.note(self.desk.world.change(host, number, what))

    @rule(host=st.sampled_from(["h0", "h1"]), number=st.integers(1, 3))
    def tells_an_event(self, host: str, number: int) -> None:
        self.note(self.desk.world.native(host, number))

    @rule(host=st.sampled_from(["h0", "h1"]), what=st.sampled_from(["connected", "lost", "resynced", "replaced"]))
    def happens_to_the_host(self, host: str, what: str) -> None:
        self.note(self.desk.world.host(host, what))

    @rule(seconds=st.sampled_from([0.1, 1.0, SETTLE, SETTLE * LATEST]))
    def passes(self, seconds: float) -> None:
        self.read()
        self.desk.now += seconds
        self.read()
        for domain, since in self.changed.items():
            assert self.desk.now - since < SETTLE * LATEST, domain
        if seconds >= SETTLE:
            assert not self.changed
            self.agree()

    @rule()
    def read(self) -> None:
        self.take(self.desk.read())

    @rule()
    def resumes(self) -> None:
        """A crash of the reader, which had kept its records and its token."""
        place = self.desk.cursor.seq
        self.desk.cursor = self.desk.reader(Token("e", place))
        self.counted = self.desk.store.head - place  # of any kind: counted again from here
        self.counted -= sum(
            not isinstance(change, RecordChange) for change in self.desk.store.window.slice(place + 1, self.counted)
        )
        self.last.clear()

    def take(self, items: list[Change | Gap]) -> None:
        for item in items:
            assert not isinstance(item, Gap)
            whose = item.domain if isinstance(item, DomainChange) else item.host
            assert item.seq > self.last.get(whose, 0)
            self.last[whose] = item.seq
            if isinstance(item, RecordChange):
                self.counted -= item.merged
                self.changed.pop(item.domain, None)
            apply(self.desk.records, item)

    def agree(self) -> None:
        assert self.counted == 0
        assert self.desk.cursor.seq == self.desk.store.head
        assert self.desk.records == self.desk.view()

    @invariant()
    def is_due_when_something_is_held_back(self) -> None:
        cursor = self.desk.cursor
        if not cursor.behind:
            assert (cursor.due is None) is (cursor.seq == self.desk.store.head)

    @precondition(lambda self: self.desk.store.head > 150)
    @rule()
    def begins_anew(self) -> None:
        """Before the ring is full: falling behind is tested by itself."""
        self.__init__()  # type: ignore[misc]

    def teardown(self) -> None:
        self.desk.store.close()
        self.read()
        self.agree()


Settling.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestSettling = Settling.TestCase


@given(st.integers(1, 12), st.integers(1, 12))
@settings(max_examples=20)
def test_settling_reader_behind_the_ring_ends_with_the_view(flips: int, capacity: int) -> None:
    desk = Desk(domains=3, capacity=capacity)
    desk.flip(1, flips)
    desk.publish(desk.world.remove("h0", 2), desk.world.add("h0", 9))
    desk.flip(3, flips)
    for item in desk.after(SETTLE):
        apply(desk.records, item)
    assert desk.records == desk.view()
