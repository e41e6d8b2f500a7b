"""From moments and domains to observations."""

from __future__ import annotations

import pytest

from avirt.drivers.sim.moments import Moment, WorldEvent
from avirt.drivers.sim.observe import MOMENTS, gone, read, told
from avirt.model.change import Origin
from avirt.model.observation import Cause, Signal
from avirt.model.record import Key
from avirt.model.state import DomainState, NormalState, PausedReason, RunningReason, ShutoffReason, Transition

from .stage import Stage

KEY = Key(bytes(range(16)))


def test_moments_table_is_total() -> None:
    assert set(MOMENTS) == set(Moment)


@pytest.mark.parametrize("moment", Moment)
def test_moment_is_told_with_its_words(moment: Moment) -> None:
    observation = told(WorldEvent(KEY, "vm", 3, moment), 7).observation
    assert (observation.key, observation.name, observation.id, observation.asked) == (KEY, "vm", 3, 7)
    assert observation.origin is Origin.EVENT
    assert observation.signal is MOMENTS[moment].signal
    assert observation.cause is not None
    if moment.type >= 0:
        assert observation.cause == Cause("lifecycle", moment.type_word, moment.detail_word)


@pytest.mark.parametrize("moment", Moment)
def test_moment_activity_agrees_with_its_state(moment: Moment) -> None:
    row = MOMENTS[moment]
    if row.status is not None:
        assert row.active is (row.status.state is not DomainState.SHUTOFF)
    assert (row.signal is Signal.STOPPED) is (row.active is False)


@pytest.mark.parametrize("moment", [Moment.STARTED_MIGRATED, Moment.STARTED_RESTORED])
def test_moment_whose_state_must_be_read_says_none(moment: Moment) -> None:
    assert MOMENTS[moment].status is None


def test_told_without_id_says_none() -> None:
    assert told(WorldEvent(KEY, "vm", -1, Moment.STOPPED_SAVED), 1).observation.id is None


def test_read_says_all_there_is() -> None:
    domain = Stage().world.add("vm1", running=True, autostart=True)
    seen = read(domain, 4, Origin.LIST)
    assert seen.status == NormalState(DomainState.RUNNING, RunningReason.BOOTED)
    assert (seen.active, seen.persistent, seen.autostart, seen.id, seen.asked) == (True, True, True, 1, 4)
    assert seen.native == {"state": 1, "reason": 1, "id": 1}
    assert (seen.signal, seen.cause, seen.origin) == (None, None, Origin.LIST)


def test_read_of_an_inactive_domain_prints_no_id_unless_asked_to() -> None:
    domain = Stage().world.add("vm1", running=True)
    domain.destroy()
    assert read(domain, 0, Origin.POLL).id is None
    assert read(domain, 0, Origin.POLL, stale_id=True).id == 1
    assert read(domain, 0, Origin.POLL).native == {"state": 5, "reason": 2}


def test_read_on_its_way_says_so() -> None:
    domain = Stage().world.add("vm1", running=True)
    domain.guest_shutdown()
    status = read(domain, 0, Origin.POLL).status
    assert status is not None
    assert status.transition is Transition.STOPPING


def test_read_does_not_mix_up_reasons_of_different_states() -> None:
    domain = Stage().world.add("vm1")
    domain.state, domain.reason = DomainState.SHUTOFF, ShutoffReason.CRASHED
    assert int(ShutoffReason.CRASHED) == int(PausedReason.SAVE)
    status = read(domain, 0, Origin.POLL).status
    assert status is not None
    assert status.transition is None


def test_gone_is_a_read() -> None:
    assert (gone(KEY, 3).key, gone(KEY, 3).asked, gone(KEY, 3).origin) == (KEY, 3, Origin.POLL)
