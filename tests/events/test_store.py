"""Store: numbers, records, statuses, certainty, and what it remembers for readers that are behind."""

from __future__ import annotations

from typing import cast

import pytest
from msgspec.structs import replace

from avirt.errors import InvalidArgument, RevisionTooOld
from avirt.events import Filter, Slow, Store, Token, TooOld, apply
from avirt.events.cursor import Cursor
from avirt.events.hosts import HostMemory
from avirt.events.journal import Journal
from avirt.events.runs import Run, Runs
from avirt.events.store import Snapshot
from avirt.events.subscription import Subscription
from avirt.model.change import (
    Added,
    Change,
    DuplicateHost,
    Gap,
    HostConnected,
    HostLost,
    JournalLost,
    Removed,
    StateChanged,
)
from avirt.model.record import Certainty, DomainKey, DomainRecord, HostState, HostStatus
from avirt.model.state import DomainState

from .world import FACTS, OTHER_FACTS, World, key, running


def made(capacity: int = 100, *changes: Change | None) -> Store:
    store = Store(capacity=capacity, epoch="e")
    store.publish([change for change in changes if change is not None])
    return store


# ---------------------------------------------------------------- numbers


def test_store_numbers_changes_over_all_hosts_from_one() -> None:
    world = World()
    first, second = world.host("h0", "connected"), world.host("h1", "connected")
    store = made(100, first, second)
    assert (first.seq, second.seq) == (1, 2)
    assert (store.oldest, store.head) == (1, 2)


def test_store_without_changes_has_head_zero() -> None:
    store = Store()
    assert (store.oldest, store.head) == (1, 0)
    store.publish([])
    assert store.head == 0


def test_store_given_a_numbered_change_leaves_the_callers_as_it_was() -> None:
    first = World().host("h0", "connected")
    store, other = made(100, first), made(100, World().host("h9", "lost"))
    other.publish([first])
    assert first.seq == 1
    assert [change.seq for change in other.window.slice(1, 5)] == [1, 2]
    assert store.window[1] is first


def test_store_makes_itself_an_epoch() -> None:
    assert Store().epoch != Store().epoch
    assert Store(epoch="mine").epoch == "mine"


@pytest.mark.parametrize("epoch", ["", "a:b", "a b", "x" * 65])
def test_store_with_an_epoch_that_no_token_carries_is_refused(epoch: str) -> None:
    with pytest.raises(InvalidArgument):
        Store(epoch=epoch)


def test_store_wakes_once_a_publish_and_not_for_nothing() -> None:
    store, world, woken = made(), World(), list[int]()
    store.wake = lambda: woken.append(store.head)
    store.publish([])
    store.publish([world.host("h0", "connected"), world.host("h0", "lost")])
    assert woken == [2]
    store.close()
    assert woken == [2, 2]
    assert store.closed


def test_store_closed_without_readers_is_closed() -> None:
    store = Store()
    store.close()
    assert store.closed


# ---------------------------------------------------------------- records


def test_store_shows_records_by_host_as_a_live_view() -> None:
    world = World()
    store = made(100, world.add("h0", 1), world.add("h1", 1), world.add("h0", 2))
    records = store.records("h0")
    assert [record.name for record in records.values()] == ["vm1", "vm2"]
    store.publish([change for change in [world.remove("h0", 1)] if change])
    assert [record.name for record in records.values()] == ["vm2"]
    assert store.record("h0", key(1)) is None
    assert store.record("h1", key(1)) == world.records[DomainKey("h1", key(1))]


def test_store_knows_nothing_of_hosts_that_it_was_not_told_of() -> None:
    store = Store()
    assert dict(store.records("h0")) == {}
    assert store.record("h0", key(1)) is None
    assert store.view_of("h0", key(1)) is None
    assert store.status("h0") is None
    assert store.hosts == {}
    store.forget("h0")


def test_store_told_of_a_removal_of_what_it_never_had_stays_as_it_was() -> None:
    store = made(1, Removed(host="h0", key=key(1)), Removed(host="h0", key=key(1)), Removed(host="h0", key=key(2)))
    assert dict(store.records("h0")) == {}


def test_store_forgets_a_host_with_its_records() -> None:
    world = World()
    store = made(2, world.add("h0", 1), world.add("h0", 2), world.add("h1", 1))
    store.forget("h0")
    assert list(store.hosts) == ["h1"]
    assert dict(store.records("h0")) == {}
    # the ring still holds a change of it: that does not count for another host of that name
    store.publish([Added(host="h0", key=key(2), after=running("h0", 2))])
    store.publish([change for change in [world.change("h1", 1, "state")] if change])
    store.publish([change for change in [world.change("h1", 1, "state")] if change])
    assert list(store.records("h0")) == [key(2)]


