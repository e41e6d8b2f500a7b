"""Reads: the rule of time, tombstones, what is stale, what names no state."""

from __future__ import annotations

from uuid import UUID

from avirt.model.change import Origin, Renamed, StateChanged, Updated
from avirt.model.observation import ReadFailed, Signal
from avirt.model.record import Certainty
from avirt.model.state import DomainState, RunningReason
from tests.avirt.lifecycle.lab import ASLEEP, DOWN, KEY, OFF, PAUSED, RUNNING, Lab, kinds


def test_reply_asked_before_the_last_event_is_not_applied() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    asked = lab.count
    lab.event(Signal.SUSPENDED, id=3)
    assert lab.read(RUNNING, id=3, asked=asked) == []
    assert lab.probes == [KEY]
    assert lab.record.state is DomainState.PAUSED


def test_reply_asked_after_the_last_event_is_applied() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    lab.event(Signal.SUSPENDED, id=3)
    assert kinds(lab.read(RUNNING, id=3)) == ["state_changed"]


def test_reply_asked_before_the_last_believed_one_is_not_applied_and_asks_for_nothing() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    lab.event(Signal.SUSPENDED, id=3)
    asked = lab.count
    lab.count += 1
    lab.read(PAUSED, id=3)
    assert lab.read(RUNNING, id=3, asked=asked) == []
    assert lab.effects == []


def test_events_of_other_domains_do_not_matter() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    asked = lab.count
    lab.count += 50
    assert kinds(lab.read(PAUSED, id=3, asked=asked)) == ["state_changed"]


def test_older_read_or_listing_does_not_raise_a_removed_domain() -> None:
    lab = Lab()
    lab.have(OFF)
    asked = lab.count
    lab.event(Signal.UNDEFINED)
    assert lab.read(OFF, asked=asked) == []
    assert lab.effects == []
    assert lab.listing(lab.observe(OFF), asked=asked) == []
    assert kinds(lab.read(OFF)) == ["added"]


def test_older_listing_does_not_remove_a_newer_domain() -> None:
    lab = Lab()
    asked = lab.count
    lab.event(Signal.STARTED, id=3)
    assert lab.listing(asked=asked) == []
    assert lab.probes == [KEY]


def test_gone_removes_and_a_running_domain_stops_first() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    stopped, removed = lab.gone()
    assert isinstance(stopped, StateChanged)
    assert (stopped.origin, removed.kind, removed.origin) == (Origin.INFERRED, "removed", Origin.POLL)
    assert lab.gone() == []


def test_older_gone_is_not_applied() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    asked = lab.count
    lab.event(Signal.SUSPENDED, id=3)
    assert lab.gone(asked=asked) == []
    assert lab.probes == [KEY]


def test_gone_of_a_domain_that_was_never_shown_is_nothing() -> None:
    lab = Lab()
    lab.event(Signal.STARTED, told=False)
    assert lab.gone() == []
    assert kinds(lab.event(Signal.DEFINED)) == ["added"]


def test_read_of_what_is_shown_changes_nothing_and_leaves_the_record_alone() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    record = lab.record
    assert lab.read(RUNNING, id=3, native={"more": 1}) == []
    assert lab.record is record


def test_reads_tell_persistence_autostart_id_and_marker() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    (change,) = lab.read(RUNNING, id=4, persistent=False, autostart=True, marker=7)
    assert isinstance(change, Updated)
    record = lab.record
    assert (record.id, record.persistent, record.autostart, record.marker) == (4, False, True, 7)


def test_read_that_shows_another_name_and_state_is_renamed_and_then_changed() -> None:
    lab = Lab()
    lab.have(OFF)
    renamed, changed = lab.read(RUNNING, id=3, name="www")
    assert isinstance(renamed, Renamed)
    assert isinstance(changed, StateChanged)
    assert (renamed.old, renamed.new, changed.name) == ("web", "www", "www")


def test_read_without_a_name_names_a_new_domain_by_its_uuid() -> None:
    lab = Lab()
    lab.read(OFF, name=None)
    assert lab.record.name == str(UUID(bytes=KEY))


