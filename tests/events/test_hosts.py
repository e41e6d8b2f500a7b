"""KnownHost: one host's records, status and remembered changes, by itself."""

from __future__ import annotations

from msgspec.structs import replace

from avirt.events.hosts import HostMemory, KnownHost
from avirt.events.policies import merge
from avirt.model.change import Added, Change, DuplicateHost, HostLost, RecordChange, Removed, StateChanged
from avirt.model.record import Certainty, HostState, HostStatus

from .world import FACTS, OTHER_FACTS, World, key, running


def host_of(*changes: Change | None) -> KnownHost:
    """A host that took in these, numbered from 1."""
    host = KnownHost(HostStatus(name="h0"))
    for seq, change in enumerate(changes, 1):
        assert change is not None
        take(host, change, seq)
    return host


def take(host: KnownHost, change: Change, seq: int) -> None:
    numbered = replace(change, seq=seq)
    if isinstance(numbered, RecordChange):
        host.keep(numbered, seq)
    else:
        host.follow(numbered, seq)


def live(host: KnownHost) -> bool:
    return host.live


def test_host_keeps_its_domains_in_order_of_their_last_change() -> None:
    world = World()
    host = host_of(world.add("h0", 1), world.add("h0", 2), world.change("h0", 1, "state"), world.add("h0", 3))
    assert [latest.what.name for latest in host.domains.values()] == ["vm2", "vm1", "vm3"]
    assert [latest.seq for latest in host.domains.values()] == [2, 3, 4]


def test_host_remembers_since_when_a_domain_is_known_added_and_moved() -> None:
    world = World()
    host = host_of(
        world.add("h0", 1),
        world.remove("h0", 1),
        world.add("h0", 1),
        world.change("h0", 1, "state"),
        world.change("h0", 1, "update"),
    )
    latest = host.domains[key(1)]
    assert (latest.born, latest.added, latest.moved, latest.seq, latest.kept) == (1, 3, 4, 5, 5)
    assert not host.tombs


def test_host_counts_a_reboot_as_a_move() -> None:
    world = World()
    host = host_of(world.add("h0", 1), world.change("h0", 1, "reboot"), world.change("h0", 1, "rename"))
    assert host.domains[key(1)].moved == 2


def test_host_has_a_tombstone_without_record_for_a_domain_that_is_gone() -> None:
    world = World()
    host = host_of(world.add("h0", 1), world.remove("h0", 1), Removed(host="h0", key=key(1), before=running()))
    tomb = host.tombs[key(1)]
    assert (tomb.what.before, tomb.seq, tomb.born, tomb.kept) == (None, 3, 1, 3)
    assert not host.records
    host = host_of(Removed(host="h0", key=key(1)))
    assert host.tombs[key(1)].born == 1


def test_host_counts_what_the_ring_still_holds() -> None:
    world = World()
    changes = [world.add("h0", 1), world.change("h0", 1, "state"), world.add("h0", 2), world.remove("h0", 2)]
    host = host_of(*changes)
    for seq, change in enumerate(changes, 1):
        assert isinstance(change, RecordChange)
        host.prune(replace(change, seq=seq))
    assert (host.domains[key(1)].kept, host.tombs[key(2)].kept) == (0, 0)


def test_host_replaced_has_nothing_left_of_the_other() -> None:
    world = World()
    added = world.add("h0", 1)
    host = host_of(world.host("h0", "connected"), added, world.add("h0", 2), world.remove("h0", 2))
    take(host, world.host("h0", "replaced"), 5)
    assert (dict(host.records), host.tombs, host.cleared, host.status.facts) == ({}, {}, 5, OTHER_FACTS)
    assert [latest.seq for latest in host.marks.values()] == [1, 5]
    again = world.add("h0", 1)
    assert again is not None
    take(host, again, 6)
    assert isinstance(added, Added)
    host.prune(replace(added, seq=2))
    assert host.domains[key(1)].kept == 1


