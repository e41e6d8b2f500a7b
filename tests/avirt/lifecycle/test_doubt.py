"""An empty listing is never believed by itself: what is known is read singly."""

from __future__ import annotations

from uuid import UUID

import pytest

from avirt.lifecycle.doubt import AT_ONCE
from avirt.model.change import HostResynced, Origin, Removed
from avirt.model.observation import LinkLost, ReadFailed, Signal
from avirt.model.record import Key, key_of
from tests.avirt.lifecycle.lab import FACTS, KEY, OFF, OTHER, RUNNING, Lab, kinds

MANY = [key_of(UUID(int=number)) for number in range(1, 100)]


def lost_and_back(*keys: Key) -> Lab:
    """A host whose link was lost; its domains are to be listed again."""
    lab = Lab()
    lab.listing(*(lab.observe(OFF, key=key, name=key.hex()) for key in keys))
    lab.step(LinkLost("cut"))
    lab.link_up(FACTS)
    return lab


def owes(lab: Lab) -> bool:
    return lab.lifecycle.owes_listing


@pytest.fixture
def lab() -> Lab:
    return lost_and_back(KEY, OTHER)


def test_empty_listing_removes_nothing_and_has_what_is_known_read(lab: Lab) -> None:
    assert lab.listing() == []
    assert lab.probes == [KEY, OTHER]
    assert owes(lab)
    assert set(lab.lifecycle.records) == {KEY, OTHER}


def test_empty_listing_counts_once_each_domain_answers_that_it_is_gone(lab: Lab) -> None:
    lab.listing()
    assert [(type(change), change.origin) for change in lab.gone(OTHER)] == [(Removed, Origin.RESYNC)]
    assert owes(lab)
    assert [(type(change), change.origin) for change in lab.gone(KEY)] == [
        (Removed, Origin.RESYNC),
        (HostResynced, Origin.RESYNC),
    ]
    assert not owes(lab)
    assert lab.gone(KEY) == []


def test_empty_listing_is_dropped_when_a_domain_is_still_there(lab: Lab) -> None:
    lab.listing()
    assert lab.read(OFF, name=KEY.hex()) == []
    assert owes(lab)
    assert kinds(lab.gone(OTHER)) == ["removed"]  # it said so itself
    assert owes(lab)
    assert kinds(lab.listing(lab.observe(OFF, name=KEY.hex()))) == ["host_resynced"]
    assert not owes(lab)


def test_empty_listing_is_dropped_when_a_domain_cant_be_read(lab: Lab) -> None:
    lab.listing()
    assert kinds(lab.step(ReadFailed(KEY, "hangs"))) == ["updated"]
    lab.gone(OTHER)
    assert owes(lab)
    assert set(lab.lifecycle.records) == {KEY}


def test_empty_listing_is_dropped_when_an_event_says_otherwise(lab: Lab) -> None:
    lab.listing()
    asked = lab.count
    lab.event(Signal.STARTED, id=1)
    lab.gone(KEY, asked=asked)
    assert lab.record.active
    lab.gone(OTHER, asked=asked)
    assert owes(lab)


def test_empty_listing_that_events_have_overtaken_is_no_doubt() -> None:
    lab = Lab()
    asked = lab.count
    lab.event(Signal.STARTED, id=1)
    assert lab.listing(asked=asked) == []
    assert not owes(lab)
    assert lab.record.active


def test_empty_listing_of_a_host_that_was_empty_is_believed_at_once() -> None:
    lab = Lab(connected=False)
    lab.link_up()
    assert owes(lab)
    assert kinds(lab.listing()) == ["host_resynced"]
    assert not owes(lab)


def test_empty_listing_of_a_busy_link_is_doubted_too() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    assert lab.listing() == []
    assert [(type(change), change.origin) for change in lab.gone()][-1] == (Removed, Origin.POLL)
    assert not owes(lab)


def test_empty_listing_of_many_domains_reads_some_at_a_time() -> None:
    lab = lost_and_back(*MANY)
    lab.listing()
    read = list(lab.probes)
    assert len(read) == AT_ONCE
    lab.event(Signal.UNDEFINED, key=MANY[AT_ONCE], name="x")  # need not be read any more
    for key in read:
        lab.gone(key)
        read += lab.probes
    assert read == [key for key in MANY if key != MANY[AT_ONCE]]
    assert not lab.lifecycle.records
    assert kinds(lab.all)[-1] == "host_resynced"


def test_empty_listing_is_forgotten_when_the_link_is_lost(lab: Lab) -> None:
    lab.listing()
    lab.step(LinkLost("cut"))
    assert not owes(lab)
    lab.link_up()
    assert kinds(lab.gone(KEY)) == ["removed"]
    assert owes(lab)
    assert kinds(lab.listing(lab.observe(OFF, key=OTHER, name=OTHER.hex()))) == ["host_resynced"]


def test_partial_listing_leaves_a_complete_one_owed(lab: Lab) -> None:
    assert lab.listing(lab.observe(OFF, name=KEY.hex()), complete=False) == []
    assert owes(lab)
    assert set(lab.lifecycle.records) == {KEY, OTHER}
