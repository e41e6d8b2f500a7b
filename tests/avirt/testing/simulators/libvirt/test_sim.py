"""What a test holds: `LibvirtSim` with an avirt host on the other end, through every fault."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import anyio
import anyio.abc
import anyio.to_thread
import pytest
from msgspec.structs import replace

import avirt
from avirt.drivers.base import Env
from avirt.drivers.libvirt.generated.procedures import DOMAIN_EVENTS, Feature
from avirt.drivers.sim.domain import SimDomain
from avirt.errors import AccessDenied, AuthError, CannotConnect, ConnectionLost, InvalidOperation
from avirt.model.change import Added, HostConnected, HostLost, HostReplaced, HostResynced, Removed
from avirt.model.record import HostState
from avirt.model.state import DomainState, RunningReason, ShutoffReason
from avirt.testing import Act, Auth, Direction, LibvirtSim, Scripted, Seeded, Step, Where
from avirt.testing.checkpoints import Canceller, cancelled_at_each_checkpoint
from avirt.testing.endurance import held, until_held
from avirt.testing.rules import (
    RULES,
    Cut,
    Delay,
    FailCall,
    Fragment,
    Hang,
    LateReply,
    LoseEvent,
    RefuseAuth,
    RefuseConnection,
    Reorder,
    RepeatEvent,
    ReplaceHost,
    Restart,
    Rule,
    Silence,
    SlowAccept,
    Storm,
)
from avirt.testing.simulators.libvirt import QEMU, Profile
from avirt.uri import parse_uri
from tests.fix_leaks import nothing_left

pytestmark = pytest.mark.anyio

IN, OUT = Direction.IN, Direction.OUT


@pytest.fixture(params=[False, True], ids=["unix", "memory"])
async def sim(request: pytest.FixtureRequest, anyio_backend: object) -> AsyncIterator[LibvirtSim]:
    async with LibvirtSim(domains=5, running=3, memory=request.param) as sim:
        yield sim
        assert sim.complaints == []


# ---------------------------------------------------------------- coming and going


async def test_view_is_the_truth(sim: LibvirtSim) -> None:
    """As the design shows it."""
    async with avirt.connect(sim.uri, driver=sim.driver) as host:
        sim.domain("vm1").crash()
        sim.faults.cut(after_bytes=1234)
        await sim.settled(host)
        assert host.view == sim.truth()
        assert host.domain(sim.domain("vm1").uuid).record.reason is ShutoffReason.CRASHED


async def test_verbs_have_their_effects(sim: LibvirtSim) -> None:
    async with avirt.connect(sim.uri, driver=sim.driver) as host:
        domain = await host.lookup(name="vm4")
        for verb, state in (
            (domain.start, DomainState.RUNNING),
            (domain.suspend, DomainState.PAUSED),
            (domain.resume, DomainState.RUNNING),
            (domain.managed_save, DomainState.SHUTOFF),
            (domain.start, DomainState.RUNNING),
            (domain.reboot, DomainState.RUNNING),
            (domain.reset, DomainState.RUNNING),
            (domain.shutdown, DomainState.SHUTOFF),
        ):
            outcome = await verb()
            assert outcome.observed
            assert domain.state is state
        await sim.settled(host)
        assert host.view == sim.truth()


@pytest.mark.parametrize("memory", [False, True])
async def test_nothing_is_left_behind(memory: bool) -> None:
    """No task, no socket, no folder."""
    with nothing_left():
        async with LibvirtSim(domains=3, memory=memory) as sim:
            async with avirt.connect(sim.uri, driver=sim.driver) as host:
                sim.domain("vm0").shutdown()
                await host.refresh()
            folder = Path(sim.uri.partition("socket=")[2]).parent
        assert memory or not folder.exists()


async def test_exception_of_the_body_comes_out_as_itself() -> None:
    with pytest.raises(ZeroDivisionError):
        async with LibvirtSim(domains=1, memory=True) as sim, avirt.connect(sim.uri, driver=sim.driver):
            raise ZeroDivisionError


async def test_it_can_be_cancelled() -> None:
    with anyio.move_on_after(0.02) as scope:
        async with LibvirtSim(domains=1) as sim, avirt.connect(sim.uri):
            await anyio.sleep_forever()
    assert scope.cancelled_caught


async def test_entering_cancelled_anywhere_leaves_nothing_behind() -> None:
    """No socket and no task; no folder, but where a task is cancelled by asyncio's own means while it removes it."""

    async def work() -> None:
        async with LibvirtSim(domains=1):
            pass

    await work()
    before = await held()
    await cancelled_at_each_checkpoint(work, by=[Canceller.SCOPE])
    await until_held(before)
    assert await anyio.to_thread.run_sync(_folders) == []
    await cancelled_at_each_checkpoint(work)
    await until_held(before)
    await anyio.to_thread.run_sync(_remove_folders)


