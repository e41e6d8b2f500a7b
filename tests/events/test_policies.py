"""Merging: one change for all that a reader missed of a domain."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from avirt.events.policies import Latest, What, merge
from avirt.model.change import Added, HostLost, Origin, RecordChange, Removed, StateChanged, Updated

from .world import running

RECORD = replace(running("h0", 1), revision=7, observed_at=12.5)
GONE = Removed(host="h0", key=RECORD.key, name="vm1", seq=20, revision=9)


def latest(what: What, *, seq: int = 20, born: int = 3, added: int = 3, moved: int = 3, kept: int = 1) -> Latest[What]:
    return Latest(what, Origin.POLL, seq, born, added, moved, kept)


@pytest.mark.parametrize(
    ("since", "kind"),
    [(2, Added), (3, StateChanged), (9, StateChanged), (10, Updated), (15, Updated)],
)
def test_merge_names_the_kind_by_what_the_reader_knew(since: int, kind: type[RecordChange]) -> None:
    change = merge(latest(RECORD, added=3, moved=10, kept=4), since=since, seen=since)
    assert type(change) is kind
    assert isinstance(change, RecordChange)
    assert change.after is RECORD
    assert change.before is None
    assert (change.host, change.key, change.name) == (RECORD.host, RECORD.key, RECORD.name)
    assert (change.seq, change.revision, change.observed_at, change.origin) == (20, 7, 12.5, Origin.POLL)
    assert change.merged == 4


def test_merge_of_a_domain_that_the_ring_knows_nothing_of_counts_one() -> None:
    change = merge(latest(RECORD, kept=0), since=5, seen=5)
    assert isinstance(change, RecordChange)
    assert change.merged == 1


def test_merge_of_a_removed_domain_that_the_reader_had_removes_it() -> None:
    assert merge(latest(GONE, born=3, kept=0), since=5, seen=5) == GONE
    assert merge(latest(GONE, born=3, kept=2), since=5, seen=5) == replace(GONE, merged=2)


def test_merge_of_a_domain_that_came_and_went_says_nothing() -> None:
    assert merge(latest(GONE, born=6), since=5, seen=5) is None


def test_merge_of_a_domain_that_the_reader_may_have_got_half_way_removes_it() -> None:
    assert merge(latest(GONE, born=6), since=5, seen=10) == GONE


def test_merge_of_a_host_gives_its_last_change_as_it_was() -> None:
    lost = HostLost(host="h0", why="gone", seq=20)
    assert merge(latest(lost), since=5, seen=5) is lost