def test_apply_replays_a_stream_into_the_view() -> None:
    world = World()
    records: dict[DomainKey, DomainRecord] = {}
    for change in [
        world.add("h0", 1),
        world.add("h0", 2),
        world.add("h1", 1),
        world.change("h0", 1, "state"),
        world.change("h0", 1, "rename"),
        world.native("h0", 1),
        world.host("h1", "replaced"),
        world.host("h0", "lost"),
        world.remove("h0", 2),
        Removed(host="h0", key=key(9)),
    ]:
        assert change is not None
        apply(records, change)
    assert records == world.records
    apply(records, Gap(lost=1, since=0.0, seq=5))
    assert records == world.records
    apply(records, Gap(lost=1, since=0.0, seq=5, reset=True))
    assert records == {}


# ---------------------------------------------------------------- hosts


def test_status_follows_from_the_hosts_changes() -> None:
    world = World()
    store = made(100, world.host("h0", "connected"))
    assert store.status("h0") == HostStatus(
        name="h0", state=HostState.LIVE, since=1001.0, facts=FACTS, synced=False, revision=1
    )
    store.publish([world.host("h0", "resynced")])
    status = store.status("h0")
    assert status is not None
    assert (status.state, status.synced, status.since, status.revision) == (HostState.LIVE, True, 1001.0, 2)
    store.publish([world.host("h0", "lost")])
    status = store.status("h0")
    assert status is not None
    assert (status.state, status.synced, status.since, status.why) == (HostState.LOST, False, 1003.0, "gone")
    assert status.facts == FACTS
    store.publish([world.host("h0", "replaced")])
    status = store.status("h0")
    assert status is not None
    assert (status.facts, status.revision) == (OTHER_FACTS, 4)


def test_status_of_refused_credentials_says_so() -> None:
    store = made(100, HostLost(host="h0", why="bad password", refused=True))
    assert store.hosts["h0"].state is HostState.REFUSED


def test_status_is_not_touched_by_what_does_not_bear_on_it() -> None:
    world = World()
    store = made(100, world.host("h0", "connected"))
    before = store.status("h0")
    store.publish([DuplicateHost(host="h0", other="h1")])
    assert store.status("h0") == before


def test_status_set_by_the_engine_is_shown_with_the_hosts_revision() -> None:
    world = World()
    store = Store()
    store.set_status(HostStatus(name="h0", revision=5))
    assert store.hosts == {"h0": HostStatus(name="h0", revision=5)}
    store.publish([replace(world.host("h0", "connected"), revision=6)])
    store.set_status(HostStatus(name="h0", state=HostState.LOST, why="no route", next_try=9.0))
    assert store.status("h0") == HostStatus(name="h0", state=HostState.LOST, why="no route", next_try=9.0, revision=6)


# ---------------------------------------------------------------- certainty


def test_view_of_a_live_host_is_its_records_as_they_are() -> None:
    world = World()
    store = made(100, world.host("h0", "connected"), world.add("h0", 1), world.host("h0", "resynced"))
    record = store.record("h0", key(1))
    assert record is not None
    assert store.view() == [record]
    assert store.view_of("h0", key(1)) is record
    assert store.view_of("h0", key(2)) is None


def test_view_of_a_lost_host_is_stale_since_the_loss_and_nothing_is_stored() -> None:
    world = World()
    store = made(100, world.host("h0", "connected"), world.add("h0", 1), world.host("h0", "resynced"))
    store.publish([world.host("h0", "lost")])
    shown = store.view_of("h0", key(1))
    assert shown is not None
    assert (shown.certainty, shown.stale_since, shown.stale_why) == (Certainty.STALE, 1004.0, "gone")
    assert store.view() == [shown]
    record = store.record("h0", key(1))
    assert record is not None
    assert record.certainty is Certainty.LIVE


def test_view_of_a_host_lost_again_and_again_is_stale_since_the_first_loss() -> None:
    world = World()
    store = made(100, world.add("h0", 1), world.host("h0", "lost"))
    store.set_status(HostStatus(name="h0", state=HostState.CONNECTING, since=5000.0))
    store.publish([world.host("h0", "lost")])
    assert [record.stale_since for record in store.view()] == [1002.0]


