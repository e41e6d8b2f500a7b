"""Lives: scripted and seeded."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from avirt.drivers.sim.life import NAMES, Act, Scripted, Seeded, Step
from avirt.drivers.sim.moments import Moment, WorldEvent
from avirt.drivers.sim.world import World
from avirt.errors import InvalidOperation
from avirt.model.state import DomainState

from .stage import Stage


def test_script_plays_its_steps_in_time() -> None:
    stage = Stage()
    stage.world.add("a", running=True)
    stage.moments()
    Scripted(
        [
            Step(after=1, act=Act.SUSPEND, domain="a"),
            Step(after=1, act=Act.RESUME, domain="a"),
            Step(after=1, act=Act.MIGRATE_AWAY, domain="a"),
            Step(after=1, act=Act.MIGRATE_IN, domain="a"),
        ]
    ).begin(stage.world)
    stage.wait(0.5)
    assert stage.moments() == []
    stage.wait(1)
    assert stage.moments() == [Moment.SUSPENDED_PAUSED]
    stage.wait(2)
    assert stage.moments()[-1] is Moment.STOPPED_MIGRATED
    stage.wait(5)
    assert stage.world.domain("a").state is DomainState.RUNNING


@pytest.mark.parametrize("act", [act for act in Act if act not in (Act.MIGRATE_IN, Act.APPEAR, Act.APPEAR_TRANSIENT)])
def test_script_knows_every_act(act: Act) -> None:
    stage = Stage()
    off = act in (Act.START, Act.START_PAUSED, Act.RENAME)
    domain = stage.world.add("a", running=not off)
    if act is Act.RESUME:
        domain.suspend()
    if act is Act.PM_WAKEUP:
        domain.pm_suspend()
    stage.moments()
    Scripted([Step(after=0, act=act, domain="a", to="b")]).begin(stage.world)
    stage.wait(20)
    assert stage.moments() or domain.autostart


@pytest.mark.parametrize("act", [Act.APPEAR, Act.APPEAR_TRANSIENT])
def test_script_lets_domains_appear(act: Act) -> None:
    stage = Stage()
    Scripted([Step(after=0, act=act, domain="a")]).begin(stage.world)
    stage.wait(1)
    assert stage.world.domain("a").active is (act is Act.APPEAR_TRANSIENT)


def test_script_step_that_cannot_be_done_raises_where_time_passes() -> None:
    stage = Stage()
    stage.world.add("a")
    Scripted([Step(after=1, act=Act.RESUME, domain="a")]).begin(stage.world)
    with pytest.raises(InvalidOperation):
        stage.wait(2)


def play(seed: int, seconds: float, domains: int = 12) -> tuple[Stage, list[tuple[str, Moment]]]:
    stage = Stage()
    stage.world = World(clock=stage.clock, rng=Random(seed))
    life = Seeded(domains=domains)
    life.populate(stage.world)
    stage.world.attach(stage.link)
    life.begin(stage.world)
    stage.wait(seconds)
    return stage, [(event.name, event.moment) for event in stage.link.events if isinstance(event, WorldEvent)]


def test_seeded_life_is_the_same_for_the_same_seed() -> None:
    assert play(7, 120)[1] == play(7, 120)[1] != play(8, 120)[1]


def test_seeded_life_has_everything_and_stays_in_bounds() -> None:
    stage, told = play(7, 3600)
    moments = Counter(moment for _, moment in told)
    missing = set(Moment) - set(moments) - {Moment.DEFINED_UPDATED}
    assert missing == set()
    assert 3600 / 1.2 < len(told) < 3600 * 4
    assert 6 <= len(stage.world.domains) <= 18
    assert sum(domain.state is DomainState.RUNNING for domain in stage.world.domains.values()) >= 4


def test_seeded_life_shows_something_soon_for_any_seed() -> None:
    for seed in range(20):
        assert len(play(seed, 10)[1]) >= 5


def test_seeded_life_without_domains_makes_some() -> None:
    stage, told = play(1, 60, domains=1)
    assert told
    assert len(stage.world.domains) <= 3
    empty, told = play(1, 60, domains=0)
    assert told
    assert len(empty.world.domains) <= 3


def test_seeded_names_are_distinct_and_numbered_after_the_list() -> None:
    stage = Stage()
    Seeded(domains=60).populate(stage.world)
    names = [domain.name for domain in stage.world.domains.values()]
    assert len(set(names)) == 60
    assert names[: len(NAMES)] == list(NAMES)
    assert names[len(NAMES)] == f"{NAMES[0]}-02"
