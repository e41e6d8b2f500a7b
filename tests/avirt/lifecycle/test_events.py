"""Lifecycle events, one by one: what each shows at once, and what it asks for."""

from __future__ import annotations

import pytest

from avirt.model.change import Added, Origin, Rebooted, StateChanged, Updated
from avirt.model.observation import Signal
from avirt.model.state import (
    DomainState,
    NormalState,
    NostateReason,
    PausedReason,
    RunningReason,
    ShutdownReason,
    ShutoffReason,
    Transition,
)
from tests.avirt.lifecycle.lab import (
    CRASHED,
    DOWN,
    KEY,
    OFF,
    PAUSED,
    RUNNING,
    TOLD,
    Lab,
    kinds,
    off,
    running,
    state_of,
)

STATES = [signal for signal in TOLD if signal is not Signal.STOPPED]


@pytest.mark.parametrize("signal", list(Signal))
def test_every_event_of_an_unknown_domain_asks_for_a_read_now_or_later(signal: Signal) -> None:
    lab = Lab()
    lab.event(signal, id=3)
    assert lab.probes == [KEY] or lab.wakes


@pytest.mark.parametrize("signal", STATES)
def test_event_of_an_unknown_active_domain_adds_it(signal: Signal) -> None:
    lab = Lab()
    (added,) = lab.event(signal, id=3)
    assert isinstance(added, Added)
    opening = signal in (Signal.STARTED, Signal.RESUMED, Signal.SUSPENDED)
    assert added.origin is (Origin.EVENT if opening else Origin.INFERRED)
    assert lab.record.state is TOLD[signal][0].state
    assert lab.record.since == lab.now.wall


def test_event_of_an_unknown_domain_without_its_name_only_asks() -> None:
    lab = Lab()
    assert lab.event(Signal.STARTED, name=None) == []
    assert lab.probes == [KEY]


def test_stop_of_an_unknown_domain_adds_it_unless_it_is_transient() -> None:
    lab = Lab()
    assert lab.event(Signal.STOPPED, persistent=False) == []
    (added,) = lab.event(Signal.STOPPED)
    assert added.origin is Origin.INFERRED


def test_stop_of_a_removed_domain_shows_nothing() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3, persistent=None)
    lab.event(Signal.STOPPED)
    lab.gone()
    assert lab.event(Signal.STOPPED) == []
    assert lab.view == {}


def test_definition_of_an_unknown_domain_adds_it_as_off_once_all_that_run_are_known() -> None:
    lab = Lab(connected=False)
    lab.link_up()
    assert lab.event(Signal.DEFINED) == []
    lab.listing()
    (added,) = lab.event(Signal.DEFINED)
    assert isinstance(added, Added)
    assert (lab.record.state, lab.record.persistent) == (DomainState.SHUTOFF, True)


def test_definition_of_a_domain_that_was_started_without_a_state_waits_for_the_read() -> None:
    lab = Lab()
    lab.event(Signal.STARTED, told=False, id=3)
    assert lab.event(Signal.DEFINED) == []
    lab.read(PAUSED, id=3)
    assert lab.record.persistent is True


def test_undefinition_of_a_domain_that_was_started_without_a_state_does_not_remove_it() -> None:
    lab = Lab()
    lab.have(OFF)
    lab.event(Signal.STARTED, told=False, id=3)
    assert kinds(lab.event(Signal.UNDEFINED)) == ["updated"]


def test_definition_of_a_running_transient_domain_makes_it_persistent() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3, persistent=False)
    (change,) = lab.event(Signal.DEFINED, id=2)
    assert isinstance(change, Updated)
    assert (lab.record.persistent, lab.record.state, lab.record.id) == (True, DomainState.RUNNING, 3)
    assert lab.event(Signal.DEFINED) == []


def test_undefinition_before_a_start_makes_it_transient() -> None:
    lab = Lab()
    lab.event(Signal.UNDEFINED)
    lab.event(Signal.STARTED)
    assert lab.record.persistent is False


def test_events_other_than_renames_do_not_rename() -> None:
    lab = Lab()
    lab.have(OFF)
    lab.event(Signal.STARTED, name="old")
    assert lab.record.name == "web"


def test_second_first_half_of_a_rename_starts_no_second_timer() -> None:
    lab = Lab()
    lab.have(OFF)
    lab.event(Signal.RENAMED_FROM)
    lab.event(Signal.RENAMED_FROM)
    assert lab.effects == []


def test_rename_of_an_unknown_domain_adds_it() -> None:
    lab = Lab()
    assert kinds(lab.event(Signal.RENAMED, name="www")) == ["added"]