def _folders() -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob(f"avirt-sim-{os.getpid()}-*"))


def _remove_folders() -> None:
    for folder in _folders():
        shutil.rmtree(folder)


async def test_step_of_a_script_that_can_not_be_done_ends_it() -> None:
    """As an error of the simulation, not of the body."""
    life = Scripted([Step(after=0.01, act=Act.RESUME, domain="vm0")])
    with pytest.raises(InvalidOperation):
        async with LibvirtSim(domains=1, memory=True, life=life):
            await anyio.sleep(5)


async def test_two_clients_are_told_alike(sim: LibvirtSim) -> None:
    async with (
        avirt.connect(sim.uri, driver=sim.driver, name="one") as one,
        avirt.connect(sim.uri, driver=sim.driver, name="two") as two,
    ):
        domain = await one.lookup(name="vm0")
        await domain.destroy()
        await sim.settled(two)
        assert one.view == sim.truth()
        assert two.view == sim.truth()
        assert sim.clients == 2


async def test_repr_says_what_it_is(sim: LibvirtSim) -> None:
    assert repr(sim) == "<LibvirtSim sim domains=5 clients=0>"


# ---------------------------------------------------------------- restarts


async def test_restart_with_changed_domains_is_seen_afterwards(sim: LibvirtSim) -> None:
    """One loss, a change for each difference, one resync."""
    async with avirt.connect(sim.uri, driver=sim.driver) as host:
        with host.watch() as changes:
            with sim.restart() as world:
                world.domain("vm0").destroy()
                world.domain("vm3").start()
                world.domain("vm4").undefine()
                world.add("new", running=True)
            await sim.settled(host)
            kinds = [type(change) for change in changes.read_nowait(100)]
        assert host.view == sim.truth()
    assert [kind for kind in kinds if kind in (HostLost, HostConnected, HostResynced)] == [
        HostLost,
        HostConnected,
        HostResynced,
    ]
    assert kinds.count(Removed) == 1
    assert sim.faults.struck == {"restart": 1}


@pytest.mark.parametrize("by_rule", [False, True])
async def test_another_host_is_another_host(sim: LibvirtSim, by_rule: bool) -> None:
    async with avirt.connect(sim.uri, driver=sim.driver) as host:
        with host.watch() as changes:
            if by_rule:
                sim.faults.replace_host(hostname="other")
            else:
                sim.replace_host(UUID(int=7), name="other")
            await sim.settled(host)
            kinds = [type(change) for change in changes.read_nowait(100)]
        assert (host.facts.hostname, host.facts.uuid) == ("other", sim.world.uuid)
        assert sim.faults.struck == {"replace_host": 1}
        assert host.view == sim.truth() == {}
    assert HostReplaced in kinds
    assert Removed not in kinds


async def test_another_host_knows_nothing_of_what_was_to_happen_to_the_domains_of_the_first(sim: LibvirtSim) -> None:
    async with avirt.connect(sim.uri, driver=sim.driver) as host:
        sim.domain("vm0").kill_emulator()
        sim.replace_host()
        await sim.settled(host)
        told = sim.told
        await anyio.sleep(2 * sim.world.times.death)
        assert sim.told == told
        assert host.view == {}


async def test_step_is_performed_now_or_refused(sim: LibvirtSim) -> None:
    sim.perform(Step(after=9, act=Act.DESTROY, domain="vm0"))
    assert not sim.domain("vm0").active
    with pytest.raises(InvalidOperation):
        sim.perform(Step(after=0, act=Act.DESTROY, domain="vm0"))


async def test_daemon_that_is_down_refuses_and_comes_back(sim: LibvirtSim) -> None:
    async with avirt.connect(sim.uri, driver=sim.driver) as host:
        sim.stop()
        with pytest.raises(CannotConnect) as refused:
            async with avirt.connect(sim.uri, driver=sim.driver):
                pass
        assert refused.value.code in ("ECONNREFUSED", "ENOENT")
        sim.start()
        await sim.settled(host)
        assert host.status.state is HostState.LIVE


async def test_daemon_that_lost_its_hypervisor_says_so(sim: LibvirtSim) -> None:
    async with avirt.connect(sim.uri, driver=sim.driver) as host:
        with host.watch(kinds=[HostLost]) as changes:
            sim.lose_hypervisor()
            lost = await anext(changes)
        await sim.settled(host)
    assert "lost its hypervisor" in str(lost)


