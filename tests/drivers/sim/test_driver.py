"""Opening `sim://`: what may be said, who is let in, what is left behind."""

from __future__ import annotations

from random import Random
from uuid import UUID

import anyio
import pytest
from anyio.abc import TaskStatus

from avirt.drivers.base import API, Credentials, Emit, Env, Session
from avirt.drivers.registry import load_driver
from avirt.drivers.sim.driver import SimDriver, read_uri
from avirt.drivers.sim.life import Act, Scripted, Step
from avirt.drivers.sim.world import World
from avirt.errors import AuthError, CannotConnect, InvalidURI
from avirt.model.observation import Item, Seen
from avirt.model.state import DomainState
from avirt.uri import URI, parse_uri

ENV = Env()


def world() -> World:
    return World(clock=anyio.current_time, rng=Random(1), name="lab")


def test_uri_defaults() -> None:
    demo = read_uri(parse_uri("sim://demo"))
    assert (demo.domains, demo.running, demo.seed, demo.rate, demo.latency) == (12, 8, 7, 1.0, 0.0)
    assert read_uri(parse_uri("sim://lab")).domains == 3


def test_uri_parameters() -> None:
    demo = read_uri(parse_uri("sim://demo/?domains=5&seed=9&RATE=2.5&latency=20"))
    assert (demo.domains, demo.seed, demo.rate, demo.latency) == (5, 9, 2.5, 0.02)
    assert read_uri(parse_uri("sim://lab?domains=5&running=0")).running == 0


@pytest.mark.parametrize(
    ("text", "said", "allowed"),
    [
        ("sim://demo?size=3", "size", "domains, latency, rate, seed"),
        ("sim://demo?running=3", "running", "domains, latency, rate, seed"),
        ("sim://lab?rate=3", "rate", "domains, latency, running, seed"),
        ("sim://demo?domains=many", "domains is 'many'", "rate"),
        ("sim://demo?domains=-1", "domains is '-1'", "rate"),
        ("sim://demo?domains=1e9", "domains", "rate"),
        ("sim://lab?domains=2&running=3", "running is '3'", "seed"),
        ("sim://demo?rate=0", "rate is '0'", "seed"),
        ("sim://demo?rate=nan", "rate is 'nan'", "seed"),
        ("sim://demo?latency=", "latency is ''", "seed"),
    ],
)
def test_uri_with_a_wrong_parameter_says_which_and_what_is_allowed(text: str, said: str, allowed: str) -> None:
    with pytest.raises(InvalidURI) as caught:
        read_uri(parse_uri(text))
    assert said in caught.value.message
    assert allowed in caught.value.hint


@pytest.mark.parametrize("text", ["sim:///system", "sim://demo/x", "sim+ssh://demo", "sim://demo:1"])
def test_uri_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(InvalidURI, match="sim://NAME"):
        read_uri(parse_uri(text))


def test_uri_for_a_given_world_says_only_latency() -> None:
    assert read_uri(parse_uri("sim://lab?latency=5"), given_world=True).latency == 0.005
    with pytest.raises(InvalidURI, match="domains"):
        read_uri(parse_uri("sim://lab?domains=5"), given_world=True)


@pytest.mark.anyio
async def test_registry_loads_the_driver() -> None:
    driver = await load_driver("sim")
    assert (driver.name, driver.schemes, driver.api) == ("sim", frozenset({"sim"}), API)


@pytest.mark.anyio
async def test_open_with_a_wrong_uri_raises_when_entered() -> None:
    with pytest.raises(InvalidURI):
        async with SimDriver().open(parse_uri("sim://demo?x=1"), ENV):
            raise AssertionError("opened")


@pytest.mark.anyio
async def test_two_connections_share_no_world_unless_given() -> None:
    uri = parse_uri("sim://lab?domains=4")
    driver = SimDriver()
    async with driver.open(uri, ENV) as one, driver.open(uri, ENV) as two:
        listings = [await one.list(), await two.list()]
    assert [len(each.items) for each in listings] == [4, 4]
    assert one.facts.uuid == two.facts.uuid
    shared = world()
    driver = SimDriver(shared)
    uri = parse_uri("sim://lab")
    async with driver.open(uri, ENV) as one, driver.open(uri, ENV) as two:
        shared.add("x")
        assert [len((await each.list()).items) for each in (one, two)] == [1, 1]
    assert shared.links == ()


@pytest.mark.anyio
async def test_other_authorities_stay_as_they_are() -> None:
    async with SimDriver().open(parse_uri("sim://lab?domains=5&running=2"), ENV) as session:
        states = [item.status and item.status.state for item in (await session.list()).items]
    assert states == [DomainState.RUNNING] * 2 + [DomainState.SHUTOFF] * 3


