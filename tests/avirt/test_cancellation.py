"""Every public call, cancelled at each of its checkpoints in turn: the next call works, no frame is torn, another
subscriber's stream stays whole, nothing is left behind."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final
from uuid import UUID

import anyio
import pytest
from msgspec import Struct

import avirt
from avirt.drivers.sim.driver import SimDriver
from avirt.drivers.sim.world import World
from avirt.events.subscription import Batches
from avirt.model.change import Change, Gap
from avirt.model.record import key_of
from avirt.model.state import DomainState
from avirt.testing import LibvirtSim, cancelled_at_each_checkpoint
from avirt.testing.checkers import validate
from avirt.testing.endurance import held, until_held
from tests.avirt.worlds import make_world

pytestmark = pytest.mark.anyio

UUID_OF_NEW: Final = UUID(int=77)
IMAGE: Final = "/tmp/image"


class Scene:
    """A host, its world, and a domain to work on.

    Attributes:
        complaints: what the peer says that was done wrong.
    """

    def __init__(self, host: avirt.Host, world: World, kind: str, complaints: list[str] | None = None) -> None:
        self.host = host
        self.world = world
        self.complaints = complaints
        self.xml = (
            f"<domain type='{kind}'><name>new</name><uuid>{UUID_OF_NEW}</uuid><memory unit='MiB'>64</memory></domain>"
        )
        self.vm = world.domain("vm0")

    @property
    def domain(self) -> avirt.Domain:
        return self.host.domain(self.vm.uuid)

    def running(self) -> None:
        if self.vm.state is DomainState.SHUTDOWN:
            self.vm.destroy()
        if not self.vm.active:
            self.vm.start()
        elif self.vm.state is not DomainState.RUNNING:
            self.vm.resume()

    def paused(self) -> None:
        self.running()
        self.vm.suspend()

    def inactive(self) -> None:
        self.vm.managed_save_remove()
        if self.vm.active:
            self.vm.destroy()


def as_it_is(scene: Scene) -> None:
    """Nothing to prepare."""


class Case(Struct, frozen=True):
    """How a call is made, and what of the world it needs."""

    call: Callable[[Scene], Awaitable[object]]
    before: Callable[[Scene], None] = as_it_is


def without_new(scene: Scene) -> None:
    found = scene.world.domains.get(key_of(UUID_OF_NEW))
    if found is not None:
        if found.active:
            found.destroy()
        if key_of(UUID_OF_NEW) in scene.world.domains:
            found.undefine()


def with_new(scene: Scene) -> None:
    if key_of(UUID_OF_NEW) not in scene.world.domains:
        scene.world.add("new", uuid=UUID_OF_NEW)


async def iterate(scene: Scene) -> None:
    with scene.host.watch() as changes:
        scene.vm.suspend()
        await anext(changes)


async def next_batch(scene: Scene) -> None:
    with scene.host.watch() as changes:
        scene.vm.suspend()
        await changes.next_batch()


async def batches(scene: Scene) -> None:
    with scene.host.watch() as changes:
        scene.vm.suspend()
        await anext(changes.batches())


async def entered(scene: Scene) -> None:
    async with scene.host.watch():
        scene.vm.suspend()


async def wait_for(scene: Scene) -> None:
    scene.vm.suspend()
    await scene.domain.wait_for(DomainState.PAUSED)


async def undefine(scene: Scene) -> None:
    await scene.host.refresh()
    with suppress(KeyError):
        await scene.host.domain(UUID_OF_NEW).undefine()


async def lookup(scene: Scene) -> None:
    """One that is not in the view: it lists."""
    with suppress(avirt.NotFound):
        await scene.host.lookup(name="nobody")


async def restore(scene: Scene) -> None:
    await scene.domain.save(IMAGE)
    await scene.host.restore(IMAGE)


async def rename(scene: Scene) -> None:
    """To the name that it has not."""
    await scene.domain.rename("vm0-renamed" if scene.vm.name == "vm0" else "vm0")


CASES: Final[dict[str, Case]] = {
    "Host.lookup": Case(lookup),
    "Host.refresh": Case(lambda s: s.host.refresh()),
    "Host.define": Case(lambda s: s.host.define(s.xml), without_new),
    "Host.create": Case(lambda s: s.host.create(s.xml), without_new),
    "Host.restore": Case(restore, Scene.running),
    "Host.hostname": Case(lambda s: s.host.hostname()),
    "Host.native_uri": Case(lambda s: s.host.native_uri()),
    "Host.node_info": Case(lambda s: s.host.node_info()),
    "Host.diagnose": Case(lambda s: s.host.diagnose()),
    "Host.stats_once": Case(lambda s: s.host.stats_once()),
    "Host.read": Case(lambda s: s.host.read("read", s.host.hostname)),
    "Domain.wait_for": Case(wait_for, Scene.running),
    "Domain.refresh": Case(lambda s: s.domain.refresh()),
    "Domain.start": Case(lambda s: s.domain.start(), Scene.inactive),
    "Domain.shutdown": Case(lambda s: s.domain.shutdown(), Scene.running),
    "Domain.destroy": Case(lambda s: s.domain.destroy(), Scene.running),
    "Domain.reboot": Case(lambda s: s.domain.reboot(), Scene.running),
    "Domain.reset": Case(lambda s: s.domain.reset(), Scene.running),
    "Domain.suspend": Case(lambda s: s.domain.suspend(), Scene.running),
    "Domain.resume": Case(lambda s: s.domain.resume(), Scene.paused),
    "Domain.save": Case(lambda s: s.domain.save(IMAGE), Scene.running),
    "Domain.managed_save": Case(lambda s: s.domain.managed_save(), Scene.running),
    "Domain.managed_save_remove": Case(lambda s: s.domain.managed_save_remove()),
    "Domain.undefine": Case(undefine, with_new),
    "Domain.rename": Case(rename, Scene.inactive),
    "Domain.set_autostart": Case(lambda s: s.domain.set_autostart(not s.domain.record.autostart)),
    "Domain.xml": Case(lambda s: s.domain.xml()),
    "Domain.info": Case(lambda s: s.domain.info()),
    "Domain.stats": Case(lambda s: s.domain.stats()),
    "Subscription.__anext__": Case(iterate, Scene.running),
    "Subscription.next_batch": Case(next_batch, Scene.running),
    "Subscription.__aenter__": Case(entered, Scene.running),
    "Subscription.__aexit__": Case(entered, Scene.running),
    "Batches.__anext__": Case(batches, Scene.running),
}


def calls_of(kind: type) -> set[str]:
    """The public async calls of a class."""
    return {
        f"{kind.__name__}.{name}"
        for name, what in vars(kind).items()
        if inspect.iscoroutinefunction(what) and (not name.startswith("_") or name.startswith("__"))
    }


def test_every_public_call_has_its_case() -> None:
    found = set[str]().union(*map(calls_of, (avirt.Host, avirt.Domain, avirt.Subscription, Batches)))
    assert found == set(CASES)
    assert calls_of(avirt.connect) == {"connect.__aenter__", "connect.__aexit__"}  # at the end, like run_host


@asynccontextmanager
async def over_libvirt() -> AsyncGenerator[Scene]:
    async with LibvirtSim(domains=3, memory=True) as sim:
        async with avirt.connect(sim.uri, driver=sim.driver) as host:
            yield Scene(host, sim.world, "kvm", sim.complaints)
        assert sim.complaints == []


@asynccontextmanager
async def over_sim() -> AsyncGenerator[Scene]:
    world = make_world("vm0", "vm1", "vm2", running=("vm0", "vm1", "vm2"))
    async with avirt.connect("sim://test", driver=SimDriver(world=world)) as host:
        yield Scene(host, world, "sim")


STAGES: Final = {"libvirt": over_libvirt, "sim": over_sim}


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("name", CASES)
async def test_call_cancelled_at_each_checkpoint(name: str, stage: str) -> None:
    case = CASES[name]
    async with STAGES[stage]() as scene:
        host = scene.host

        async def before() -> None:
            case.before(scene)
            await host.refresh()

        async def call() -> None:
            await case.call(scene)

        with host.watch() as other:
            snapshot, start = list(other.snapshot), host.engine.store.head

            async def after() -> None:
                """It is usable, no frame was torn, and the other's stream is whole: each time."""
                nonlocal snapshot, start
                await host.hostname()
                assert not scene.complaints
                stream: list[Change | Gap] = []
                while other.lag:
                    stream += other.read_nowait()
                view = list(host.view.values())
                validate(stream, snapshot=snapshot, view=view, start=start)
                snapshot, start = view, host.engine.store.head

            await before()
            await call()
            await after()
            at_rest = await held()
            times = await cancelled_at_each_checkpoint(call, before=before, after=after, patience=10)
            assert times > 0
            await host.refresh()
            await until_held(at_rest)


