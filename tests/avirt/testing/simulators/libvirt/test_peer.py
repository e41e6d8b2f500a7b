"""One client as the daemon sees it: opening, the limit of requests, keepalive, complaints, faults of replies."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import anyio.abc
import pytest

import avirt
from avirt.drivers.libvirt import codec
from avirt.drivers.libvirt.flags import Xml
from avirt.drivers.libvirt.generated.procedures import Feature, Proc, QemuProc
from avirt.drivers.libvirt.generated.types import RemoteDomain, RemoteDomainGetStateRet
from avirt.drivers.libvirt.keepalive import PING_MESSAGE, PONG_MESSAGE
from avirt.drivers.libvirt.protocol import KEEPALIVE_PROGRAM, Message, MessageType
from avirt.drivers.libvirt.rpc import Arrival, Settings
from avirt.errors import AccessDenied, Busy, NativeError, NotFound, OperationTimeout, Unsupported
from avirt.testing import Auth, LibvirtSim
from tests.avirt.testing.simulators.libvirt.client import is_refused, opened, raw, until

pytestmark = pytest.mark.anyio

LIFECYCLE = Proc.DOMAIN_EVENT_CALLBACK_LIFECYCLE.number


@pytest.fixture
async def sim(anyio_backend: object) -> AsyncIterator[LibvirtSim]:
    async with LibvirtSim(domains=3, memory=True) as sim:
        yield sim


def dom(sim: LibvirtSim, name: str = "vm0") -> RemoteDomain:
    return RemoteDomain(name, sim.domain(name).key, -1)


# ---------------------------------------------------------------- opening


async def test_nothing_is_answered_before_authentication_and_opening() -> None:
    """Then by the order of opening; the errors are libvirt's."""
    async with LibvirtSim(domains=1, memory=True, auth=Auth.POLKIT) as sim, raw(sim) as client:
        assert is_refused(await client.call(Proc.CONNECT_GET_TYPE), 39)
        assert await client.call(Proc.CONNECT_SUPPORTS_FEATURE, Feature.PROGRAM_KEEPALIVE) == 1
        assert await client.call(Proc.AUTH_LIST) == (2,)
        assert await client.call(Proc.AUTH_POLKIT) == 1
        assert is_refused(await client.call(Proc.CONNECT_GET_TYPE), 1)
        assert is_refused(await client.call(Proc.CONNECT_OPEN, "xen:///system", 0), 5)
        assert await client.call(Proc.CONNECT_OPEN, "qemu:///system", 0) is None
        assert is_refused(await client.call(Proc.CONNECT_OPEN, "qemu:///system", 0), 1)
        assert await client.call(Proc.CONNECT_GET_TYPE) == "QEMU"
        assert sim.complaints == []


async def test_authentication_by_other_ways_than_offered_is_refused(sim: LibvirtSim) -> None:
    async with raw(sim) as client:
        assert is_refused(await client.call(Proc.AUTH_POLKIT), 45)
        assert is_refused(await client.call(Proc.AUTH_SASL_INIT), 45)
    async with LibvirtSim(memory=True, auth=Auth.SASL) as other, raw(other) as client:
        assert await client.call(Proc.AUTH_LIST) == (1,)
        assert await client.call(Proc.AUTH_SASL_INIT) == "SCRAM-SHA-256"


async def test_close_is_answered_then_the_daemon_closes(sim: LibvirtSim) -> None:
    async with raw(sim) as client:
        assert await client.call(Proc.CONNECT_CLOSE) is None
        assert await client.receive() is None
    assert sim.hung_up == 0
    async with raw(sim):
        await until(lambda: sim.clients == 1)
    await until(lambda: sim.hung_up == 1)
    assert sim.clients == 0


async def test_what_it_does_not_know_is_refused_and_nothing_is_broken(sim: LibvirtSim) -> None:
    """Unknown procedure, unknown program, an event's number; and what only its driver lacks."""
    async with opened(sim) as rpc:
        with pytest.raises(Unsupported):
            await rpc.call(Proc.DOMAIN_MIGRATE_PERFORM3_PARAMS, dom(sim), None, (), b"", 0)
        with pytest.raises(Unsupported):
            await rpc.call(QemuProc.DOMAIN_MONITOR_COMMAND, dom(sim), "x", 0)
    async with raw(sim) as client:
        for program, number in ((0x20008086, 99_999), (0x12345678, 1), (0x20008086, LIFECYCLE)):
            client.send_message(Message(program, number, MessageType.CALL, 7))
            reply = await client.receive()
            assert reply is not None
            assert codec.unpack_error(reply.payload).code == 39
    assert sim.complaints == []