@pytest.mark.anyio
async def test_life_may_be_given() -> None:
    life = Scripted([Step(after=0, act=Act.DESTROY, domain="vm1")])
    async with SimDriver(life=life).open(parse_uri("sim://lab?domains=1"), ENV) as session:
        (item,) = (await session.list()).items
    assert item.active is False


@pytest.mark.anyio
async def test_refused_connection_is_a_typed_error_and_leaves_nothing() -> None:
    lab = world()
    lab.faults.refuse("connection refused")
    with pytest.raises(CannotConnect, match="connection refused") as caught:
        async with SimDriver(lab).open(parse_uri("sim://lab"), ENV):
            raise AssertionError("opened")
    assert caught.value.retryable
    assert lab.links == ()


@pytest.mark.trio
async def test_time_passes_for_who_tries_to_connect(autojump_clock: object) -> None:
    """A fault that ends by the world's own agenda ends although nobody is connected."""
    lab = world()
    lab.faults.refuse()
    lab.after(3, lab.faults.heal)
    await anyio.sleep(5)
    async with SimDriver(lab).open(parse_uri("sim://lab"), ENV) as session:
        assert (await session.list()).complete


async def admitted(lab: World, text: str, env: Env) -> bool:
    try:
        async with SimDriver(lab).open(parse_uri(text), env):
            return True
    except AuthError as error:
        refused = error
    assert "secret" not in str(refused)
    assert refused.hint
    assert not refused.retryable
    return False


@pytest.mark.anyio
async def test_credentials_are_asked_for_and_compared() -> None:
    lab = world()
    lab.credentials = Credentials(username="root", password="secret")

    async def right(uri: URI) -> Credentials | None:
        return Credentials(username="root", password="secret")

    async def wrong(uri: URI) -> Credentials | None:
        return Credentials(username="root", password="guess")

    async def none(uri: URI) -> Credentials | None:
        return None

    assert await admitted(lab, "sim://lab", Env(credentials=right))
    assert not await admitted(lab, "sim://lab", Env(credentials=wrong))
    assert not await admitted(lab, "sim://lab", ENV)
    assert await admitted(lab, "sim://root:secret@lab", Env(credentials=none))
    lab.faults.refuse_credentials = True
    assert not await admitted(lab, "sim://lab", Env(credentials=right))


@pytest.mark.anyio
async def test_open_on_a_silent_peer_ends_with_its_callers_deadline() -> None:
    lab = world()
    lab.faults.silence()
    with anyio.move_on_after(0):
        async with SimDriver(lab).open(parse_uri("sim://lab"), ENV):
            raise AssertionError("opened")
    assert lab.links == ()


@pytest.mark.trio
async def test_open_takes_as_long_as_the_fault_says(autojump_clock: object) -> None:
    lab = world()
    lab.faults.delay = 5
    before = anyio.current_time()
    async with SimDriver(lab).open(parse_uri("sim://lab"), ENV) as session:
        assert anyio.current_time() - before == pytest.approx(5)
        assert session.facts.uuid != UUID(int=0)


@pytest.mark.trio
async def test_demo_lives_while_it_is_watched(autojump_clock: object) -> None:
    """It shows a change every 0.7 s or so, and all of it comes from its seed."""
    lives: list[list[tuple[str, object]]] = []
    for _ in range(2):
        items: list[Item] = []
        async with SimDriver().open(parse_uri("sim://demo"), ENV) as session, anyio.create_task_group() as tg:
            await tg.start(_watch, session, items.extend)
            assert len((await session.list()).items) == 12
            await anyio.sleep(60)
            tg.cancel_scope.cancel()
        lives.append(
            [(item.observation.name or "", item.observation.cause) for item in items if isinstance(item, Seen)]
        )
    assert lives[0] == lives[1]
    assert 60 / 1.4 < len(lives[0]) < 60 / 0.2


async def _watch(session: Session, emit: Emit, *, task_status: TaskStatus[None]) -> None:
    await session.watch(emit, task_status=task_status)


@pytest.mark.anyio
async def test_life_given_to_the_demo_replaces_its_own() -> None:
    life = Scripted([Step(after=0, act=Act.SUSPEND, domain="web-1")])
    async with SimDriver(life=life).open(parse_uri("sim://demo"), ENV) as session:
        states = {item.name: item.status and item.status.state for item in (await session.list()).items}
    assert states["web-1"] is DomainState.PAUSED