@pytest.mark.parametrize("signal", [Signal.SHUTDOWN, Signal.CRASHED, Signal.PMSUSPENDED])
def test_missing_start_is_filled_in(signal: Signal) -> None:
    lab = Lab()
    lab.have(OFF)
    filled, told = lab.event(signal, id=3)
    assert isinstance(filled, StateChanged)
    assert filled.after is not None
    assert (filled.origin, filled.after.state) == (Origin.INFERRED, DomainState.RUNNING)
    assert (told.origin, lab.record.state) == (Origin.EVENT, TOLD[signal][0].state)


def test_missing_stop_is_filled_in_when_a_domain_starts_under_a_new_id() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    filled, told = lab.event(Signal.STARTED, id=4)
    assert isinstance(filled, StateChanged)
    assert filled.after is not None
    assert (filled.origin, filled.after.state, filled.after.id) == (Origin.INFERRED, DomainState.SHUTOFF, None)
    assert (told.origin, lab.record.id) == (Origin.EVENT, 4)


def test_missing_stop_is_filled_in_even_if_the_new_state_has_to_be_read() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    assert kinds(lab.event(Signal.STARTED, told=False, id=4)) == ["state_changed"]
    assert lab.record.state is DomainState.SHUTOFF
    assert kinds(lab.read(PAUSED, id=4)) == ["state_changed"]


def test_missing_stop_is_filled_in_between_going_down_and_running() -> None:
    lab = Lab()
    lab.have(DOWN, id=None)
    filled, _ = lab.event(Signal.RESUMED, id=4)
    assert filled.origin is Origin.INFERRED


def test_running_again_under_the_same_id_was_no_stop_and_is_marked() -> None:
    lab = Lab()
    lab.have(DOWN, id=3)
    (change,) = lab.event(Signal.RESUMED, id=3)
    assert (change.origin, lab.record.state) == (Origin.INFERRED, DomainState.RUNNING)


def test_illegal_step_goes_straight_to_the_new_state_and_is_marked() -> None:
    lab = Lab()
    lab.have(PAUSED, id=3)
    (change,) = lab.event(Signal.PMSUSPENDED, id=3)
    assert (change.origin, lab.record.state) == (Origin.INFERRED, DomainState.PMSUSPENDED)


def test_started_after_suspended_leaves_it_paused() -> None:
    lab = Lab()
    lab.have(OFF)
    assert kinds(lab.event(Signal.SUSPENDED, id=3)) == ["state_changed"]
    assert lab.event(Signal.STARTED, id=3) == []
    assert lab.record.state is DomainState.PAUSED
    assert lab.probes == [KEY]


def test_started_then_suspended_is_running_then_paused() -> None:
    lab = Lab()
    lab.have(OFF)
    lab.event(Signal.STARTED, id=3)
    lab.event(Signal.SUSPENDED, id=3)
    assert kinds(lab.all) == ["state_changed", "state_changed"]


def test_crashed_and_inactive_domain_starts_again() -> None:
    lab = Lab()
    lab.have(CRASHED, id=3)
    lab.read(CRASHED, active=False)
    lab.time += 60
    (change,) = lab.event(Signal.STARTED, id=4)
    assert change.origin is Origin.EVENT


def test_crash_without_a_state_is_left_to_the_read() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    assert lab.event(Signal.CRASHED, told=False) == []
    assert lab.probes == [KEY]


def test_shutdown_is_on_its_way_down() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    lab.event(Signal.SHUTDOWN, NormalState(DomainState.SHUTDOWN, ShutdownReason.UNKNOWN), active=True)
    going = lab.record
    assert going.transition is Transition.STOPPING
    lab.event(Signal.STOPPED, off(ShutoffReason.SHUTDOWN))
    assert (state_of(lab.record), lab.record.transition) == ((DomainState.SHUTOFF, ShutoffReason.SHUTDOWN), None)


def test_stop_of_a_domain_that_is_off_only_sets_the_reason() -> None:
    lab = Lab()
    lab.have(OFF)
    assert lab.event(Signal.STOPPED) == []
    assert kinds(lab.event(Signal.STOPPED, off(ShutoffReason.FAILED))) == ["updated"]


def test_stop_without_a_reason_is_a_stop() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    lab.event(Signal.STOPPED, told=False)
    assert state_of(lab.record) == (DomainState.SHUTOFF, ShutoffReason.UNKNOWN)


def test_reboot_of_an_unknown_domain_asks() -> None:
    lab = Lab()
    assert lab.event(Signal.REBOOTED) == []