# ---------------------------------------------------------------- read-only


async def test_read_only_client_may_read_but_no_secrets(sim: LibvirtSim) -> None:
    async with raw(sim) as client:
        await client.call(Proc.CONNECT_OPEN, "qemu:///system", 1)
        assert isinstance(await client.call(Proc.DOMAIN_GET_XML_DESC, dom(sim), 0), str)
        assert is_refused(await client.call(Proc.DOMAIN_GET_XML_DESC, dom(sim), Xml.SECURE), 29)
        assert is_refused(await client.call(Proc.DOMAIN_DESTROY, dom(sim)), 29)
        assert sim.domain("vm0").active


async def test_read_only_socket_makes_every_client_read_only() -> None:
    async with LibvirtSim(domains=1, auth=Auth.POLKIT_REFUSED) as sim, avirt.connect(sim.read_only_uri) as host:
        (domain,) = host.domains()
        with pytest.raises(AccessDenied):
            await domain.destroy()


# ---------------------------------------------------------------- the limit of requests


async def test_at_the_limit_nothing_more_is_read_not_even_a_ping(sim: LibvirtSim) -> None:
    """What waited is read once one was answered, in order."""
    async with raw(sim) as client:
        await client.call(Proc.CONNECT_OPEN, "qemu:///system", 0)
        sim.faults.hang("vm0")
        for _ in range(5):
            client.send(Proc.DOMAIN_GET_INFO, dom(sim))
        client.send_message(PING_MESSAGE)
        last = client.send(Proc.DOMAIN_GET_STATE, dom(sim, "vm1"), 0)
        assert await client.is_silent()
        sim.faults.clear()
        got = [await client.receive() for _ in range(7)]
        programs = [message.program for message in got if message is not None]
        assert programs.count(KEEPALIVE_PROGRAM) == 1
        assert last in [message.serial for message in got if message is not None]
    assert sim.complaints == ["connection 0: 6 calls at once, above the limit of 5"]


async def test_a_great_many_calls_written_at_once_are_all_answered(sim: LibvirtSim) -> None:
    """More than the limit is legal, it only waits (libvirt-wire.md §3)."""
    async with raw(sim) as client:
        await client.call(Proc.CONNECT_OPEN, "qemu:///system", 0)
        serials = [client.send(Proc.CONNECT_GET_TYPE) for _ in range(200)]
        got = [await client.receive() for _ in serials]
        assert [message.serial for message in got if message] == serials


async def test_below_the_limit_a_ping_is_answered_while_calls_hang(sim: LibvirtSim) -> None:
    async with raw(sim) as client:
        await client.call(Proc.CONNECT_OPEN, "qemu:///system", 0)
        sim.faults.hang("vm0")
        for _ in range(4):
            client.send(Proc.DOMAIN_GET_INFO, dom(sim))
        client.send_message(PING_MESSAGE)
        pong = await client.receive()
        assert pong is not None
        assert pong.program == KEEPALIVE_PROGRAM
    assert sim.complaints == []


async def test_hung_calls_hold_workers_and_urgent_calls_have_others(sim: LibvirtSim) -> None:
    """With all 20 held, low-priority calls hang, high-priority ones work (libvirt-wire.md §3)."""
    sim.faults.hang("vm0")
    async with anyio.create_task_group() as group:
        for _ in range(5):
            await group.start(_hang_four, sim)
        async with opened(sim) as rpc:
            state = await rpc.call(Proc.DOMAIN_GET_STATE, dom(sim, "vm1"), 0)
            assert isinstance(state, RemoteDomainGetStateRet)
            with pytest.raises(OperationTimeout):
                await rpc.call(Proc.DOMAIN_GET_INFO, dom(sim, "vm1"), timeout=0.02)
            sim.faults.clear()
            await rpc.call(Proc.DOMAIN_GET_INFO, dom(sim, "vm1"))
        group.cancel_scope.cancel()
    assert sim.faults.struck["hang"] == 20