def test_host_status_follows_its_changes() -> None:
    world = World()
    host = host_of(world.host("h0", "connected"))
    assert host.current() == HostStatus(name="h0", state=HostState.LIVE, since=1001.0, facts=FACTS)
    host.revision = 7
    assert host.current().revision == host.status.revision == 7
    take(host, world.host("h0", "resynced"), 2)
    assert host.status.synced
    take(host, world.host("h0", "lost"), 3)
    assert (host.status.state, host.status.since, host.status.why) == (HostState.LOST, 1003.0, "gone")
    take(host, HostLost(host="h0", why="password", refused=True), 4)
    assert (host.status.state, host.status.why) == (HostState.REFUSED, "password")
    take(host, DuplicateHost(host="h0", other="h1"), 5)
    assert (host.status.state, host.others, [mark.seq for mark in host.marks.values()]) == (HostState.REFUSED, 5, [4])


def test_host_shows_its_records_stale_while_it_would_not_tell() -> None:
    world = World()
    host = host_of(world.host("h0", "connected"), world.add("h0", 1), world.add("h0", 2))
    one, two = host.records.values()
    assert live(host) is True
    assert host.shown(one) is one
    take(host, world.host("h0", "lost"), 4)
    take(host, world.host("h0", "lost"), 5)
    assert live(host) is False
    assert host.shown(one) == replace(one, certainty=Certainty.STALE, stale_since=1004.0, stale_why="gone")
    failed = replace(one, certainty=Certainty.STALE, stale_since=1.0, stale_why="no answer")
    assert host.shown(failed) is failed
    take(host, world.host("h0", "connected"), 6)
    changed = world.change("h0", 1, "state")
    assert changed is not None
    take(host, changed, 7)
    assert host.shown(host.records[key(1)]).certainty is Certainty.LIVE
    assert host.shown(two).certainty is Certainty.STALE
    take(host, world.host("h0", "resynced"), 8)
    assert live(host) is True


def test_host_set_to_closed_shows_its_records_stale_since_then() -> None:
    host = host_of(World().add("h0", 1))
    host.status = HostStatus(name="h0", state=HostState.CLOSED, since=9.0, why="closed")
    shown = host.shown(host.records[key(1)])
    assert (shown.certainty, shown.stale_since, shown.stale_why) == (Certainty.STALE, 9.0, "closed")


def test_host_lists_what_came_later() -> None:
    world = World()
    host = host_of(world.add("h0", 1), world.add("h0", 2), world.remove("h0", 1), world.host("h0", "lost"))
    assert [[latest.seq for latest in later] for later in host.later(0)] == [[2], [3], [4]]
    assert [[latest.seq for latest in later] for later in host.later(2)] == [[3], [4]]
    assert host.later(4) == []


def test_host_recalled_is_stale_until_it_is_listed_again() -> None:
    host = KnownHost(HostStatus(name="h0"), cleared=50)
    old, new = running("h0", 1), running("h0", 2)
    host.recall(HostMemory(revision=7, lost_at=3.0, lost_why="gone", records={old.key: (20, old), new.key: (40, new)}))
    assert host.current().revision == 7
    assert [latest.seq for latest in host.domains.values()] == [20, 40]
    shown = host.shown(host.records[old.key])
    assert (shown.certainty, shown.stale_since, shown.stale_why) == (Certainty.STALE, 3.0, "gone")
    world = World()
    take(host, world.host("h0", "connected"), 51)
    take(host, world.host("h0", "resynced"), 52)
    assert host.shown(old) is old


def test_host_recalled_is_merged_as_known_for_long() -> None:
    host = KnownHost(HostStatus(name="h0"), cleared=50)
    host.recall(HostMemory(records={key(1): (20, running("h0", 1))}))
    [[latest]] = host.later(10)
    change = merge(latest, since=10, seen=10)
    assert isinstance(change, StateChanged)
    assert change.seq == 20
    assert host.later(20) == []
