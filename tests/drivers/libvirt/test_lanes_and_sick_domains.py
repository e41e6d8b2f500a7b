"""The connections to one daemon when domains hang: set aside, tried, kept for late answers."""

from __future__ import annotations

from contextlib import suppress

import anyio
import pytest

from avirt.drivers.libvirt.generated.procedures import Proc
from avirt.drivers.libvirt.generated.types import RemoteDomain, RemoteDomainGetStateRet
from avirt.drivers.libvirt.lanes import MOST_ASIDE, MOST_LOSSES, Lanes
from avirt.drivers.libvirt.rpc import Rpc
from avirt.drivers.wire.breaker import FIRST_PAUSE
from avirt.errors import AvirtError, Busy, CannotConnect, ConnectionLost, OperationTimeout, Unsupported
from tests.drivers.libvirt.fake_daemon import DOMAIN, HOLD, complaint
from tests.drivers.libvirt.test_lanes import SLOW, STATE, Bench, lanes_of, state

pytestmark = pytest.mark.trio


def other(n: int) -> RemoteDomain:
    return RemoteDomain(f"d{n}", bytes([n]) * 16, n)


async def in_vain(lanes: Lanes, dom: RemoteDomain, timeout: float = 30) -> None:
    with pytest.raises((OperationTimeout, Busy)):
        await lanes.call(SLOW, dom, 0, timeout=timeout, key=dom.uuid)


async def test_connection_with_a_stuck_call_is_set_aside_and_what_was_not_sent_moves(autojump_clock: object) -> None:
    """Four hang at once and fill the window: the fifth is answered on another connection."""
    async with lanes_of() as (lanes, bench), anyio.create_task_group() as group:
        for n in range(4):
            group.start_soon(in_vain, lanes, other(n))
        await anyio.sleep(0.1)
        assert await lanes.call(Proc.DOMAIN_GET_STATE, DOMAIN, 0, key=DOMAIN.uuid) == STATE
        assert anyio.current_time() < 2
        assert len(bench.opened) == 2
        assert bench.opened[0].stuck == 4
        assert bench.opened[0].lost is None
        assert await state(lanes) == STATE
        assert len(bench.opened) == 2
        # a second call of a domain waits behind its first, and not on the connection of the others
        group.start_soon(in_vain, lanes, other(0))
        await anyio.sleep(0.1)
        assert len(bench.daemons[1].held) == 4
        assert bench.opened[1].unanswered == 0


async def test_trial_goes_where_others_hang_already_and_its_answer_closes(autojump_clock: object) -> None:
    """Nobody else waits for it; refused by the domain's other call, it counts as hung."""
    async with lanes_of() as (lanes, bench):
        await in_vain(lanes, DOMAIN)
        await anyio.sleep(1)
        with pytest.raises(Busy, match="hung since"):
            await lanes.call(SLOW, DOMAIN, 0, key=DOMAIN.uuid)
        assert await state(lanes) == STATE
        bench.slow = complaint(68, "held by another job")  # on connections yet to be opened
        await anyio.sleep(FIRST_PAUSE)
        with pytest.raises(Busy, match="held by another job"):
            await lanes.call(SLOW, DOMAIN, 0, key=DOMAIN.uuid)
        with pytest.raises(Busy, match="hung since"):
            await lanes.call(SLOW, DOMAIN, 0, key=DOMAIN.uuid)
        bench.daemons[3].handlers[SLOW] = lambda dom, flags: "xml"
        await anyio.sleep(2 * FIRST_PAUSE)
        assert await lanes.call(SLOW, DOMAIN, 0, key=DOMAIN.uuid) == "xml"
        assert not lanes.breaker
        assert len(bench.opened) == 3


async def test_late_answer_closes_the_breaker_and_the_connection_serves_again(autojump_clock: object) -> None:
    """It is aside no longer."""
    async with lanes_of() as (lanes, bench):
        await in_vain(lanes, DOMAIN)
        await anyio.sleep(1)
        assert lanes.breaker
        bench.daemons[1].reply(bench.daemons[1].held[0], "xml")
        await anyio.sleep(0.1)
        assert not lanes.breaker
        assert await state(lanes) == STATE
        assert len(bench.opened) == 1


async def test_connections_aside_are_bounded_and_those_that_somebody_waits_for_stay(autojump_clock: object) -> None:
    """A lost connection is no evidence that its domain answers again."""
    async with lanes_of() as (lanes, bench), anyio.create_task_group() as group:
        for n in range(MOST_ASIDE + 3):
            group.start_soon(in_vain, lanes, other(n), 20)
            await anyio.sleep(1.5)
            await state(lanes)
        assert all(rpc.lost is None for rpc in bench.opened)
        await anyio.sleep(60)
        await in_vain(lanes, other(99))
        await state(lanes)
        await anyio.sleep(1)
        assert sum(rpc.lost is None for rpc in bench.opened) == MOST_ASIDE + 1
        assert len(lanes.breaker.hung) == MOST_ASIDE + 4