def test_reboot_of_a_domain_that_is_off_fills_in_the_start() -> None:
    lab = Lab()
    lab.have(OFF)
    assert kinds(lab.event(Signal.REBOOTED, id=3)) == ["state_changed", "rebooted"]


def test_reboot_that_we_asked_for_ends_the_transition_and_is_never_merged() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    lab.event(Signal.REBOOTED, id=3)
    lab.accepted(Transition.REBOOTING, 60)
    (change,) = lab.event(Signal.REBOOTED, id=3)
    assert isinstance(change, Rebooted)
    assert lab.record.transition is None


def test_changed_marker_in_an_event_while_running_is_a_reboot() -> None:
    lab = Lab()
    lab.read(RUNNING, id=3, marker=1)
    lab.time += 60
    (change,) = lab.event(Signal.RESUMED, id=3, marker=2)
    assert isinstance(change, Rebooted)
    assert change.origin is Origin.INFERRED


def test_stop_within_a_reboot_that_we_asked_for_is_closed_by_rebooted() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    lab.accepted(Transition.REBOOTING, 300)
    assert kinds(lab.event(Signal.STOPPED)) == ["state_changed"]
    assert kinds(lab.event(Signal.STARTED, id=4)) == ["rebooted"]
    assert lab.record.transition is None


def test_wake_up_and_failed_migration_are_legal_steps() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    lab.event(Signal.PMSUSPENDED, id=3)
    lab.event(Signal.STARTED, running(RunningReason.WAKEUP), id=3)
    lab.event(Signal.SUSPENDED, NormalState(DomainState.PAUSED, PausedReason.MIGRATION, Transition.MIGRATING), id=3)
    lab.event(Signal.RESUMED, running(RunningReason.MIGRATED), id=3)
    assert [change.origin for change in lab.all] == [Origin.EVENT] * 4
    assert kinds(lab.all) == ["state_changed"] * 4
    assert lab.record.transition is None


def test_older_count_does_not_lower_the_count_of_the_last_event() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    lab.event(Signal.SUSPENDED, id=3, asked=9)
    lab.event(Signal.RESUMED, id=3, asked=7)
    assert lab.read(PAUSED, id=3, asked=8) == []


def test_state_that_names_nothing_is_kept_while_active() -> None:
    lab = Lab()
    lab.read(NormalState(DomainState.NOSTATE, NostateReason.UNKNOWN), active=True, id=3)
    lab.time += 60
    (change,) = lab.event(Signal.STARTED, id=3)
    assert change.origin is Origin.EVENT


def test_events_of_an_incarnation_whose_end_was_read_are_not_shown_but_ask() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    lab.read(OFF)
    assert lab.event(Signal.SUSPENDED, id=3) == []
    assert lab.event(Signal.REBOOTED, id=3) == []
    assert lab.probes == [KEY]


def test_undefinition_after_a_read_was_ahead_is_left_to_the_next_read() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    lab.read(OFF)
    assert lab.event(Signal.UNDEFINED) == []
    assert lab.probes == [KEY]
    assert kinds(lab.gone()) == ["removed"]


def test_late_events_of_a_domain_that_is_gone_do_not_raise_it() -> None:
    lab = Lab()
    lab.have(OFF)
    lab.gone()
    assert lab.event(Signal.DEFINED) == []
    assert lab.event(Signal.UNDEFINED) == []
    assert kinds(lab.event(Signal.DEFINED)) == ["added"]


def test_transient_domain_goes_with_its_stop_and_a_persistent_one_with_its_undefinition() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3, persistent=False)
    assert kinds(lab.event(Signal.STOPPED)) == ["state_changed", "removed"]
    lab.have(OFF)
    assert kinds(lab.event(Signal.UNDEFINED)) == ["removed"]
    assert lab.effects == []


def test_reboot_told_twice_is_one() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    lab.event(Signal.REBOOTED, id=3)
    assert lab.event(Signal.REBOOTED, id=3) == []


@pytest.mark.parametrize("signal", [s for s in Signal if s not in (Signal.RENAMED_FROM, Signal.CONTROL_LOST)])
@pytest.mark.parametrize("status", [RUNNING, PAUSED, OFF])
def test_every_event_of_a_known_domain_asks_for_one_read_unless_it_removes_it(
    signal: Signal, status: NormalState
) -> None:
    lab = Lab()
    lab.have(status, id=3)
    lab.event(signal, id=3)
    assert lab.probes == ([KEY] if lab.view else [])