def test_view_after_a_reconnect_is_live_once_seen_or_resynced() -> None:
    world = World()
    store = made(100, world.add("h0", 1), world.add("h0", 2), world.host("h0", "lost"), world.host("h0", "connected"))
    assert [record.certainty for record in store.view()] == [Certainty.STALE, Certainty.STALE]
    store.publish([change for change in [world.change("h0", 1, "state")] if change])
    assert {record.name: record.certainty for record in store.view()} == {"vm1": Certainty.LIVE, "vm2": Certainty.STALE}
    store.publish([world.host("h0", "resynced")])
    assert {record.certainty for record in store.view()} == {Certainty.LIVE}


def test_view_of_a_first_connection_is_live_before_the_listing_is_complete() -> None:
    world = World()
    store = made(100, world.host("h0", "connected"), world.add("h0", 1))
    assert [record.certainty for record in store.view()] == [Certainty.LIVE]


def test_view_of_a_host_that_is_closed_is_stale() -> None:
    world = World()
    store = made(100, world.host("h0", "connected"), world.add("h0", 1))
    store.set_status(HostStatus(name="h0", state=HostState.CLOSED, since=77.0, why="closed"))
    assert [(record.certainty, record.stale_since, record.stale_why) for record in store.view()] == [
        (Certainty.STALE, 77.0, "closed")
    ]


def test_view_keeps_what_a_record_says_of_its_own_staleness() -> None:
    stale = replace(running(), certainty=Certainty.STALE, stale_since=3.0, stale_why="read failed")
    world = World()
    store = made(100, world.host("h0", "connected"), Added(host="h0", key=key(1), after=stale))
    assert store.view() == [stale]
    store.publish([world.host("h0", "lost")])
    assert store.view() == [stale]


def test_view_takes_what_the_filter_wants() -> None:
    world = World()
    store = made(100, world.add("h0", 1), world.add("h0", 2), world.add("h1", 1), world.change("h0", 1, "state"))
    for filter, expected in [
        (Filter(), ["h0/vm2", "h0/vm1", "h1/vm1"]),
        (Filter(hosts=frozenset({"h1"})), ["h1/vm1"]),
        (Filter(states=frozenset({DomainState.SHUTOFF})), ["h0/vm1"]),
        (Filter(kinds=frozenset({StateChanged})), ["h0/vm2", "h0/vm1", "h1/vm1"]),
    ]:
        assert [f"{record.host}/{record.name}" for record in store.view(filter=filter)] == expected


def test_snapshot_has_records_and_hosts() -> None:
    world = World()
    store = made(100, world.host("h0", "connected"), world.add("h0", 1))
    snapshot = store.snapshot()
    assert list(snapshot.records) == list(store.records("h0").values())
    assert snapshot.hosts == store.hosts


# ---------------------------------------------------------------- tokens


def test_cursor_after_a_token_has_exactly_what_was_missed() -> None:
    world = World()
    store = made(100, *world.flips(10))
    cursor = store.cursor(since=Token("e", 7))
    assert [change.seq for change in cursor.read(100) if not isinstance(change, Gap)] == [8, 9, 10]
    assert store.cursor(since=Token("e", 10)).lag == 0


@pytest.mark.parametrize(
    ("token", "reason"),
    [(Token("x", 8), "epoch"), (Token("x", 99), "epoch"), (Token("e", 11), "ahead"), (Token("e", 6), "pruned")],
)
def test_cursor_after_a_token_that_can_not_be_resumed_says_why(token: Token, reason: str) -> None:
    store = made(3, *World().flips(10))
    with pytest.raises(RevisionTooOld) as caught:
        store.cursor(since=token)
    assert (caught.value.oldest, caught.value.head, caught.value.reason) == (8, 10, reason)


def test_cursor_after_the_oldest_token_that_can_be_resumed_has_all_that_is_kept() -> None:
    store = made(3, *World().flips(10))
    assert store.cursor(since=Token("e", 7)).lag == 3


def test_subscribe_by_token_has_no_snapshot() -> None:
    store = made(100, *World().flips(10))
    subscription = store.subscribe(since="e:7")
    assert subscription.resumed
    assert (list(subscription.snapshot), dict(subscription.hosts), subscription.lag) == ([], {}, 3)
    assert store.subscribe(since=Token("e", 8)).lag == 2