def test_reads_may_show_any_two_points_in_time() -> None:
    lab = Lab()
    lab.have(PAUSED, id=3)
    for status in (ASLEEP, OFF, DOWN, RUNNING):
        lab.time += 60
        (change,) = lab.read(status, id=3)
        assert change.origin is Origin.POLL


def test_failed_read_makes_the_record_stale_and_the_next_good_one_live_again() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    (change,) = lab.step(ReadFailed(KEY, "timed out"))
    assert isinstance(change, Updated)
    record = lab.record
    assert (record.state, record.certainty, record.stale_why) == (DomainState.RUNNING, Certainty.STALE, "timed out")
    assert record.stale_since == lab.now.wall
    assert lab.step(ReadFailed(KEY, "timed out again")) == []
    assert kinds(lab.read(RUNNING, id=3)) == ["updated"]
    assert (lab.record.certainty, lab.record.stale_since, lab.record.stale_why) == (Certainty.LIVE, None, "")


def test_event_with_a_state_makes_a_stale_record_live_and_one_without_does_not() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3, persistent=False)
    lab.step(ReadFailed(KEY, "timed out"))
    since = lab.record.stale_since
    lab.event(Signal.DEFINED)
    assert (lab.record.certainty, lab.record.stale_since, lab.record.stale_why) == (Certainty.STALE, since, "timed out")
    lab.event(Signal.SUSPENDED, id=3)
    assert lab.record.certainty is Certainty.LIVE


def test_failed_read_of_an_unknown_domain_is_nothing() -> None:
    lab = Lab()
    assert lab.step(ReadFailed(KEY, "timed out")) == []


def test_read_without_a_state_keeps_what_is_known_and_is_repeated_a_few_times() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    assert kinds(lab.read(id=3, name="www")) == ["renamed"]
    assert (lab.record.state, lab.record.reason) == (DomainState.RUNNING, RunningReason.BOOTED)
    assert lab.probes == [KEY]
    assert lab.wakes == [0.2]
    asked = 0
    while lab.wakes:
        lab.wake(lab.wakes[0])
        wakes = lab.wakes
        asked += len(lab.probes)
        assert lab.read(id=3, name="www") == []
        assert lab.probes == []
        if wakes:
            lab.wake()
            lab.time += wakes[0]
            lab.wake()
            asked += len(lab.probes)
    assert asked == 4


def test_unknown_domain_becomes_known_by_a_read_that_names_a_state() -> None:
    lab = Lab()
    lab.read(id=3)
    unknown = lab.record
    assert unknown.certainty is Certainty.UNKNOWN
    assert lab.step(ReadFailed(KEY, "timed out")) == []
    (change,) = lab.read(OFF)
    assert isinstance(change, StateChanged)
    assert lab.record.certainty is Certainty.LIVE


def test_read_that_shows_the_incarnation_that_has_just_ended_is_read_again_and_believed_in_time() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3, persistent=False)
    lab.event(Signal.STOPPED)
    lab.count += 1
    assert lab.read(RUNNING, id=3) == []  # it was transient: it is not raised either
    assert lab.wakes == [0.2]
    lab.time += 2
    assert kinds(lab.read(RUNNING, id=3)) == ["added"]


def test_stopped_domain_is_not_shown_running_by_a_read_that_knows_less() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    lab.event(Signal.STOPPED)
    lab.read(RUNNING, id=3)
    lab.read(RUNNING, id=3)
    assert lab.effects == []
    assert lab.record.state is DomainState.SHUTOFF
    assert kinds(lab.read(RUNNING, id=4)) == ["state_changed"]


def test_read_of_a_new_run_then_its_old_end() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    assert kinds(lab.read(PAUSED, id=4)) == ["state_changed"]
    assert lab.event(Signal.STOPPED) == []
    assert lab.event(Signal.STARTED, id=4) == []


def test_gone_transient_domain_does_not_wait_for_an_undefinition() -> None:
    lab = Lab()
    lab.have(OFF, persistent=None)
    lab.gone()
    assert kinds(lab.event(Signal.DEFINED)) == ["added"]


def test_changed_marker_in_a_read_is_rebooted() -> None:
    lab = Lab()
    lab.read(RUNNING, id=3, marker=1)
    assert kinds(lab.read(RUNNING, id=3, marker=2)) == ["rebooted"]