async def _hang_four(sim: LibvirtSim, *, task_status: anyio.abc.TaskStatus[None]) -> None:
    async with raw(sim) as client:
        await client.call(Proc.CONNECT_OPEN, "qemu:///system", 0)
        for _ in range(4):
            client.send(Proc.DOMAIN_GET_INFO, dom(sim))
        assert await client.is_silent()
        task_status.started()
        await anyio.sleep_forever()


async def test_hang_of_bulk_calls_is_for_who_asks_for_it(sim: LibvirtSim) -> None:
    async with opened(sim) as rpc:
        rule = sim.faults.hang("vm0")
        assert len(await rpc.call(Proc.CONNECT_GET_ALL_DOMAIN_STATS, (), 1, 0)) == 3
        with pytest.raises(OperationTimeout):
            await rpc.call(Proc.CONNECT_GET_ALL_DOMAIN_STATS, (dom(sim),), 1, 0, timeout=0.02)
        sim.faults.remove(rule)
        sim.faults.hang("vm0", bulk=True)
        with pytest.raises(OperationTimeout):
            await rpc.call(Proc.CONNECT_GET_ALL_DOMAIN_STATS, (), 1, 0, timeout=0.02)
        sim.faults.clear()


async def test_hung_domain_is_busy_for_all_calls_but_the_first(sim: LibvirtSim) -> None:
    """As behind a QEMU that was stopped: the job is held, the state is read nevertheless."""
    async with opened(sim) as rpc:
        sim.faults.hang("vm0", spares_state=True, busy_after=0.01)
        first = rpc.submit(Proc.DOMAIN_RESET, dom(sim), 0)
        await rpc.call(Proc.CONNECT_GET_TYPE)
        with pytest.raises(Busy):
            await rpc.call(Proc.DOMAIN_GET_INFO, dom(sim))
        assert isinstance(await rpc.call(Proc.DOMAIN_GET_STATE, dom(sim), 0), RemoteDomainGetStateRet)
        second = rpc.submit(Proc.DOMAIN_RESET, dom(sim), 0)
        await rpc.call(Proc.CONNECT_GET_TYPE)
        sim.faults.clear()
        await first.wait()
        await second.wait()


# ---------------------------------------------------------------- keepalive


@pytest.mark.trio
@pytest.mark.parametrize("anyio_backend", [("trio", {})], ids=["trio"])
async def test_client_that_asked_is_pinged_and_dropped_when_it_is_silent(autojump_clock: object) -> None:
    async with LibvirtSim(memory=True) as sim, raw(sim) as client:
        assert await client.call(Proc.CONNECT_SUPPORTS_FEATURE, Feature.PROGRAM_KEEPALIVE) == 1
        began = anyio.current_time()
        pings = 0
        with anyio.fail_after(100):
            while True:
                await anyio.wait_readable(client.sock)
                data = client.sock.recv(65536)
                if not data:
                    break
                pings += len(client.core.receive_data(data))
        assert (pings, round(anyio.current_time() - began)) == (5, 30)


@pytest.mark.trio
@pytest.mark.parametrize("anyio_backend", [("trio", {})], ids=["trio"])
async def test_client_at_the_limit_is_dropped_for_it_reads_no_pong(autojump_clock: object) -> None:
    """As libvirt 9.0.0 does: five calls that hang cost the connection, after 30 s."""
    async with LibvirtSim(domains=1, memory=True) as sim, raw(sim) as client:
        await client.call(Proc.CONNECT_SUPPORTS_FEATURE, Feature.PROGRAM_KEEPALIVE)
        await client.call(Proc.CONNECT_OPEN, "qemu:///system", 0)
        sim.faults.hang("vm0")
        for _ in range(5):
            client.send(Proc.DOMAIN_RESET, dom(sim), 0)
        began = anyio.current_time()
        with anyio.fail_after(100):
            while True:
                await anyio.wait_readable(client.sock)
                try:
                    data = client.sock.recv(65536)
                except ConnectionResetError:
                    break
                for _ in client.core.receive_data(data):
                    client.send_message(PONG_MESSAGE)
                if not data:
                    break
        assert 30 <= anyio.current_time() - began <= 35