@asynccontextmanager
async def peers() -> AsyncGenerator[dict[str, Callable[[], avirt.connect]]]:
    """What can be connected to, on each stage."""
    world = make_world("vm0")
    async with LibvirtSim(domains=3, memory=True) as sim:
        yield {
            "libvirt": lambda: avirt.connect(sim.uri, driver=sim.driver),
            "sim": lambda: avirt.connect("sim://test", driver=SimDriver(world=world)),
        }
        assert sim.complaints == []


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
async def test_connect_cancelled_at_each_checkpoint(stage: str) -> None:
    """Coming, calling and leaving."""
    async with peers() as found:

        async def call() -> None:
            async with found[stage]() as host:
                await host.hostname()

        await call()
        at_rest = await held()
        assert await cancelled_at_each_checkpoint(call, patience=10) > 3
        await call()
        await until_held(at_rest)


@pytest.mark.slow
async def test_run_host_cancelled_at_each_checkpoint() -> None:
    async def call() -> None:
        async with anyio.create_task_group() as group:
            host: avirt.Host = await group.start(avirt.run_host, "sim://quiet?domains=3")
            await host.hostname()
            group.cancel_scope.cancel()

    await call()
    at_rest = await held()
    assert await cancelled_at_each_checkpoint(call, patience=10) > 3
    await until_held(at_rest)
