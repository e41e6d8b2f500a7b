"""Filter: what passes, and what it means for a reader that falls behind."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from avirt.events.filters import EVERYTHING, Filter
from avirt.model.change import (
    Added,
    Change,
    DomainChange,
    DomainEvent,
    HostChange,
    HostLost,
    JournalLost,
    Rebooted,
    RecordChange,
    Removed,
    Renamed,
    StateChanged,
    StoreChange,
    Updated,
)
from avirt.model.native_event import BalloonChange
from avirt.model.record import DomainKey, Key
from avirt.model.state import DomainState, ShutoffReason

from .world import key, running

ON = running("h0", 1)
OFF = replace(ON, state=DomainState.SHUTOFF, reason=ShutoffReason.DESTROYED, id=None, active=False)

ADDED = Added(host="h0", key=ON.key, after=ON)
STOPPED = StateChanged(host="h0", key=ON.key, before=ON, after=OFF)
STARTED = StateChanged(host="h0", key=ON.key, before=OFF, after=ON)
UPDATED = Updated(host="h0", key=ON.key, before=ON, after=ON)
MERGED = StateChanged(host="h0", key=ON.key, after=OFF, merged=3)
REMOVED = Removed(host="h0", key=ON.key, before=OFF)
BALLOON = BalloonChange(host="h0", key=ON.key, actual_kib=1)
LOST = HostLost(host="h0", why="gone")
ALL: list[Change] = [ADDED, STOPPED, STARTED, UPDATED, MERGED, REMOVED, BALLOON, LOST]


def passing(filter: Filter, changes: list[Change] = ALL) -> list[Change]:
    predicate = filter.compile()
    return [change for change in changes if predicate is None or predicate(change)]


def test_filter_without_restriction_needs_no_predicate() -> None:
    assert EVERYTHING.compile() is None


@pytest.mark.parametrize("filter", [Filter(kinds=frozenset()), Filter(hosts=frozenset())])
def test_filter_of_nothing_passes_nothing(filter: Filter) -> None:
    assert passing(filter) == []


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ({StateChanged}, [STOPPED, STARTED, MERGED]),
        ({Removed, HostLost}, [REMOVED, LOST]),
        ({RecordChange}, [ADDED, STOPPED, STARTED, UPDATED, MERGED, REMOVED]),
        ({DomainEvent}, [BALLOON]),
        ({HostChange}, [LOST]),
        ({Change}, ALL),
    ],
)
def test_filter_by_kind_takes_a_base_for_all_its_kinds(kinds: set[type[Change]], expected: list[Change]) -> None:
    assert passing(Filter(kinds=frozenset(kinds))) == expected


def test_filter_by_host_passes_that_host_only() -> None:
    other = replace(LOST, host="h1")
    assert passing(Filter(hosts=frozenset({"h1"})), [*ALL, other]) == [other]


def test_filter_by_domain_passes_it_and_what_its_host_says_of_itself() -> None:
    elsewhere = replace(BALLOON, host="h1")
    neighbour = replace(BALLOON, key=key(2))
    foreign = replace(LOST, host="h1")
    filter = Filter(domains=frozenset({DomainKey("h0", key(1))}))
    assert passing(filter, [*ALL, elsewhere, neighbour, foreign]) == ALL


def test_filter_by_key_passes_it_on_every_host() -> None:
    elsewhere = replace(BALLOON, host="h1")
    neighbour = replace(BALLOON, key=key(2))
    foreign = replace(LOST, host="h1")
    filter = Filter(keys=frozenset({key(1)}))
    assert passing(filter, [*ALL, elsewhere, neighbour, foreign]) == [*ALL, elsewhere, foreign]


def test_filter_by_state_passes_the_way_in_and_the_way_out() -> None:
    assert passing(Filter(states=frozenset({DomainState.RUNNING}))) == [
        ADDED,
        STOPPED,
        STARTED,
        UPDATED,
        MERGED,  # from where is not known: it may have been running
        BALLOON,
        LOST,
    ]
    assert passing(Filter(states=frozenset({DomainState.SHUTOFF}))) == [
        STOPPED,
        STARTED,
        MERGED,
        REMOVED,
        BALLOON,
        LOST,
    ]


def test_filter_by_state_passes_a_removal_whose_state_was_merged_away() -> None:
    bare = replace(REMOVED, before=None, merged=2)
    assert passing(Filter(states=frozenset({DomainState.RUNNING})), [bare]) == [bare]


SOME_HOSTS = [None, frozenset({"h0"}), frozenset({"h1"})]
SOME_KEYS = [None, frozenset({key(1)}), frozenset({key(2)})]
SOME_DOMAINS = [None, frozenset({DomainKey("h0", key(1))}), frozenset({DomainKey("h1", key(2))})]
SOME_STATES = [None, frozenset({DomainState.RUNNING}), frozenset({DomainState.SHUTOFF})]


@pytest.mark.parametrize(
    ("hosts", "keys", "domains", "states"), list(product(SOME_HOSTS, SOME_KEYS, SOME_DOMAINS, SOME_STATES))
)
def test_filter_takes_into_the_snapshot_what_it_would_pass_when_added(
    hosts: frozenset[str] | None,
    keys: frozenset[Key] | None,
    domains: frozenset[DomainKey] | None,
    states: frozenset[DomainState] | None,
) -> None:
    filter = Filter(hosts=hosts, keys=keys, domains=domains, states=states)
    for host, number, state in product(["h0", "h1"], [1, 2], [ON, OFF]):
        record = replace(state, host=host, key=key(number))
        added = Added(host=host, key=key(number), after=record)
        assert filter.wants_record(record) == (passing(filter, [added]) == [added])
        assert list(filter.select([record])) == ([record] if filter.wants_record(record) else [])
        assert filter.wants_host(host) or not filter.wants_record(record)
    assert filter.restricts_records == (filter != EVERYTHING)


@given(kinds=st.sets(st.sampled_from([Added, Removed, StateChanged, Updated, RecordChange])))
def test_filter_of_kinds_that_merging_keeps_loses_nothing_by_it(kinds: set[type[Change]]) -> None:
    filter = Filter(kinds=frozenset(kinds))
    assert not filter.wants_steps
    assert not filter.wants_others


@pytest.mark.parametrize("kind", [Rebooted, Renamed])
def test_filter_of_steps_that_merging_takes_away_says_so(kind: type[Change]) -> None:
    filter = Filter(kinds=frozenset({kind, StateChanged}))
    assert filter.wants_steps
    assert not filter.wants_others


@pytest.mark.parametrize("kind", [Change, DomainChange, DomainEvent, BalloonChange, HostChange, HostLost])
def test_filter_of_kinds_that_can_not_be_merged_says_so(kind: type[Change]) -> None:
    assert Filter(kinds=frozenset({kind})).wants_others
    assert not Filter(kinds=frozenset({kind})).wants_steps


def test_filter_without_kinds_wants_all_that_can_not_be_merged() -> None:
    assert EVERYTHING.wants_others
    assert not EVERYTHING.wants_steps


def test_filter_by_host_passes_what_is_of_all_hosts_together() -> None:
    lost = JournalLost(host="", why="w")
    for wanted in (
        Filter(hosts=frozenset({"h1"})),
        Filter(domains=frozenset({DomainKey("h1", key(1))})),
        Filter(hosts=frozenset({"h1"}), kinds=frozenset({StoreChange})),
    ):
        assert passing(wanted, [lost]) == [lost]
    assert passing(Filter(kinds=frozenset({HostChange})), [lost]) == []