# ---------------------------------------------------------------- authentication


async def test_polkit_lets_in() -> None:
    async with LibvirtSim(domains=1, auth=Auth.POLKIT) as sim, avirt.connect(sim.uri) as host:
        assert host.view == sim.truth()


@pytest.mark.parametrize(("auth", "word"), [(Auth.POLKIT_REFUSED, "polkit"), (Auth.SASL, "SASL")])
async def test_who_is_refused_is_told_why(auth: Auth, word: str) -> None:
    async with LibvirtSim(domains=1, auth=auth) as sim:
        with pytest.raises(AuthError, match=word):
            async with avirt.connect(sim.uri):
                pass
        async with avirt.connect(sim.read_only_uri) as host:
            (domain,) = host.domains()
            with pytest.raises(AccessDenied):
                await domain.destroy()


async def test_refused_authentication_is_a_fault_that_passes(sim: LibvirtSim) -> None:
    sim.faults.refuse_auth(times=1)
    with pytest.raises(AuthError):
        async with avirt.connect(sim.uri, driver=sim.driver):
            pass
    async with avirt.connect(sim.uri, driver=sim.driver) as host:
        assert host.view == sim.truth()
    assert sim.faults.struck == {"refuse_auth": 1}


# ---------------------------------------------------------------- faults


@pytest.mark.slow
@pytest.mark.parametrize("direction", [IN, OUT])
@pytest.mark.parametrize("after_bytes", [1, 3, 27, 28, 29, 100, 313, 1000, 2500])
async def test_cut_anywhere_is_survived(direction: Direction, after_bytes: int) -> None:
    """In the middle of frames, in either direction: what was missed is found."""
    async with LibvirtSim(domains=5, memory=True) as sim, avirt.connect(sim.uri, driver=sim.driver) as host:
        sim.faults.cut(after_bytes=after_bytes, direction=direction, where=Where.EVENTS)
        with suppress(ConnectionLost):
            while not sim.faults.struck:
                sim.domain("vm0").reset()
                await host.refresh()
        assert sim.faults.struck == {"cut": 1}
        sim.domain("vm3").destroy()
        await sim.settled(host)
        assert host.view == sim.truth()
        assert sim.complaints == []


@pytest.mark.slow
async def test_everything_byte_by_byte(sim: LibvirtSim) -> None:
    sim.faults.fragment(1)
    sim.faults.fragment(5, direction=IN)
    async with avirt.connect(sim.uri, driver=sim.driver) as host:
        assert (await (await host.lookup(name="vm0")).destroy()).observed
        await sim.settled(host)
        assert host.view == sim.truth()


async def test_slow_line_and_reordered_replies_change_nothing(sim: LibvirtSim) -> None:
    sim.faults.delay(0.002)
    sim.faults.reorder(3, within=0.005)
    async with avirt.connect(sim.uri, driver=sim.driver) as host:
        domain = await host.lookup(name="vm4")
        for verb in (domain.start, domain.suspend, domain.resume, domain.destroy):
            await verb()
        await sim.settled(host)
        assert host.view == sim.truth()
    assert sim.faults.struck["delay"] > 0
    assert sim.faults.struck["reorder"] > 0


async def test_storm_leaves_all_as_it_was(sim: LibvirtSim) -> None:
    async with avirt.connect(sim.uri, driver=sim.driver) as host:
        before = sim.told
        sim.faults.storm(400)
        await sim.settled(host)
        assert sim.told - before == 400
        assert host.view == sim.truth()
    assert sim.faults.struck == {Storm.name(): 1}


async def test_lost_event_that_no_read_follows_is_not_settled(sim: LibvirtSim) -> None:
    """And `settled` says what is wrong; a listing puts it right."""
    async with avirt.connect(sim.uri, driver=sim.driver) as host:
        sim.faults.lose_event(2)
        sim.domain("vm0").destroy()
        with pytest.raises(AssertionError, match="vm0: state is SHUTOFF, the view says RUNNING"):
            await sim.settled(host, timeout=0.2)
        await host.refresh()
        await sim.settled(host)


async def test_events_on_their_way_are_not_settled(sim: LibvirtSim) -> None:
    """A domain that came and went is not in the view, and will be."""
    async with avirt.connect(sim.uri, driver=sim.driver) as host:
        with host.watch(kinds={Added, Removed}) as changes:
            sim.faults.delay(0.3, direction=OUT)
            sim.world.add("brief").undefine()
            sim.faults.clear()
            assert host.view == sim.truth()
            await sim.settled(host)
            assert [type(change) for change in changes.read_nowait()] == [Added, Removed]