@pytest.mark.trio
@pytest.mark.parametrize("anyio_backend", [("trio", {})], ids=["trio"])
async def test_client_that_did_not_ask_is_never_pinged(autojump_clock: object) -> None:
    async with LibvirtSim(memory=True) as sim, raw(sim) as client:
        await client.call(Proc.AUTH_LIST)
        await anyio.sleep(1000)
        assert await client.is_silent()
        assert sim.clients == 1


# ---------------------------------------------------------------- complaints


async def test_registering_twice_is_refused_and_complained_of(sim: LibvirtSim) -> None:
    """By any two of the ways, with the same filter; another filter is another registration."""
    register = Proc.CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY
    async with raw(sim) as client:
        await client.call(Proc.CONNECT_OPEN, "qemu:///system", 0)
        callback = await client.call(register, 0, None)
        assert isinstance(callback, int)
        assert is_refused(await client.call(register, 0, None), 8)
        assert is_refused(await client.call(Proc.CONNECT_DOMAIN_EVENT_REGISTER), 8)
        assert is_refused(await client.call(Proc.CONNECT_DOMAIN_EVENT_REGISTER_ANY, 0), 8)
        assert isinstance(await client.call(register, 0, dom(sim)), int)
        assert await client.call(Proc.CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY, callback) is None
        assert await client.call(Proc.CONNECT_DOMAIN_EVENT_REGISTER) == 1
        assert await client.call(Proc.CONNECT_DOMAIN_EVENT_DEREGISTER) == 0
        assert is_refused(await client.call(Proc.CONNECT_DOMAIN_EVENT_DEREGISTER), 1)
        assert is_refused(await client.call(Proc.CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY, 99), 1)
        assert is_refused(await client.call(register, 99, None), 1)
        assert is_refused(await client.call(Proc.CONNECT_DOMAIN_EVENT_REGISTER_ANY, 18), 1)
        assert await client.call(Proc.CONNECT_REGISTER_CLOSE_CALLBACK) is None
        assert is_refused(await client.call(Proc.CONNECT_REGISTER_CLOSE_CALLBACK), 1)
        assert await client.call(Proc.CONNECT_UNREGISTER_CLOSE_CALLBACK) is None
    assert len(sim.complaints) == 4


async def test_wrong_layout_is_complained_of_and_costs_the_call(sim: LibvirtSim) -> None:
    async with raw(sim) as client:
        await client.call(Proc.CONNECT_OPEN, "qemu:///system", 0)
        client.send_payload(Proc.DOMAIN_GET_STATE, b"\0\0\0\1")
        reply = await client.receive()
        assert reply is not None
        assert codec.unpack_error(reply.payload).message == "Unable to decode message payload"
        assert await client.call(Proc.CONNECT_GET_TYPE) == "QEMU"
    assert [complaint.partition(": ")[2].split(":")[0] for complaint in sim.complaints] == ["domain_get_state"]


async def test_garbage_is_complained_of_and_costs_the_connection(sim: LibvirtSim) -> None:
    async with raw(sim) as client:
        client.sock.send(b"GET / HTTP/1.1\r\nHost: me\r\n\r\n")
        assert await client.receive() is None
    assert len(sim.complaints) == 1


# ---------------------------------------------------------------- replies and events under faults


async def test_replies_are_reordered(sim: LibvirtSim) -> None:
    """Last first; one that is alone goes after a while."""
    async with raw(sim) as client:
        await client.call(Proc.CONNECT_OPEN, "qemu:///system", 0)
        sim.faults.reorder(3)
        serials = [client.send(Proc.CONNECT_GET_TYPE) for _ in range(4)]
        got = [await client.receive() for _ in range(4)]
        assert [each.serial for each in got if each] == [serials[2], serials[1], serials[0], serials[3]]
    assert sim.faults.struck == {"reorder": 1}


async def test_late_reply_is_overtaken(sim: LibvirtSim) -> None:
    async with raw(sim) as client:
        await client.call(Proc.CONNECT_OPEN, "qemu:///system", 0)
        sim.faults.late_reply(0.01, domain="vm0")
        first = client.send(Proc.DOMAIN_GET_STATE, dom(sim), 0)
        second = client.send(Proc.DOMAIN_GET_STATE, dom(sim, "vm1"), 0)
        got = [await client.receive(), await client.receive()]
        assert [each.serial for each in got if each] == [second, first]


