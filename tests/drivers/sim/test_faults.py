"""Faults as data."""

from __future__ import annotations

from uuid import UUID

import pytest

from avirt.drivers.sim.moments import Moment
from avirt.errors import NotFound
from avirt.model.command import Verb

from .stage import Stage


@pytest.fixture
def stage() -> Stage:
    stage = Stage()
    stage.world.add("vm1", running=True)
    stage.moments()
    return stage


def test_cut_loses_every_link_at_once(stage: Stage) -> None:
    stage.world.faults.cut()
    assert stage.link.lost == "the link was cut"
    assert stage.world.links == ()


def test_restart_hides_what_changes_meanwhile(stage: Stage) -> None:
    with stage.world.faults.restart() as world:
        world.domain("vm1").destroy()
        world.add("vm2")
    assert stage.link.lost
    assert stage.moments() == []
    stage.world.attach(stage.link)
    stage.world.add("vm3")
    assert stage.moments() == [Moment.DEFINED_ADDED]


def test_replaced_host_is_another_and_empty(stage: Stage) -> None:
    before = stage.world.uuid
    stage.world.faults.replace_host()
    assert stage.world.uuid != before
    assert stage.world.domains == {}
    stage.world.faults.replace_host(UUID(int=7), name="other")
    assert (stage.world.uuid, stage.world.name) == (UUID(int=7), "other")


def test_silence_is_noticed_after_a_while(stage: Stage) -> None:
    stage.world.faults.silence()
    assert stage.world.faults.is_mute()
    stage.world.add("vm2")
    assert stage.moments() == []
    stage.wait(stage.world.times.liveness)
    assert stage.link.lost == "nothing was heard for too long"


def test_silence_that_ends_in_time_is_not_noticed(stage: Stage) -> None:
    stage.world.faults.silence()
    stage.world.faults.heal()
    stage.wait(stage.world.times.liveness)
    assert stage.link.lost == ""


def test_lost_events_are_counted_down(stage: Stage) -> None:
    stage.world.faults.lose_events(2)
    stage.world.domain("vm1").destroy()
    stage.world.add("vm2")
    assert stage.moments() == [Moment.DEFINED_ADDED]


def test_overrun_reaches_every_link(stage: Stage) -> None:
    stage.world.faults.overrun()
    assert stage.link.overruns == 1


def test_faults_of_one_domain_leave_the_others_alone(stage: Stage) -> None:
    faults = stage.world.faults
    one, other = stage.world.domain("vm1").key, stage.world.add("vm2").key
    faults.hang("vm1")
    faults.fail_reads("vm1", 2)
    faults.slow("vm1", 3.0)
    faults.delay = 1.0
    assert (faults.is_mute(one), faults.is_mute(other), faults.is_mute()) == (True, False, False)
    assert [faults.fails_read(one) for _ in range(3)] == [True, True, False]
    assert not faults.fails_read(other)
    assert (faults.delay_of(one), faults.delay_of(other), faults.delay_of(None)) == (4.0, 1.0, 1.0)


def test_faults_of_an_unknown_domain_are_a_mistake_of_the_test(stage: Stage) -> None:
    with pytest.raises(NotFound):
        stage.world.faults.hang("nobody")


def test_failing_lists_are_counted_down(stage: Stage) -> None:
    stage.world.faults.fail_lists()
    assert [stage.world.faults.fails_list() for _ in range(2)] == [True, False]


def test_heal_ends_everything_and_wakes_who_waits(stage: Stage) -> None:
    faults = stage.world.faults
    key = stage.world.domain("vm1").key
    faults.refuse("no")
    faults.refuse_credentials = True
    faults.delay = 1
    faults.hidden = 3
    faults.stale_ids = True
    faults.unsupported.add(Verb.RESET)
    faults.hang("vm1")
    faults.fail_reads("vm1")
    faults.fail_lists()
    faults.lose_events(5)
    wakes = stage.link.wakes
    faults.heal()
    assert (faults.refused, faults.refuse_credentials, faults.hidden, faults.stale_ids) == ("", False, 0, False)
    assert not any([faults.unsupported, faults.is_mute(key), faults.fails_read(key), faults.fails_list()])
    assert not faults.loses_event()
    assert faults.delay_of(key) == 0
    assert stage.link.wakes == wakes + 1