async def test_client_that_was_cut_off_and_did_not_notice_yet_is_not_settled(sim: LibvirtSim) -> None:
    async with avirt.connect(sim.uri, driver=sim.driver) as host:
        sim.domain("vm0").suspend()
        await sim.settled(host)
        accepted = sim.accepted
        sim.faults.cut(after_bytes=0)
        await sim.settled(host, quiet=0)
        assert sim.accepted > accepted


async def test_repeated_events_change_nothing(sim: LibvirtSim) -> None:
    async with avirt.connect(sim.uri, driver=sim.driver) as host:
        sim.faults.repeat_event(20)
        for act in ("suspend", "resume", "destroy", "start"):
            getattr(sim.domain("vm0"), act)()
        await sim.settled(host)
        assert host.view == sim.truth()


async def test_connections_are_refused_or_accepted_late(sim: LibvirtSim) -> None:
    sim.faults.refuse_connection(1)
    with pytest.raises(CannotConnect):
        async with avirt.connect(sim.uri, driver=sim.driver):
            pass
    sim.faults.slow_accept(0.01)
    async with avirt.connect(sim.uri, driver=sim.driver) as host:
        assert host.view == sim.truth()
    assert sim.faults.struck == {"refuse_connection": 1, "slow_accept": 1}


async def test_domain_that_never_answers_spoils_no_other(sim: LibvirtSim) -> None:
    async with avirt.connect(sim.uri, driver=sim.driver) as host:
        sim.faults.hang("vm0")
        sick, well = await host.lookup(name="vm0"), await host.lookup(name="vm1")
        async with anyio.create_task_group() as group:
            group.start_soon(sick.destroy)
            await well.destroy()
            await well.start()
            assert sim.domain("vm0").active
            sim.faults.clear()
        await sim.settled(host)
        assert not sim.domain("vm0").active


@pytest.mark.trio
@pytest.mark.parametrize("anyio_backend", [("trio", {})], ids=["trio"])
@pytest.mark.parametrize("direction", [None, IN, OUT])
async def test_half_open_connection_is_found_and_made_again(
    autojump_clock: object, direction: Direction | None
) -> None:
    """In the keepalive's time, whichever way is dead."""
    async with LibvirtSim(domains=5, memory=True) as sim, avirt.connect(sim.uri, driver=sim.driver) as host:
        began = anyio.current_time()
        with host.watch(kinds=[HostLost]) as changes:
            sim.faults.silence(direction=direction, where=0)
            sim.domain("vm0").destroy()
            await anyio.sleep(60)
            (lost,) = changes.read_nowait(10)
        assert isinstance(lost, HostLost)
        await sim.settled(host)
        assert host.view == sim.truth()
        assert anyio.current_time() - began < 100
    assert sim.faults.struck["silence"] == 1


EVERY_RULE = [
    Cut(after_bytes=50, where=Where.EVENTS),
    Cut(),
    Delay(seconds=0.05),
    Delay(seconds=0.05, direction=IN),
    Fragment(size=3),
    Fragment(size=3, direction=IN),
    Silence(),
    Reorder(depth=2),
    LateReply(seconds=0.5),
    FailCall(code=38),
    Hang(domain="vm0"),
    LoseEvent(times=1),
    RepeatEvent(times=3),
    Storm(events=100),
    RefuseConnection(times=2),
    SlowAccept(seconds=1.0, times=1),
    RefuseAuth(times=1),
    Restart(),
    Restart(
        down=2.0,
        steps=(
            Step(after=0, act=Act.DESTROY, domain="vm1"),
            Step(after=0, act=Act.START, domain="vm2"),
            Step(after=0, act=Act.APPEAR, domain="new"),
        ),
    ),
]


def test_every_kind_of_rule_is_tried() -> None:
    assert {type(rule) for rule in EVERY_RULE} | {ReplaceHost} == set(RULES)


@pytest.mark.trio
@pytest.mark.parametrize("anyio_backend", [("trio", {})], ids=["trio"])
@pytest.mark.parametrize("rule", EVERY_RULE, ids=lambda rule: rule.name())
async def test_every_rule_strikes_and_leaves_the_truth(autojump_clock: object, rule: Rule) -> None:
    """Whatever it was, once it is over the view is right."""
    async with LibvirtSim(domains=3, memory=True) as sim, avirt.connect(sim.uri, driver=sim.driver) as host:
        sim.faults.add(rule)
        for act in (SimDomain.suspend, SimDomain.resume, SimDomain.reset, SimDomain.destroy):
            act(sim.domain("vm0"))
            await anyio.sleep(0.3)
        if not sim.faults.struck:
            with sim.restart():
                sim.domain("vm1").destroy()
        await anyio.sleep(40)
        sim.faults.clear()
        await sim.settled(host, timeout=300)
        assert host.view == sim.truth()
        assert sim.faults.struck[rule.name()] > 0
        assert sim.complaints == []


