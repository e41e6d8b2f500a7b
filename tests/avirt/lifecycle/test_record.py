"""One domain's record: what makes a Change, and of which kind."""

from __future__ import annotations

import pytest

from avirt.model.change import Renamed
from avirt.model.observation import LinkLost, Observation, ReadFailed, Seen, Signal
from avirt.model.state import (
    DomainState,
    NormalState,
    PausedReason,
    RunningReason,
    ShutdownReason,
    ShutoffReason,
    Transition,
)
from tests.avirt.lifecycle.lab import KEY, OFF, PAUSED, RUNNING, Lab, kinds, off


@pytest.mark.parametrize(
    ("kind", "status", "more"),
    [
        (None, RUNNING, {}),
        ("state_changed", NormalState(DomainState.RUNNING, RunningReason.BOOTED, Transition.MIGRATING), {}),
        ("updated", NormalState(DomainState.RUNNING, RunningReason.UNPAUSED), {}),
        ("updated", NormalState(DomainState.RUNNING, RunningReason.BOOTED, idle=True), {}),
        ("updated", NormalState(DomainState.RUNNING, RunningReason.BOOTED, needs_answer=True), {}),
        ("updated", RUNNING, {"id": 4}),
        ("updated", RUNNING, {"marker": 4}),
        ("updated", RUNNING, {"persistent": False}),
        ("updated", RUNNING, {"autostart": True}),
        ("renamed", RUNNING, {"name": "www"}),
        ("renamed", RUNNING, {"name": "www", "autostart": True}),
        (None, RUNNING, {"native": {"flags": "r-----"}}),
    ],
)
def test_difference_makes_one_change_of_its_kind(
    kind: str | None, status: NormalState, more: dict[str, object]
) -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    values: dict[str, object] = {"name": "web", "id": 3, "persistent": True, "active": True, "asked": lab.count, **more}
    changes = lab.step(Seen(Observation(key=KEY, status=status, **values)))  # type: ignore[arg-type]
    assert kinds(changes) == ([] if kind is None else [kind])


MIGRATING = NormalState(DomainState.PAUSED, PausedReason.MIGRATION, Transition.MIGRATING)
"""What libvirt says of a domain that arrives, and for ever of one that was restored paused."""


def test_restored_paused_is_paused_and_nothing_is_under_way() -> None:
    lab = Lab()
    lab.have(OFF)
    lab.event(Signal.STARTED, told=False, id=3)
    lab.event(Signal.SUSPENDED, NormalState(DomainState.PAUSED, PausedReason.FROM_SNAPSHOT), id=3)
    for _ in range(2):
        lab.read(MIGRATING, id=3)
        assert (lab.record.state, lab.record.reason) == (DomainState.PAUSED, PausedReason.MIGRATION)
        assert lab.record.transition is None
    lab.step(LinkLost("gone"))
    lab.link_up()
    lab.read(MIGRATING, id=3)
    assert lab.record.transition is None


def test_domain_that_arrives_paused_or_leaves_is_migrating() -> None:
    lab = Lab()
    lab.have(OFF)
    lab.event(Signal.STARTED, told=False, id=3)
    shown: list[Transition | None] = []
    for _ in range(2):
        lab.read(MIGRATING, id=3)
        shown.append(lab.record.transition)
    lab.event(Signal.RESUMED, RUNNING, id=3)
    shown.append(lab.record.transition)
    for id in (3, 4):
        lab.read(MIGRATING, id=id)
        shown.append(lab.record.transition)
    going = Transition.MIGRATING
    assert shown == [going, going, None, going, going]


def test_paused_domain_of_which_nothing_is_known_meanwhile_may_be_migrating() -> None:
    lab = Lab()
    lab.have(PAUSED, id=3)
    lab.step(ReadFailed(KEY, "no answer"))
    lab.read(MIGRATING, id=3)
    assert lab.record.transition is Transition.MIGRATING


def test_since_is_the_last_change_of_state_and_none_until_one_was_seen() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    first = lab.record
    assert first.since is None
    lab.event(Signal.SUSPENDED, id=3)
    since = lab.now.wall
    lab.time += 5
    lab.read(PAUSED, id=3, persistent=False)
    assert (lab.record.since, lab.record.observed_at) == (since, lab.now.wall)


def test_evidence_is_the_drivers_or_else_the_event_itself() -> None:
    lab = Lab()
    lab.have(OFF)
    lab.event(Signal.STARTED, id=3)
    assert lab.record.native == {"event": "lifecycle", "type": "started", "detail": ""}
    lab.event(Signal.UNDEFINED)
    assert lab.record.native == {"event": "lifecycle", "type": "started", "detail": ""}
    lab.read(OFF, native={"status": 0})
    assert lab.record.native == {"status": 0}


def test_shutdown_without_a_transition_is_stopping() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    lab.read(NormalState(DomainState.SHUTDOWN, ShutdownReason.USER), id=3)
    assert lab.record.transition is Transition.STOPPING


def test_what_names_no_state_fills_in_an_id_that_is_not_known_and_changes_none() -> None:
    lab = Lab()
    lab.have(RUNNING)
    assert lab.record.id is None
    lab.event(Signal.DEFINED, id=3)
    lab.event(Signal.DEFINED, id=4)
    assert lab.record.id == 3


def test_reboot_and_new_name_in_one_read_are_two_changes() -> None:
    lab = Lab()
    lab.read(RUNNING, id=3, marker=1)
    assert kinds(lab.read(RUNNING, id=3, marker=2, name="www")) == ["renamed", "rebooted"]
    assert isinstance(lab.all[-2], Renamed)


def test_stop_in_a_reboot_shows_rebooting_and_a_read_that_it_runs_closes_it() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    lab.event(Signal.STOPPED, off(ShutoffReason.UNKNOWN, Transition.REBOOTING), active=False)
    lab.event(Signal.STARTED, told=False, id=4)
    assert kinds(lab.read(RUNNING, id=4)) == ["rebooted"]


def test_stale_record_keeps_its_mark_where_no_state_is_said() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3, persistent=False)
    lab.step(ReadFailed(KEY, "slow"))
    lab.event(Signal.DEFINED)
    assert lab.record.stale_why == "slow"


def test_missing_start_and_transition_shown_and_first_record_are_whole_records() -> None:
    lab = Lab()
    lab.have(OFF)
    lab.event(Signal.SHUTDOWN, id=3)
    lab.accepted(Transition.DELETING, 9)
    assert kinds(lab.all) == ["state_changed"] * 3
