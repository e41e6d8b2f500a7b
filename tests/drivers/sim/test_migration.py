"""A domain moves between two worlds: both tell their half."""

from __future__ import annotations

import pytest

from avirt.drivers.sim.migration import migrate
from avirt.drivers.sim.moments import Moment
from avirt.drivers.sim.world import Times
from avirt.errors import AlreadyExists, InvalidOperation
from avirt.model.state import DomainState, PausedReason, RunningReason, ShutoffReason
from tests.drivers.sim.stage import Stage


@pytest.fixture
def here() -> Stage:
    stage = Stage(name="here", times=Times(migration=1.0))
    stage.world.add("vm1", running=True)
    stage.moments()
    return stage


@pytest.fixture
def there(here: Stage) -> Stage:
    stage = Stage(name="there")
    stage.clock = here.clock
    return stage


def test_both_copies_are_there_while_it_moves(here: Stage, there: Stage) -> None:
    domain = here.world.domain("vm1")
    migrate(domain, there.world)
    copy = there.world.domain("vm1")
    assert copy.key == domain.key
    assert (copy.state, copy.reason, copy.persistent) == (DomainState.PAUSED, PausedReason.MIGRATION, False)
    assert domain.state is DomainState.RUNNING
    assert there.moments() == [Moment.STARTED_MIGRATED]
    here.wait(1)
    assert here.moments() == [Moment.SUSPENDED_MIGRATED, Moment.STOPPED_MIGRATED]
    assert there.moments() == [Moment.RESUMED_MIGRATED]
    assert (domain.state, domain.reason) == (DomainState.SHUTOFF, ShutoffReason.MIGRATED)
    assert (copy.state, copy.reason) == (DomainState.RUNNING, RunningReason.MIGRATED)


def test_definition_that_goes_along_is_told_by_the_target_only(here: Stage, there: Stage) -> None:
    migrate(here.world.domain("vm1"), there.world, persistent=True, undefine=True)
    here.wait(1)
    assert here.moments() == [Moment.SUSPENDED_MIGRATED, Moment.STOPPED_MIGRATED]
    assert there.moments() == [Moment.STARTED_MIGRATED, Moment.DEFINED_ADDED, Moment.RESUMED_MIGRATED]
    assert here.world.domains == {}
    assert there.world.domain("vm1").persistent


def test_paused_domain_arrives_paused(here: Stage, there: Stage) -> None:
    here.world.domain("vm1").suspend()
    here.moments()
    migrate(here.world.domain("vm1"), there.world)
    here.wait(1)
    assert here.moments() == [Moment.STOPPED_MIGRATED]
    assert there.moments() == [Moment.STARTED_MIGRATED, Moment.SUSPENDED_PAUSED]


def test_failure_leaves_it_running_here_and_nothing_there(here: Stage, there: Stage) -> None:
    migrate(here.world.domain("vm1"), there.world, fail=True)
    here.wait(1)
    assert here.moments() == [Moment.SUSPENDED_MIGRATED, Moment.RESUMED_MIGRATED]
    assert there.moments() == [Moment.STARTED_MIGRATED, Moment.STOPPED_FAILED]
    assert here.world.domain("vm1").state is DomainState.RUNNING
    assert there.world.domains == {}


def test_domain_that_ends_on_the_way_does_not_arrive(here: Stage, there: Stage) -> None:
    migrate(here.world.domain("vm1"), there.world)
    here.world.domain("vm1").destroy()
    here.wait(1)
    assert there.world.domains == {}
    migrate_again = here.world.domain("vm1")
    migrate_again.start()
    migrate(migrate_again, there.world)
    there.world.domain("vm1").destroy()
    here.wait(1)
    assert migrate_again.state is DomainState.RUNNING


def test_what_is_there_already_or_not_active_does_not_move(here: Stage, there: Stage) -> None:
    domain = here.world.domain("vm1")
    migrate(domain, there.world)
    with pytest.raises(AlreadyExists):
        migrate(domain, there.world)
    here.wait(1)
    with pytest.raises(InvalidOperation):
        migrate(domain, there.world)