def test_subscribe_by_a_token_too_old_raises_or_begins_with_a_snapshot() -> None:
    store = made(3, *World().flips(10))
    with pytest.raises(RevisionTooOld):
        store.subscribe(since="e:1")
    subscription = store.subscribe(since="e:1", too_old=TooOld.SNAPSHOT, slow=Slow.GAP)
    assert not subscription.resumed
    assert list(subscription.snapshot) == store.view()
    assert subscription.lag == 0


def test_subscribe_by_what_is_no_token_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        Store().subscribe(since="yesterday")


def test_subscribe_takes_snapshot_and_place_in_one_step() -> None:
    world = World()
    store = made(100, world.add("h0", 1), HostConnected(host="h0", facts=FACTS))
    subscription = store.subscribe()
    store.publish([change for change in [world.add("h0", 2), world.remove("h0", 1)] if change])
    assert [record.name for record in subscription.snapshot] == ["vm1"]
    assert [change.seq for change in subscription.read_nowait(9) if not isinstance(change, Gap)] == [3, 4]


def test_store_knows_by_host_since_when_nothing_came_that_can_not_be_merged() -> None:
    world = World()
    store = made(100, world.native("h0", 1), world.add("h0", 1), world.add("h1", 1))
    assert store.others_since(0, Filter())
    assert not store.others_since(1, Filter())
    assert not store.others_since(0, Filter(hosts=frozenset({"h1"})))


# ---------------------------------------------------------------- memory


def test_store_remembers_no_more_removed_domains_than_the_ring_has_places() -> None:
    world = World()
    store = Store(capacity=4, epoch="e")
    for number in range(1, 40):
        store.publish([change for change in [world.add("h0", number), world.remove("h0", number)] if change])
    assert store.sizes().removed == 4
    assert store.horizon == store.head - 2 * 4


def test_store_passed_by_a_storm_with_a_thousand_stuck_readers_stays_as_small_as_it_was() -> None:
    """Domains come, change and go; the readers are never asked, or once, and then stuck for good."""
    world = World()
    store = Store(capacity=20, epoch="e")
    readers = [store.cursor(slow=slow) for slow in Slow for _ in range(333)]
    for number in range(3000):
        store.publish([c for c in [world.add("h0", number)] if c])
        old = world.remove("h0", number - 5) if number >= 5 else None
        store.publish([c for c in [world.change("h0", number, "state"), old] if c])
        if number == 1500:
            for reader in readers[:333]:
                reader.read(1)
    kept = store.sizes()
    assert kept.changes == 20
    assert kept.removed == 20
    assert kept.waiting <= 20 + 5 + 20  # one list may be longer than the ring: its readers each get further in turn
    assert kept.domains == len(world.records) == 5
    assert {reader.lag for reader in readers[333:]} == {store.head}


def test_store_does_not_move_the_horizon_for_domains_that_came_back() -> None:
    world = World()
    store = Store(capacity=2, epoch="e")
    for _ in range(20):
        store.publish([change for change in [world.add("h0", 1), world.remove("h0", 1)] if change])
    assert store.horizon == 0


def test_store_takes_unread_lists_from_the_slowest_for_the_sake_of_memory() -> None:
    world = World()
    store = Store(capacity=6, epoch="e")
    store.publish([change for number in range(1, 6) if (change := world.add("h0", number))])
    first, second = store.walk(0), store.walk(0)
    assert (len(first), first.dropped) == (0, True)
    assert (len(second), second.dropped) == (5, False)
    second.take(5)
    third = store.walk(0)
    assert not second.dropped
    assert len(third) == 5


def test_store_lets_a_single_list_be_longer_than_the_ring() -> None:
    world = World()
    store = Store(capacity=2, epoch="e")
    store.publish([change for number in range(1, 6) if (change := world.add("h0", number))])
    assert len(store.walk(0)) == 5


# ---------------------------------------------------------------- a journal


