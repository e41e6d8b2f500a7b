"""The world: its domains, its agenda, and whom it tells."""

from __future__ import annotations

from random import Random
from uuid import UUID

import pytest

from avirt.drivers.sim.moments import Moment
from avirt.drivers.sim.world import World
from avirt.errors import AlreadyExists, InvalidOperation, NotFound
from avirt.model.record import Key, key_of
from avirt.model.state import DomainState

from .stage import Listener, Stage

U1 = UUID("11111111-2222-4333-8444-555555555555")


def xml(name: str, uuid: UUID | None = U1, memory: int = 1024) -> str:
    said = f"<uuid>{uuid}</uuid>" if uuid else ""
    return f"<domain type='sim'><name>{name}</name>{said}<memory>{memory}</memory></domain>"


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_domain_is_found_by_name_uuid_and_key(stage: Stage) -> None:
    domain = stage.world.add("vm1", uuid=U1)
    assert stage.world.domain("vm1") is domain
    assert stage.world.domain(U1) is domain
    assert stage.world.domain(key_of(U1)) is domain


@pytest.mark.parametrize("which", ["vm1", U1, key_of(U1)])
def test_domain_unknown_is_not_found_and_named(stage: Stage, which: str | UUID | Key) -> None:
    with pytest.raises(NotFound) as caught:
        stage.world.domain(which)
    assert caught.value.code == 42
    assert caught.value.domain in ("vm1", str(U1))


def test_add_running_persistent_tells_definition_and_start(stage: Stage) -> None:
    domain = stage.world.add("vm1", running=True, autostart=True)
    assert stage.moments() == [Moment.DEFINED_ADDED, Moment.RESUMED_UNPAUSED, Moment.STARTED_BOOTED]
    assert domain.autostart


def test_add_transient_runs_at_once(stage: Stage) -> None:
    domain = stage.world.add("vm1", persistent=False)
    assert stage.moments() == [Moment.RESUMED_UNPAUSED, Moment.STARTED_BOOTED]
    assert (domain.active, domain.persistent) == (True, False)


def test_add_of_a_taken_name_or_uuid_is_refused(stage: Stage) -> None:
    stage.world.add("vm1", uuid=U1)
    with pytest.raises(AlreadyExists):
        stage.world.add("vm1")
    with pytest.raises(AlreadyExists):
        stage.world.add("vm2", uuid=U1)


def test_define_makes_then_updates(stage: Stage) -> None:
    made = stage.world.define(xml("vm1"))
    assert stage.world.define(xml("vm1", memory=2048)) is made
    assert stage.moments() == [Moment.DEFINED_ADDED, Moment.DEFINED_UPDATED]
    assert made.config.memory_kib == 2048


@pytest.mark.parametrize(("name", "uuid"), [("vm1", None), ("other", U1), ("vm1", UUID(int=5))])
def test_define_with_half_of_an_identity_is_refused(stage: Stage, name: str, uuid: UUID | None) -> None:
    stage.world.define(xml("vm1"))
    with pytest.raises(AlreadyExists) as caught:
        stage.world.define(xml(name, uuid))
    assert caught.value.code == 9


def test_define_of_a_running_transient_domain_makes_it_persistent(stage: Stage) -> None:
    domain = stage.world.create(xml("vm1"))
    stage.moments()
    stage.world.define(xml("vm1"))
    assert stage.moments() == [Moment.DEFINED_ADDED]
    assert domain.persistent


def test_create_starts_a_transient_domain(stage: Stage) -> None:
    domain = stage.world.create(xml("vm1", None), paused=True)
    assert stage.moments() == [Moment.STARTED_BOOTED, Moment.SUSPENDED_PAUSED]
    assert not domain.persistent


def test_create_of_a_defined_domain_starts_that_one(stage: Stage) -> None:
    domain = stage.world.define(xml("vm1"))
    assert stage.world.create(xml("vm1", memory=4096)) is domain
    assert (domain.persistent, domain.config.memory_kib) == (True, 4096)
    with pytest.raises(InvalidOperation, match="already active"):
        stage.world.create(xml("vm1"))


def test_uuids_and_host_follow_from_seed_and_name() -> None:
    one, two = (World(clock=float, rng=Random(3), name="a") for _ in range(2))
    assert one.add("x").uuid == two.add("x").uuid
    assert one.add("x2").uuid.version == 4
    assert one.uuid == two.uuid != World(clock=float, rng=Random(3), name="b").uuid
    assert World(clock=float, rng=Random(3), uuid=U1).uuid == U1


def test_agenda_runs_in_order_of_time_then_of_asking(stage: Stage) -> None:
    done: list[str] = []
    stage.world.after(2, lambda: done.append("late"))
    stage.world.after(1, lambda: done.append("first"))
    stage.world.after(1, lambda: done.append("second"))
    stage.world.run_due()
    assert done == []
    stage.wait(1)
    assert done == ["first", "second"]
    stage.wait(1)
    assert done == ["first", "second", "late"]
    assert stage.world.next_due is None


def test_agenda_what_is_added_meanwhile_waits_for_the_next_run(stage: Stage) -> None:
    ran = 0

    def again() -> None:
        nonlocal ran
        ran += 1
        stage.world.after(0, again)

    stage.world.after(0, again)
    stage.world.run_due()
    assert ran == 1
    stage.world.run_due()
    assert ran == 2


def test_scheduling_wakes_every_link(stage: Stage) -> None:
    before = stage.link.wakes
    stage.world.after(1, lambda: None)
    assert stage.link.wakes == before + 1


def test_tell_reaches_every_link_until_it_is_detached(stage: Stage) -> None:
    other = Listener()
    stage.world.attach(other)
    stage.world.add("vm1")
    assert stage.moments() == other.moments() == [Moment.DEFINED_ADDED]
    stage.world.detach(other)
    stage.world.detach(other)
    stage.world.add("vm2")
    assert other.moments() == []


def test_muted_tells_nothing_even_nested(stage: Stage) -> None:
    with stage.world.muted() as world:
        with world.muted():
            world.add("vm1")
        world.add("vm2")
    assert stage.moments() == []
    assert stage.world.domain("vm1").state is DomainState.SHUTOFF


def test_repr_counts(stage: Stage) -> None:
    assert repr(stage.world) == "<World sim domains=0 links=1>"
