"""A view is the truth or it is not, and then in so many words."""

from __future__ import annotations

from random import Random

import pytest
from msgspec.structs import replace

from avirt.drivers.sim.domain import SimDomain
from avirt.drivers.sim.world import World
from avirt.model.record import Certainty, DomainRecord, Key
from avirt.model.state import DomainState, RunningReason, ShutoffReason
from avirt.testing.simulators.libvirt.truth import Truth


@pytest.fixture
def world() -> World:
    world = World(clock=lambda: 0.0, rng=Random(1))
    world.add("up", running=True)
    world.add("down")
    return world


def view_of(world: World) -> dict[Key, DomainRecord]:
    return {domain.key: record_of(domain) for domain in world.domains.values()}


def record_of(domain: SimDomain) -> DomainRecord:
    return DomainRecord(
        host="h",
        key=domain.key,
        name=domain.name,
        state=domain.state,
        reason=domain.reason,
        id=domain.id,
        active=domain.active,
        persistent=domain.persistent,
        autostart=domain.autostart,
    )


def test_view_that_says_the_same_is_equal(world: World) -> None:
    truth, view = Truth(world.domains.values()), view_of(world)
    assert view == truth
    assert truth == view
    assert truth == Truth(world.domains.values())
    assert truth != 1
    assert len(truth) == 2
    assert list(truth) == list(view)
    assert truth[world.domain("up").key].name == "up"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "x"}, "name is up, the view says x"),
        ({"state": DomainState.PAUSED}, "state is RUNNING, the view says PAUSED"),
        ({"reason": RunningReason.WAKEUP}, "reason is BOOTED, the view says WAKEUP"),
        ({"id": 99}, "id is 1, the view says 99"),
        ({"active": False}, "active is True, the view says False"),
        ({"persistent": False}, "persistent is True, the view says False"),
        ({"certainty": Certainty.STALE, "stale_why": "lost"}, "the view is stale: lost"),
    ],
)
def test_each_field_that_differs_is_named(world: World, change: dict[str, object], words: str) -> None:
    key = world.domain("up").key
    view = view_of(world)
    view[key] = replace(view[key], **change)
    truth = Truth(world.domains.values())
    assert view != truth
    assert truth.differences(view) == [f"up: {words}"]


def test_domains_too_many_or_too_few_are_named(world: World) -> None:
    truth, view = Truth(world.domains.values()), view_of(world)
    del view[world.domain("up").key]
    assert truth.differences(view) == ["up: is there, the view does not know it"]
    world.forget(world.domain("down"))
    assert Truth(world.domains.values()).differences(view)[-1] == "down: is not there, the view has it"


def test_autostart_is_compared_if_asked_for(world: World) -> None:
    view = view_of(world)
    world.domain("up").set_autostart(True)
    assert view == Truth(world.domains.values())
    assert view != Truth(world.domains.values(), autostart=True)


def test_saved_domain_whose_reason_the_daemon_forgot_is_saved(world: World) -> None:
    world.domain("up").managed_save()
    world.domain("up").reason = ShutoffReason.UNKNOWN
    truth = Truth(world.domains.values())
    assert truth[world.domain("up").key].reason is ShutoffReason.SAVED
    assert "up=shutoff" in repr(truth)
