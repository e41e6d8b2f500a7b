"""What is under way after a verb of ours, and the timers."""

from __future__ import annotations

import pytest

from avirt.lifecycle.transitions import COMPLETE
from avirt.model.change import Origin, StateChanged
from avirt.model.observation import Signal
from avirt.model.state import DomainState, Transition
from tests.avirt.lifecycle.lab import DOWN, KEY, OFF, PAUSED, RUNNING, Lab, kinds


def test_accepted_verb_shows_its_transition_and_leaves_the_state() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    (change,) = lab.accepted(Transition.STOPPING, 60)
    assert isinstance(change, StateChanged)
    assert (change.origin, lab.record.state, lab.record.transition) == (
        Origin.INFERRED,
        DomainState.RUNNING,
        Transition.STOPPING,
    )
    assert lab.wakes == [60]
    assert lab.accepted(Transition.STOPPING) == []


def test_read_of_the_same_state_does_not_end_it() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    lab.accepted(Transition.STOPPING, 60)
    assert lab.read(RUNNING, id=3) == []


@pytest.mark.parametrize("by_event", [True, False])
def test_passing_state_does_not_end_it_and_the_last_does(by_event: bool) -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    lab.accepted(Transition.STOPPING, 60)
    if by_event:
        lab.event(Signal.SHUTDOWN, id=3)
    else:
        lab.read(DOWN, id=3)
    assert (lab.record.state, lab.record.transition) == (DomainState.SHUTDOWN, Transition.STOPPING)
    if by_event:
        lab.event(Signal.STOPPED)
    else:
        lab.read(OFF)
    assert (lab.record.state, lab.record.transition) == (DomainState.SHUTOFF, None)
    assert lab.wake(60) == []


def test_event_that_contradicts_ends_it() -> None:
    lab = Lab()
    lab.have(PAUSED, id=3)
    lab.accepted(Transition.SAVING, 60)
    lab.event(Signal.RESUMED, id=3)
    assert lab.record.transition is None


def test_save_goes_on_while_it_is_paused() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    lab.accepted(Transition.SAVING)
    assert lab.wakes == []
    lab.event(Signal.SUSPENDED, id=3)
    assert (lab.record.state, lab.record.transition) == (DomainState.PAUSED, Transition.SAVING)


def test_it_ends_in_time() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    lab.accepted(Transition.STOPPING, 60)
    assert lab.wake(59) == []
    (change,) = lab.wake(1)
    assert (change.kind, change.origin, lab.record.transition) == ("state_changed", Origin.INFERRED, None)
    assert lab.probes == [KEY]


def test_later_verb_replaces_it_and_its_timer() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    lab.accepted(Transition.STOPPING, 60)
    lab.accepted(Transition.PAUSING, 120)
    assert lab.wake(60) == []
    assert lab.record.transition is Transition.PAUSING


def test_verb_that_is_given_up_shows_nothing_any_more() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    assert lab.accepted(None) == []
    lab.accepted(Transition.STOPPING, 60)
    assert kinds(lab.accepted(None)) == ["state_changed"]
    assert lab.record.transition is None


def test_verb_that_is_given_up_leaves_a_transition_that_the_hypervisor_tells() -> None:
    lab = Lab()
    lab.have(DOWN, id=3)
    lab.accepted(Transition.PAUSING, 60)
    lab.event(Signal.SHUTDOWN, id=3)
    assert lab.accepted(None) == []
    assert lab.record.transition is Transition.STOPPING


@pytest.mark.parametrize(
    ("transition", "status"),
    [(Transition.STARTING, RUNNING), (Transition.STOPPING, OFF), (Transition.PAUSING, PAUSED)],
)
def test_verb_whose_events_were_faster_than_its_reply_shows_nothing(transition: Transition, status: object) -> None:
    lab = Lab()
    lab.have(status, id=3)  # type: ignore[arg-type]
    assert lab.record.state in COMPLETE[transition]
    assert lab.accepted(transition, 60) == []


def test_verb_on_an_unknown_domain_shows_nothing() -> None:
    lab = Lab()
    assert lab.accepted(Transition.STARTING, 60) == []


def test_removed_domain_has_nothing_under_way() -> None:
    lab = Lab()
    lab.have(OFF)
    lab.accepted(Transition.DELETING, 60)
    lab.event(Signal.UNDEFINED)
    assert lab.wake(60) == []


def test_transition_goes_on_across_a_reconnect() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    lab.accepted(Transition.STOPPING, 60)
    lab.link_up()
    lab.listing(lab.observe(RUNNING, id=3))
    assert lab.record.transition is Transition.STOPPING
    assert kinds(lab.wake(60)) == ["state_changed"]


def test_rename_timer_does_nothing_once_both_halves_came() -> None:
    lab = Lab()
    lab.have(OFF)
    lab.event(Signal.RENAMED_FROM)
    lab.event(Signal.RENAMED, name="www")
    lab.wake(2)
    assert lab.effects == []
    lab.event(Signal.RENAMED_FROM)
    lab.wake(2)
    assert lab.probes == [KEY]


def test_repeated_reads_come_four_times_and_a_new_connection_ends_them() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    lab.event(Signal.CONTROL_LOST)
    pauses = []
    while lab.wakes:
        pauses += lab.wakes
        lab.wake(lab.wakes[0])
    assert pauses == [0.2, 0.3, 0.5, 1.0]
    lab.event(Signal.CONTROL_LOST)
    lab.link_up()
    lab.wake(0.2)
    assert lab.effects == []
