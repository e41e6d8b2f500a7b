"""Reads and events that cross."""

from __future__ import annotations

from avirt.model.observation import LinkLost, Signal
from avirt.model.state import DomainState
from tests.avirt.lifecycle.lab import KEY, OFF, OTHER, PAUSED, RUNNING, Lab, kinds


def test_start_that_was_read_is_not_undone_by_the_stop_before_it() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    lab.read(RUNNING, id=4)
    lab.all.clear()
    assert lab.event(Signal.SHUTDOWN, id=3) == []
    assert lab.event(Signal.STOPPED) == []
    assert lab.probes == [KEY]
    assert lab.event(Signal.RESUMED, id=4) == []
    assert kinds(lab.event(Signal.STOPPED)) == ["state_changed"]


def test_event_is_shown_as_it_comes_once_late_ones_would_have_come() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    lab.read(RUNNING, id=4)
    lab.time += 2
    assert kinds(lab.event(Signal.STOPPED)) == ["state_changed"]


def test_end_that_was_read_is_not_shown_again() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    lab.read(OFF)
    assert lab.event(Signal.SHUTDOWN, id=3) == []
    assert lab.event(Signal.STOPPED) == []
    assert kinds(lab.event(Signal.RESUMED, id=4)) == ["state_changed"]


def test_event_of_a_new_incarnation_ends_the_waiting_for_older_ones() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    lab.read(OFF)
    assert kinds(lab.event(Signal.RESUMED, id=4)) == ["state_changed"]
    assert kinds(lab.event(Signal.STOPPED)) == ["state_changed"]


def test_domain_that_was_read_before_its_first_event_is_told_once() -> None:
    lab = Lab()
    lab.read(RUNNING, id=4)
    assert lab.event(Signal.STOPPED) == []
    assert lab.event(Signal.STARTED, id=4) == []


def test_first_listing_waits_for_no_event() -> None:
    lab = Lab(connected=False)
    lab.link_up()
    lab.listing(lab.observe(RUNNING, id=3))
    assert kinds(lab.event(Signal.STOPPED)) == ["state_changed"]
    lab = Lab(connected=False)
    lab.link_up()
    lab.read(RUNNING, id=3)
    lab.read(OFF)
    assert kinds(lab.event(Signal.RESUMED, id=3)) == ["state_changed"]


def test_start_that_was_told_without_a_state_and_read_is_awaited_no_more() -> None:
    lab = Lab()
    lab.event(Signal.STARTED, told=False, id=3)
    lab.read(PAUSED, id=3)
    assert kinds(lab.event(Signal.STOPPED)) == ["state_changed"]


def test_ghost_is_not_believed_for_two_seconds() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    lab.event(Signal.STOPPED)
    assert lab.read(RUNNING, id=3) == []
    assert lab.wakes == [0.2]
    assert lab.read(RUNNING, id=3) == []
    assert lab.wakes == []
    lab.time += 2
    assert kinds(lab.read(RUNNING, id=3)) == ["state_changed"]


def test_ghost_of_what_ended_just_before_the_link_was_lost_is_not_believed_after_it() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    lab.event(Signal.STOPPED)
    lab.step(LinkLost("cut"))
    lab.link_up()
    lab.listing(lab.observe(RUNNING, id=3))
    assert lab.record.state is OFF.state
    lab.time += 2
    assert kinds(lab.read(RUNNING, id=3)) == ["state_changed"]


def test_read_under_another_id_or_none_is_no_ghost() -> None:
    for id in (4, None):
        lab = Lab()
        lab.have(RUNNING, id=3)
        lab.event(Signal.STOPPED)
        assert kinds(lab.read(RUNNING, id=id)) == ["state_changed"]


def test_start_after_a_stop_makes_the_same_id_believed_again() -> None:
    """Some hypervisors keep the id over all boots."""
    lab = Lab()
    lab.have(RUNNING, id=3)
    lab.event(Signal.STOPPED)
    lab.event(Signal.STARTED, told=False, id=3)
    assert kinds(lab.read(RUNNING, id=3)) == ["state_changed"]


def test_repeated_reads_begin_anew_with_each_loss_of_control() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    lab.event(Signal.CONTROL_LOST)
    lab.time += 0.1
    lab.event(Signal.CONTROL_LOST)
    lab.wake(0.15)
    assert lab.probes == []
    lab.wake(0.15)
    assert lab.probes == [KEY]
    assert lab.lifecycle.records[KEY].state is DomainState.RUNNING
    assert OTHER not in lab.view
