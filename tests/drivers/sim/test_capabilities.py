"""Verbs and reads of a session with a simulated world, through the capability protocols."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import TypeVar

import anyio
import pytest

from avirt.drivers.base import Definitions, Env, HostInfo, Power, Session, Stats, StatsGroup
from avirt.drivers.sim.domain import SimDomain
from avirt.drivers.sim.driver import SimDriver
from avirt.drivers.sim.world import Times, World
from avirt.errors import (
    Aborted,
    AccessDenied,
    AlreadyExists,
    InvalidArgument,
    InvalidOperation,
    NotFound,
    Unsupported,
)
from avirt.model.command import (
    Create,
    Define,
    Destroy,
    ManagedSave,
    ManagedSaveRemove,
    Reboot,
    Rename,
    Reset,
    Restore,
    Resume,
    Save,
    SetAutostart,
    Shutdown,
    Start,
    Suspend,
    Undefine,
    Verb,
)
from avirt.model.record import DomainRecord, Key
from avirt.model.state import DomainState, ShutoffReason
from avirt.uri import parse_uri

T = TypeVar("T")

XML = "<domain type='sim'><name>new</name><memory>1024</memory></domain>"


def record(domain: SimDomain | Key) -> DomainRecord:
    key = domain.key if isinstance(domain, SimDomain) else domain
    return DomainRecord(host="lab", key=key, name="x", state=DomainState.SHUTOFF, reason=ShutoffReason.UNKNOWN)


def state_of(domain: SimDomain) -> DomainState:
    return domain.state  # a call, so that mypy does not take it for the same as before


@asynccontextmanager
async def opened(*, read_only: bool = False) -> AsyncIterator[tuple[World, Session]]:
    world = World(clock=anyio.current_time, rng=Random(1), name="lab")
    async with SimDriver(world).open(parse_uri("sim://lab"), Env(read_only=read_only)) as session:
        yield world, session


def has(session: Session, kind: type[T]) -> T:
    found = session.capability(kind)
    assert found is not None
    return found


@pytest.mark.anyio
async def test_power_verbs_have_their_effect_on_the_world() -> None:
    async with opened() as (world, session):
        power = has(session, Power)
        domain = world.add("vm1")
        it = record(domain)
        await power.start(it, Start(paused=True))
        assert state_of(domain) is DomainState.PAUSED
        await power.resume(it, Resume())
        assert state_of(domain) is DomainState.RUNNING
        await power.suspend(it, Suspend())
        assert state_of(domain) is DomainState.PAUSED
        await power.resume(it, Resume())
        await power.reset(it, Reset())
        assert domain.boots == 2
        await power.reboot(it, Reboot())
        await power.shutdown(it, Shutdown())
        assert state_of(domain) is DomainState.RUNNING
        await power.managed_save(it, ManagedSave())
        assert domain.reason is ShutoffReason.SAVED
        await power.managed_save_remove(it, ManagedSaveRemove())
        assert domain.image is None
        await power.start(it, Start())
        await power.save(it, Save(path="/x"))
        assert await power.restore(Restore(path="/x")) == domain.key
        await power.destroy(it, Destroy())
        assert state_of(domain) is DomainState.SHUTOFF
        key = await power.create(Create(xml=XML))
        assert world.domain(key).persistent is False


@pytest.mark.anyio
async def test_definitions_have_their_effect_on_the_world() -> None:
    async with opened() as (world, session):
        definitions = has(session, Definitions)
        key = await definitions.define(Define(xml=XML))
        it = record(key)
        await definitions.rename(it, Rename(new="newer"))
        await definitions.set_autostart(it, SetAutostart(enabled=True))
        domain = world.domain("newer")
        assert domain.autostart
        assert "<name>newer</name>" in await definitions.xml(it)
        info = await definitions.info(it)
        assert (info.memory_kib, info.vcpus, info.cpu_time_ns, info.managed_save) == (1024, 1, None, False)
        domain.start()
        assert (await definitions.info(it)).cpu_time_ns is not None
        assert 'id="1"' in await definitions.xml(it)
        assert 'id="1"' not in await definitions.xml(it, inactive=True, secure=True)
        await definitions.undefine(it, Undefine())
        assert domain.persistent is False


VERBS: list[Callable[[Power, Definitions, DomainRecord], Awaitable[object]]] = [
    lambda power, _, it: power.start(it, Start()),
    lambda power, _, it: power.shutdown(it, Shutdown()),
    lambda power, _, it: power.destroy(it, Destroy()),
    lambda power, _, it: power.reboot(it, Reboot()),
    lambda power, _, it: power.reset(it, Reset()),
    lambda power, _, it: power.suspend(it, Suspend()),
    lambda power, _, it: power.resume(it, Resume()),
    lambda power, _, it: power.save(it, Save(path="/x")),
    lambda power, _, it: power.managed_save(it, ManagedSave()),
    lambda power, _, it: power.managed_save_remove(it, ManagedSaveRemove()),
    lambda power, _, it: power.restore(Restore(path="/none")),
    lambda _, definitions, it: definitions.undefine(it, Undefine()),
    lambda _, definitions, it: definitions.rename(it, Rename(new="y")),
    lambda _, definitions, it: definitions.set_autostart(it, SetAutostart()),
    lambda _, definitions, it: definitions.xml(it),
    lambda _, definitions, it: definitions.info(it),
]


@pytest.mark.anyio
@pytest.mark.parametrize("call", VERBS)
async def test_verb_on_an_unknown_domain_is_not_found(
    call: Callable[[Power, Definitions, DomainRecord], Awaitable[object]],
) -> None:
    async with opened() as (_, session):
        with pytest.raises(NotFound):
            await call(has(session, Power), has(session, Definitions), record(Key(bytes(16))))


@pytest.mark.anyio
async def test_refusals_are_typed() -> None:
    async with opened() as (world, session):
        power, definitions = has(session, Power), has(session, Definitions)
        running = record(world.add("vm1", running=True))
        with pytest.raises(InvalidOperation):
            await power.start(running, Start())
        with pytest.raises(InvalidArgument):
            await definitions.define(Define(xml="<domain/>"))
        with pytest.raises(AlreadyExists):
            await definitions.define(Define(xml=XML.replace("new", "vm1")))
        world.faults.unsupported.update({Verb.RESET, Verb.UNDEFINE})
        with pytest.raises(Unsupported) as caught:
            await power.reset(running, Reset())
        assert (caught.value.driver, caught.value.verb) == ("sim", "reset")
        with pytest.raises(Unsupported):
            await definitions.undefine(running, Undefine())


@pytest.mark.anyio
async def test_read_only_session_has_no_power_and_refuses_to_define() -> None:
    async with opened(read_only=True) as (world, session):
        it = record(world.add("vm1"))
        assert session.facts.read_only
        assert session.capability(Power) is None
        definitions = has(session, Definitions)
        for refused in (
            definitions.define(Define(xml=XML)),
            definitions.undefine(it, Undefine()),
            definitions.rename(it, Rename(new="y")),
            definitions.set_autostart(it, SetAutostart()),
            definitions.xml(it, secure=True),
        ):
            with pytest.raises(AccessDenied) as caught:
                await refused
            assert caught.value.hint
        assert "vm1" in await definitions.xml(it)
        assert [domain.name for domain in world.domains.values()] == ["vm1"]


@pytest.mark.anyio
async def test_autodestroy_ends_with_the_session_unless_started_anew() -> None:
    async with opened() as (world, session):
        power = has(session, Power)
        one, two = world.add("vm1"), world.add("vm2")
        for domain in (one, two):
            await power.start(record(domain), Start(autodestroy=True))
        two.destroy()
        two.start()
        key = await power.create(Create(xml=XML, autodestroy=True))
    assert (one.active, two.active) == (False, True)
    assert key not in world.domains


@pytest.mark.trio
async def test_save_returns_when_the_image_is_written(autojump_clock: object) -> None:
    async with opened() as (world, session):
        world.times = Times(save=3.0)
        power = has(session, Power)
        domain = world.add("vm1", running=True)
        before = anyio.current_time()
        await power.managed_save(record(domain), ManagedSave())
        assert anyio.current_time() - before == pytest.approx(3)
        assert domain.image is not None
        domain.start()
        world.after(1, domain.destroy)
        with pytest.raises(Aborted):
            await power.save(record(domain), Save(path="/x"))


@pytest.mark.trio
async def test_save_that_is_cancelled_is_not_undone(autojump_clock: object) -> None:
    async with opened() as (world, session):
        world.times = Times(save=3.0)
        domain = world.add("vm1", running=True)
        with anyio.move_on_after(1):
            await has(session, Power).managed_save(record(domain), ManagedSave())
        await anyio.sleep(3)
        await session.list()
        assert domain.reason is ShutoffReason.SAVED


@pytest.mark.anyio
async def test_host_info_answers() -> None:
    async with opened() as (_, session):
        info = has(session, HostInfo)
        assert await info.hostname() == "lab"
        assert await info.uri() == "sim://lab"
        node = await info.node_info()
        assert node.cpus == node.nodes * node.sockets * node.cores * node.threads


@pytest.mark.anyio
async def test_stats_of_all_or_some_in_groups() -> None:
    async with opened() as (world, session):
        stats = has(session, Stats)
        running, off = world.add("vm1", running=True), world.add("vm2")
        everything = {each.name: each.params for each in await stats.collect()}
        assert everything["vm1"]["state.state"] == 1
        assert {"cpu.time", "balloon.current", "vcpu.current", "net.0.rx.bytes", "block.0.rd.bytes"} <= set(
            everything["vm1"]
        )
        assert "cpu.time" not in everything["vm2"]
        assert everything["vm2"]["net.count"] == 0
        some = await stats.collect([record(off), record(Key(bytes(16)))], groups=frozenset({StatsGroup.STATE}))
        assert [(each.key, dict(each.params)) for each in some] == [(off.key, {"state.state": 5, "state.reason": 0})]
        only = await stats.collect([record(running)], groups=frozenset({StatsGroup.PERF}))
        assert [dict(each.params) for each in only] == [{}]