# ---------------------------------------------------------------- migration, life


async def test_migration_between_two_is_told_on_both() -> None:
    async with LibvirtSim(domains=2, name="here") as one, LibvirtSim(name="there", memory=True) as other:
        async with avirt.connect(one.uri) as here, avirt.connect(other.uri, driver=other.driver) as there:
            one.migrate("vm0", other)
            one.migrate("vm1", other, persistent=True, undefine=True)
            await one.settled(here)
            await other.settled(there)
            assert here.view == one.truth()
            assert there.view == other.truth()
        assert [each.name for each in one.world.domains.values()] == ["vm0"]
        assert [each.persistent for each in other.world.domains.values()] == [False, True]
        assert other.domain("vm0").reason is RunningReason.MIGRATED


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
async def test_life_of_its_own_is_followed(seed: int) -> None:
    life = Seeded(domains=12, rate=50, lasts=1.5)
    async with LibvirtSim(memory=True, seed=seed, life=life) as sim:
        async with avirt.connect(sim.uri, driver=sim.driver) as host:
            await sim.settled(host)
            assert host.view == sim.truth()
        assert sim.told > 50
        assert sim.complaints == []


OLD = {
    "no callback ids": replace(QEMU, missing_features=frozenset({int(Feature.REMOTE_EVENT_CALLBACK)})),
    "no close callback": replace(QEMU, missing_features=frozenset({int(Feature.REMOTE_CLOSE_CALLBACK)})),
    "few events": replace(QEMU, missing_events=frozenset(kind.name for kind in DOMAIN_EVENTS[8:])),
    "no statistics": replace(QEMU, missing=frozenset({"connect_get_all_domain_stats"})),
    "no lists": replace(QEMU, missing=frozenset({"connect_get_all_domain_stats", "connect_list_all_domains"})),
}
"""Daemons of older libvirts."""


@pytest.mark.slow
@pytest.mark.parametrize("profile", OLD.values(), ids=list(OLD))
async def test_old_daemon_is_followed_by_its_older_ways(profile: Profile) -> None:
    async with LibvirtSim(domains=4, running=2, profile=profile, memory=True) as sim:
        async with avirt.connect(sim.uri, driver=sim.driver) as host:
            sim.domain("vm0").suspend()
            sim.domain("vm1").destroy()
            sim.domain("vm2").start()
            sim.domain("vm3").undefine()
            await sim.settled(host)
            with sim.restart() as world:
                world.domain("vm0").resume()
            await sim.settled(host)
            assert host.view == sim.truth()
        assert sim.complaints == []


def test_profile_is_data() -> None:
    assert isinstance(QEMU, Profile)
    assert QEMU.scheme == "qemu"


@pytest.mark.slow
@pytest.mark.blocks  # the garbage collector has 300,000 objects to look through
@pytest.mark.parametrize(
    ("most", "memory", "anyio_backend"),
    [(1000, True, ("asyncio", {"use_uvloop": True})), (200, False, ("trio", {}))],
    ids=["1000-memory-uvloop", "200-unix-trio"],
)
async def test_a_thousand_of_them_in_one_process(most: int, memory: bool) -> None:
    """Each with a connection that reads its domains: two descriptors, and two for the listening sockets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20_000), hard))
    told: list[str] = []

    async def one(number: int, *, task_status: anyio.abc.TaskStatus[tuple[anyio.Event, anyio.Event]]) -> None:
        leave, left = anyio.Event(), anyio.Event()
        async with (
            LibvirtSim(domains=1, memory=memory, name=f"h{number}") as sim,
            sim.driver.open(parse_uri(sim.uri), Env()) as session,
        ):
            told.append((await session.list()).items[0].name or "")
            task_status.started((leave, left))
            await leave.wait()
        left.set()

    try:
        async with anyio.create_task_group() as group:
            all_of_them = [await group.start(one, number) for number in range(most)]
            for leave, left in all_of_them:  # one after another: a thousand ends in one turn hold any loop
                leave.set()
                await left.wait()
        assert told == ["vm0"] * most
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