class Notes:
    """What a store asks of its journal."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.heads: list[int] = []
        self.forgotten: list[str] = []
        self.asked: list[tuple[int, bool, bool]] = []

    def collect(self) -> None:
        self.heads.append(self.store.head)

    def forget(self, host: str) -> None:
        self.forgotten.append(host)

    def subscription(self, cursor: Cursor, snapshot: Snapshot | None, *, durable: bool) -> Subscription:
        self.asked.append((cursor.seq, snapshot is None, durable))
        return Subscription(self.store, cursor, snapshot)


def noted(store: Store, runs: Runs | None = None) -> Notes:
    notes = Notes(store)
    store.attach(cast("Journal", notes), runs or Runs([Run(0, store.head)]))
    return notes


def test_store_tells_its_journal_after_each_publish_and_then_its_readers() -> None:
    store = Store()
    notes = noted(store)
    world = World()
    store.publish([*world.flips(3)])
    store.publish([*world.flips(2)])
    assert notes.heads == [3, 5]
    store.forget("h0")
    assert notes.forgotten == ["h0"]


def test_store_knows_what_was_left_and_only_that() -> None:
    world = World()
    store = made(10, world.host("h0", "connected"), world.add("h0", 1))
    assert store.left("h0") is None
    assert store.left("h1") is None
    store.set_status(replace(store.hosts["h0"], state=HostState.CLOSED))
    left = store.left("h0")
    assert left is not None
    assert (left.facts, left.revision, left.connected) == (store.hosts["h0"].facts, store.hosts["h0"].revision, False)
    assert left.records == {key(1): (2, store.record("h0", key(1)))}


def test_store_goes_on_from_a_number_with_what_was_known() -> None:
    record = running("h0", 1)
    memory = HostMemory(facts=FACTS, revision=5, records={record.key: (90, record)})
    store = Store(epoch="e", head=100, memory={"h0": memory, "h1": HostMemory()})
    assert (store.head, store.oldest, dict(store.hosts)) == (100, 101, {})
    store.set_status(HostStatus(name="h0"))
    assert [each.certainty for each in store.view()] == [Certainty.STALE]
    assert store.hosts["h0"].revision == 5
    assert store.recall("h0") is memory
    assert store.recall("h0") is None
    store.forget("h1")
    assert store.recall("h1") is None
    world = World()
    store.publish([world.host("h0", "connected")])
    assert store.head == 101


def test_store_asks_its_journal_for_what_the_ring_has_lost_and_for_what_is_durable() -> None:
    world = World()
    store = Store(capacity=10, epoch="e")
    notes = noted(store)
    store.publish([*world.flips(30)])
    store.subscribe()
    store.subscribe(since="e:25")
    assert notes.asked == []
    store.subscribe(since="e:5")
    store.subscribe(since="e:25", durable=True)
    store.subscribe(durable=True)
    assert notes.asked == [(5, True, False), (25, True, True), (30, False, True)]
    with pytest.raises(RevisionTooOld) as caught:
        store.subscribe(since="e:5", settle=1.0)
    assert caught.value.reason == "pruned"


def test_store_refuses_by_what_its_journal_has() -> None:
    store = Store(capacity=10, epoch="e", head=100)
    notes = noted(store, Runs([Run(0, 30), Run(100, 100)], pruned=10))
    for token, reason in (("e:9", "pruned"), ("e:31", "ahead"), ("e:101", "ahead"), ("f:20", "epoch")):
        with pytest.raises(RevisionTooOld) as caught:
            store.subscribe(since=token)
        assert (caught.value.reason, caught.value.oldest, caught.value.head) == (reason, 11, 100)
    store.subscribe(since="e:30")  # what comes next is the ring's
    assert notes.asked == []
    store.subscribe(since="e:29")
    assert notes.asked == [(29, True, False)]


def test_store_without_its_journal_has_a_new_epoch() -> None:
    world = World()
    store = Store(capacity=10, epoch="e")
    noted(store)
    store.publish([*world.flips(20)])
    store.detach("f")
    store.publish([JournalLost(host="", why="w", epoch="f"), *world.flips(2)])
    assert [str(store.token(seq)) for seq in (1, 20, 21)] == ["e:1", "e:20", "f:21"]
    for token, count in (("e:20", 3), ("f:21", 2)):
        with store.subscribe(since=token) as subscription:
            assert len(subscription.read_nowait()) == count
    for token, reason in (("f:20", "epoch"), ("e:21", "epoch"), ("e:5", "pruned")):
        with pytest.raises(RevisionTooOld) as caught:
            store.subscribe(since=token)
        assert caught.value.reason == reason


def test_store_change_is_of_no_host_and_never_merged_away() -> None:
    world = World()
    store = made(10, *world.flips(2))
    behind = store.subscribe()
    store.publish([JournalLost(host="", why="w")])
    assert list(store.hosts) == ["h0"]
    store.publish([*world.flips(20)])
    assert isinstance(behind.read_nowait()[0], Gap)


def test_store_has_to_have_a_journal_for_what_is_durable() -> None:
    with pytest.raises(InvalidArgument, match="no journal"):
        Store().subscribe(durable=True)
    with pytest.raises(InvalidArgument, match="settle"):
        Store().subscribe(durable=True, settle=1.0)