async def test_failed_call_does_nothing(sim: LibvirtSim) -> None:
    async with opened(sim) as rpc:
        sim.faults.fail_call(38, text="no", procedure="domain_destroy_flags")
        with pytest.raises(NativeError, match="no"):
            await rpc.call(Proc.DOMAIN_DESTROY_FLAGS, dom(sim), 0)
        assert sim.domain("vm0").active
        await rpc.call(Proc.DOMAIN_DESTROY_FLAGS, dom(sim), 0)
        assert not sim.domain("vm0").active


async def test_events_are_lost_and_repeated(sim: LibvirtSim) -> None:
    events: list[Arrival] = []
    async with opened(sim, events) as rpc:
        await rpc.call(Proc.CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY, 0, None)
        sim.faults.lose_event(domain="vm0")
        sim.faults.repeat_event(domain="vm1")
        for name in ("vm0", "vm1"):
            sim.domain(name).suspend()
            sim.domain(name).resume()
        await rpc.call(Proc.CONNECT_GET_TYPE)
    told = [codec.unpack_event(Proc.DOMAIN_EVENT_CALLBACK_LIFECYCLE, message.payload).msg for message, _ in events]
    assert [(each.dom.name, each.event) for each in told] == [("vm0", 4), ("vm1", 3), ("vm1", 3), ("vm1", 4)]
    assert sim.faults.struck == {"lose_event": 1, "repeat_event": 1}


async def test_filtered_registration_is_told_of_its_domain_only(sim: LibvirtSim) -> None:
    events: list[Arrival] = []
    async with opened(sim, events) as rpc:
        await rpc.call(Proc.CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY, 0, dom(sim, "vm1"))
        await rpc.call(Proc.CONNECT_DOMAIN_EVENT_REGISTER_ANY, 1)
        for name in ("vm0", "vm1"):
            sim.domain(name).suspend()
        sim.domain("vm2").reset()
        await rpc.call(Proc.CONNECT_GET_TYPE)
    assert [message.procedure for message, _ in events] == [LIFECYCLE] + [Proc.DOMAIN_EVENT_REBOOT.number] * 2


async def test_domain_that_dies_with_its_connection(sim: LibvirtSim) -> None:
    sim.domain("vm0").destroy()
    async with opened(sim) as rpc:
        await rpc.call(Proc.DOMAIN_CREATE_WITH_FLAGS, dom(sim), 2)
        assert sim.domain("vm0").active
    await until(lambda: not sim.domain("vm0").active)


async def test_look_ups_and_lists(sim: LibvirtSim) -> None:
    async with opened(sim, settings=Settings(window=1)) as rpc:
        sim.domain("vm2").destroy()
        assert (await rpc.call(Proc.DOMAIN_LOOKUP_BY_NAME, "vm1")).uuid == sim.domain("vm1").key
        assert (await rpc.call(Proc.DOMAIN_LOOKUP_BY_ID, sim.domain("vm1").id)).name == "vm1"
        assert (await rpc.call(Proc.DOMAIN_LOOKUP_BY_UUID, sim.domain("vm1").key)).name == "vm1"
        with pytest.raises(NotFound):
            await rpc.call(Proc.DOMAIN_LOOKUP_BY_NAME, "nobody")
        assert await rpc.call(Proc.CONNECT_NUM_OF_DOMAINS) == 2
        assert await rpc.call(Proc.CONNECT_LIST_DEFINED_DOMAINS, 10) == ("vm2",)
        assert len(await rpc.call(Proc.CONNECT_LIST_DOMAINS, 1)) == 1
        assert (await rpc.call(Proc.CONNECT_LIST_ALL_DOMAINS, 0, 0)).ret == 3
        assert (await rpc.call(Proc.CONNECT_LIST_ALL_DOMAINS, 1, 2 | 4)).ret == 1
        assert (await rpc.call(Proc.CONNECT_LIST_ALL_DOMAINS, 1, 8)).ret == 0
        assert await rpc.call(Proc.DOMAIN_IS_ACTIVE, dom(sim, "vm2")) == 0
