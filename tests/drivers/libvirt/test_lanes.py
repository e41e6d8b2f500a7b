"""The connections to one daemon: opened when needed, closed when idle, replaced when clogged."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import pytest

from avirt.drivers.libvirt.generated.procedures import Proc
from avirt.drivers.libvirt.generated.types import RemoteDomainGetStateRet
from avirt.drivers.libvirt.lanes import Lanes, open_lanes
from avirt.drivers.libvirt.rpc import ABANDONED_LIMIT, Rpc
from avirt.errors import CannotConnect, ConnectionLost, OperationTimeout, Outcomes
from tests.drivers.libvirt.fake_daemon import DOMAIN, HOLD, FakeDaemon, connected

pytestmark = pytest.mark.anyio

STATE = RemoteDomainGetStateRet(7, 0)
SLOW = Proc.DOMAIN_GET_XML_DESC


class Bench:
    """Lanes whose further connections lead to daemons of their own, kept in `daemons`."""

    def __init__(self) -> None:
        self.daemons: list[FakeDaemon] = []
        self.opened: list[Rpc] = []
        self.failure: CannotConnect | None = None
        self.slow: object = HOLD
        self.state: object = STATE
        self._changed = anyio.Event()

    @asynccontextmanager
    async def open_more(self) -> AsyncIterator[Rpc]:
        if self.failure is not None:
            raise self.failure

        def prepare(daemon: FakeDaemon) -> None:
            daemon.handlers[SLOW] = lambda dom, flags, answer=self.slow: answer
            daemon.handlers[Proc.DOMAIN_GET_STATE] = lambda dom, flags, answer=self.state: answer

        async with connected(prepare=prepare) as (rpc, daemon):
            self.daemons.append(daemon)
            self.opened.append(rpc)
            yield rpc
        self._changed.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        with anyio.fail_after(10):
            while not holds():
                await self._changed.wait()
                self._changed = anyio.Event()


@asynccontextmanager
async def lanes_of(*, idle: float = 60) -> AsyncIterator[tuple[Lanes, Bench]]:
    bench = Bench()
    async with AsyncExitStack() as stack:
        control, daemon = await stack.enter_async_context(connected())
        bench.daemons.append(daemon)
        yield await stack.enter_async_context(open_lanes(control, bench.open_more, idle=idle)), bench


async def state(lanes: Lanes) -> RemoteDomainGetStateRet:
    return await lanes.call(Proc.DOMAIN_GET_STATE, DOMAIN, 0)


async def test_work_connection_is_opened_once_when_first_needed() -> None:
    """By however many at once; the control connection carries none of it."""
    async with lanes_of() as (lanes, bench):
        assert bench.opened == []
        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(state, lanes)
        assert await state(lanes) == STATE
        assert len(bench.opened) == 1
        assert bench.opened[0] is not lanes.control
        assert "domain_get_state" not in bench.daemons[0].names()


async def test_idle_work_connection_is_closed_and_opened_again() -> None:
    """A daemon's clients are few."""
    async with lanes_of(idle=0.01) as (lanes, bench):
        await state(lanes)
        await bench.until(lambda: bench.opened[0].lost is not None)
        assert await state(lanes) == STATE
        assert len(bench.opened) == 2


async def test_lost_work_connection_is_replaced() -> None:
    """The call that was on it fails, the next one works."""
    async with lanes_of() as (lanes, bench):
        await state(lanes)
        bench.daemons[1].transport.close()
        await bench.opened[0].wait_closed()
        assert await state(lanes) == STATE
        assert len(bench.opened) == 2


async def test_clogged_work_connection_is_replaced_and_closed_when_nobody_waits_on_it() -> None:
    """Three abandoned calls; one that is still waited for keeps it until it is answered."""
    async with lanes_of(idle=0.3) as (lanes, bench):
        async with anyio.create_task_group() as group:

            async def give_up() -> None:
                with pytest.raises(OperationTimeout):
                    await lanes.call(SLOW, DOMAIN, 0, timeout=0.01)

            for _ in range(ABANDONED_LIMIT):
                group.start_soon(give_up)
        first = bench.opened[0]
        assert first.is_clogged
        patient = first.submit(Proc.DOMAIN_GET_XML_DESC, DOMAIN, 1)
        await bench.daemons[1].until(lambda: len(bench.daemons[1].held) == 4)
        assert await state(lanes) == STATE
        assert len(bench.opened) == 2
        assert first.lost is None
        bench.daemons[1].reply(bench.daemons[1].held[3], "xml")
        assert await patient.wait() == "xml"
        await bench.until(lambda: first.lost is not None)


async def test_work_connection_that_can_not_be_opened_fails_its_callers_and_is_tried_again() -> None:
    """Nothing was sent."""
    async with lanes_of() as (lanes, bench):
        bench.failure = CannotConnect("no")
        with pytest.raises(CannotConnect, match="no"):
            await state(lanes)
        bench.failure = None
        assert await state(lanes) == STATE


async def test_lost_control_connection_ends_everything() -> None:
    """The host is lost."""
    async with lanes_of() as (lanes, bench):
        bench.daemons[0].transport.close()
        await lanes.control.wait_closed()
        with pytest.raises(ConnectionLost) as caught:
            await state(lanes)
        assert caught.value.outcome is Outcomes.NOT_SENT


async def test_bulk_connections_are_ones_own() -> None:
    """One a stream."""
    async with lanes_of() as (lanes, bench):
        async with lanes.bulk() as one, lanes.bulk() as two:
            assert len({id(one), id(two), id(lanes.control)}) == 3
        assert [rpc.lost is not None for rpc in bench.opened] == [True, True]


async def test_leaving_closes_the_work_connection_and_passes_errors_through() -> None:
    """As themselves."""
    benches: list[Bench] = []

    async def use() -> None:
        async with lanes_of() as (lanes, bench):
            benches.append(bench)
            await state(lanes)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await use()
    assert benches[0].opened[0].lost is not None


async def test_call_cancelled_while_the_connection_opens_leaves_the_lane_usable() -> None:
    """The connection is opened for whoever comes next."""
    async with lanes_of() as (lanes, bench):
        with anyio.move_on_after(0):
            await state(lanes)
        assert await state(lanes) == STATE
        assert len(bench.opened) == 1
