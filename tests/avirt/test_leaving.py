"""Leaving `connect`, whatever it is doing, leaves nothing behind: no task, descriptor, thread, waiting call."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

import avirt
from avirt.errors import AvirtError
from avirt.model.record import HostState
from avirt.testing import LibvirtSim
from avirt.testing.endurance import held, until_held
from tests.fix_leaks import nothing_left

pytestmark = pytest.mark.anyio

MANY = 100


async def call_in_vain(host: avirt.Host, ended: list[object]) -> None:
    try:
        ended.append(await host.domain(next(iter(host.view))).xml())
    except AvirtError as error:
        ended.append(error)


async def wait(host: avirt.Host, ended: list[object]) -> None:
    async with host.watch() as changes:
        async for _ in changes:
            pass
    ended.append(None)


@pytest.mark.parametrize("fault", ["hang", "silence"])
@pytest.mark.parametrize("raises", [False, True])
async def test_leaving_with_many_calls_and_subscribers(fault: str, raises: bool) -> None:
    """Each of them ends; an exception of the body comes out as itself."""
    calls: list[object] = []
    subscribers: list[object] = []
    with nothing_left():
        async with LibvirtSim(domains=1, memory=True) as sim, anyio.create_task_group() as group:
            await anyio.lowlevel.checkpoint()
            before = await held()
            try:
                with anyio.fail_after(5):
                    async with avirt.connect(sim.uri, driver=sim.driver) as host:
                        if fault == "hang":
                            sim.faults.hang("vm0")
                        else:
                            sim.faults.silence()
                        for _ in range(MANY):
                            group.start_soon(call_in_vain, host, calls)
                            group.start_soon(wait, host, subscribers)
                        await anyio.sleep(0.1)
                        assert calls == subscribers == []
                        if raises:
                            raise ZeroDivisionError
            except ZeroDivisionError:
                assert raises
            else:
                assert not raises
            with anyio.fail_after(5):
                while len(calls) < MANY or len(subscribers) < MANY:  # noqa: ASYNC110
                    await anyio.sleep(0.01)
            assert all(isinstance(each, AvirtError) for each in calls)
            sim.faults.clear()
            await until_held(before)


async def test_leaving_while_it_connects() -> None:
    """The peer never answers."""
    with nothing_left():
        async with LibvirtSim(domains=1, memory=True) as sim:
            before = await held()
            sim.faults.silence()
            with anyio.move_on_after(0.1) as scope:
                async with avirt.connect(sim.uri, driver=sim.driver):
                    raise AssertionError("it connected")
            assert scope.cancelled_caught
            sim.faults.clear()
            await until_held(before)


async def test_leaving_while_it_connects_again() -> None:
    with nothing_left():
        async with LibvirtSim(domains=1, memory=True) as sim:
            before = await held()
            with anyio.fail_after(5):
                async with avirt.connect(sim.uri, driver=sim.driver) as host:
                    sim.faults.refuse_connection()
                    sim.faults.cut()
                    while host.status.state is HostState.LIVE:  # noqa: ASYNC110
                        await anyio.sleep(0.01)
            sim.faults.clear()
            await until_held(before)


async def test_leaving_while_the_lane_for_work_opens() -> None:
    """A call that needs a second connection, which is not accepted."""
    ended: list[object] = []

    async def start(host: avirt.Host) -> None:
        try:
            ended.append(await (await host.lookup(name="vm0")).start())
        except AvirtError as error:
            ended.append(error)

    with nothing_left():
        async with LibvirtSim(domains=1, running=0, memory=True) as sim, anyio.create_task_group() as group:
            before = await held()
            with anyio.fail_after(5):
                async with avirt.connect(sim.uri, driver=sim.driver) as host:
                    sim.faults.slow_accept(0.6)
                    group.start_soon(start, host)
                    await anyio.sleep(0.1)
                    assert ended == []
                    assert [peer.is_open for peer in sim.daemon.peers] == [True, False]
            with anyio.fail_after(5):
                while not ended:  # noqa: ASYNC110
                    await anyio.sleep(0.01)
            assert isinstance(ended[0], AvirtError)
            sim.faults.clear()
            await until_held(before)