async def read(lanes: Lanes, dom: RemoteDomain) -> RemoteDomainGetStateRet:
    async def ask(rpc: Rpc) -> RemoteDomainGetStateRet:
        return await rpc.call(Proc.DOMAIN_GET_STATE, dom, 0, key=dom.uuid)

    return await lanes.read(dom.uuid, ask)


async def test_reads_leave_control_while_one_is_stuck_there_and_come_back(autojump_clock: object) -> None:
    """The domain's own waits where its first is."""
    async with lanes_of() as (lanes, bench), anyio.create_task_group() as group:
        bench.daemons[0].handlers[Proc.DOMAIN_GET_STATE] = lambda dom, flags: HOLD if dom.name == "d1" else STATE

        group.start_soon(read, lanes, other(1))
        assert await read(lanes, DOMAIN) == STATE
        assert bench.opened == []
        await anyio.sleep(1.5)
        assert await read(lanes, DOMAIN) == STATE
        assert len(bench.opened) == 1
        group.start_soon(read, lanes, other(1))
        await anyio.sleep(0.1)
        assert bench.daemons[1].names().count("domain_get_state") == 1
        bench.daemons[0].handlers[Proc.DOMAIN_GET_STATE] = lambda dom, flags: STATE
        bench.daemons[0].reply(bench.daemons[0].held[0], STATE)
        await anyio.sleep(0.1)
        assert await read(lanes, DOMAIN) == STATE
        assert bench.daemons[1].names().count("domain_get_state") == 1


async def test_urgent_calls_pass_by_what_hangs_on_control(autojump_clock: object) -> None:
    """Whatever was tried before."""
    async with lanes_of() as (lanes, bench), anyio.create_task_group() as group:
        bench.daemons[0].handlers[Proc.DOMAIN_DESTROY_FLAGS] = lambda dom, flags: HOLD

        async def destroy(dom: RemoteDomain) -> None:
            with suppress(Unsupported):  # these daemons are fakes: what counts is which of them was asked
                await lanes.urgent(Proc.DOMAIN_DESTROY_FLAGS, dom, 0, key=dom.uuid)

        for n in range(3):
            group.start_soon(destroy, other(n))
        await anyio.sleep(1.5)
        assert len(bench.daemons[0].held) == 2
        assert [names.count("domain_destroy_flags") for names in [daemon.names() for daemon in bench.daemons]] == [2, 1]
        group.cancel_scope.cancel()


async def lose_reads(lanes: Lanes, bench: Bench, times: int, answers: list[object]) -> None:
    """Domain 1 hangs on control, so another's reads go elsewhere, and are lost there so many times."""
    bench.daemons[0].handlers[Proc.DOMAIN_GET_STATE] = lambda dom, flags: HOLD
    async with anyio.create_task_group() as group:
        group.start_soon(read, lanes, other(1))
        await anyio.sleep(1.5)

        async def ask() -> None:
            try:
                answers.append(await read(lanes, DOMAIN))
            except AvirtError as error:
                answers.append(error)

        bench.state = HOLD
        group.start_soon(ask)
        for count in range(1, times + 1):
            await anyio.sleep(0.5)
            assert len(bench.daemons[count].held) == 1
            if count == times:
                bench.state = STATE
            bench.daemons[count].transport.close()
        await anyio.sleep(0.1)
        group.cancel_scope.cancel()


async def test_read_that_a_lost_work_connection_took_with_it_is_made_again(autojump_clock: object) -> None:
    """The host is not lost, so no listing would follow: it would be missing for ever."""
    async with lanes_of() as (lanes, bench):
        answers: list[object] = []
        await lose_reads(lanes, bench, 2, answers)
        assert answers == [STATE]


async def test_read_that_loses_one_connection_after_the_other_has_failed_and_the_host_is_not_lost(
    autojump_clock: object,
) -> None:
    async with lanes_of() as (lanes, bench):
        answers: list[object] = []
        await lose_reads(lanes, bench, MOST_LOSSES, answers)
        assert [type(answer) for answer in answers] == [CannotConnect]
        assert "lost each time" in str(answers[0])
        assert lanes.control.lost is None


async def test_read_is_lost_with_the_host(autojump_clock: object) -> None:
    async with lanes_of() as (lanes, bench):
        bench.daemons[0].handlers[Proc.DOMAIN_GET_STATE] = lambda dom, flags: HOLD
        async with anyio.create_task_group() as group:

            async def ask() -> None:
                with pytest.raises(ConnectionLost):
                    await read(lanes, DOMAIN)

            group.start_soon(ask)
            await anyio.sleep(0.1)
            bench.daemons[0].transport.close()
        assert bench.opened == []
