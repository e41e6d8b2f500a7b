"""Events over a fake daemon: what is registered and how, what is passed on, what is ignored, what can't be decoded."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest

from avirt.drivers.libvirt import codec
from avirt.drivers.libvirt.facts import Host
from avirt.drivers.libvirt.generated import types as t
from avirt.drivers.libvirt.generated.procedures import DOMAIN_EVENTS, Proc
from avirt.drivers.libvirt.procedure import Procedure
from avirt.drivers.libvirt.protocol import Message, MessageType
from avirt.drivers.libvirt.rpc import Rpc
from avirt.drivers.libvirt.watch import LIFECYCLE, SUPERSEDED, Events
from avirt.errors import ConnectionLost
from avirt.model import native_event as n
from avirt.model.observation import Item, NativeEvent, Overrun, Seen, Signal
from avirt.model.record import HostFacts
from tests.drivers.libvirt.fake_daemon import HOLD, FakeDaemon, complaint, connected

pytestmark = pytest.mark.anyio

FACTS = HostFacts(uuid=UUID(int=1), hostname="h", product="QEMU", driver="libvirt")
NEW = Host(FACTS, "QEMU", has_event_callbacks=True, has_close_callback=True)
OLD = Host(FACTS, "QEMU", has_event_callbacks=False, has_close_callback=False)
UNKNOWN_ID = complaint(1, "unsupported event ID")
DOM = t.RemoteDomain("web1", b"u" * 16, 7)
REGISTER = Proc.CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY


class Watched:
    """A connection with its events registered."""

    def __init__(self, rpc: Rpc, daemon: FakeDaemon, *, told: bool, items: list[Item]) -> None:
        self.rpc = rpc
        self.daemon = daemon
        self.told = told
        self.items = items

    async def send(self, procedure: Procedure[Any], message: object, *, payload: bytes | None = None) -> list[Item]:
        """Send an event; the items it became."""
        before = len(self.items)
        body = codec.pack_event(procedure, message) if payload is None else payload
        self.daemon.send(Message(procedure.program, procedure.number, MessageType.MESSAGE, 1, payload=body))
        await self.rpc.call(Proc.CONNECT_SUPPORTS_FEATURE, 1)  # it came before this reply
        return self.items[before:]


@asynccontextmanager
async def watched(
    host: Host = NEW, *, known: Callable[[int], bool] = lambda _: True, lifecycle_call: object = 1
) -> AsyncIterator[Watched]:
    """A daemon that knows these event ids; its callback ids are 100 more."""
    events, items = Events(), list[Item]()

    def prepare(daemon: FakeDaemon) -> None:
        daemon.handlers[REGISTER] = lambda number, dom: number + 100 if known(number) else UNKNOWN_ID
        daemon.handlers[Proc.CONNECT_REGISTER_CLOSE_CALLBACK] = lambda: None
        daemon.handlers[Proc.CONNECT_DOMAIN_EVENT_REGISTER] = lambda: lifecycle_call
        daemon.handlers[Proc.CONNECT_DOMAIN_EVENT_REGISTER_ANY] = lambda number: None if known(number) else UNKNOWN_ID

    async with connected(prepare=prepare, on_events=events.receive) as (rpc, daemon):
        told = await events.register(rpc, host, items.extend)
        yield Watched(rpc, daemon, told=told, items=items)


def lifecycle(callback: int = 100, event: int = 2, detail: int = 0) -> object:
    return t.RemoteDomainEventCallbackLifecycleMsg(callback, t.RemoteDomainEventLifecycleMsg(DOM, event, detail))


def signals(items: list[Item]) -> list[Signal | None]:
    return [item.observation.signal for item in items if isinstance(item, Seen)]


async def test_every_event_id_is_registered_once() -> None:
    """0 to 29, and the close callback, before anything else."""
    async with watched() as one:
        assert one.told
        asked = [
            codec.unpack_args(REGISTER, call.payload) for call in one.daemon.calls if call.procedure == REGISTER.number
        ]
        assert asked == [(kind.id, None) for kind in DOMAIN_EVENTS]
        assert [kind.id for kind in DOMAIN_EVENTS] == list(range(30))
        assert Proc.CONNECT_REGISTER_CLOSE_CALLBACK.name in one.daemon.names()


async def test_ids_that_the_server_does_not_know_are_tolerated() -> None:
    """A server of 0.9: only the first fifteen."""
    async with watched(known=lambda number: number < 15) as one:
        assert one.told
        assert signals(await one.send(Proc.DOMAIN_EVENT_CALLBACK_LIFECYCLE, lifecycle())) == [Signal.STARTED]
        job = t.RemoteDomainEventCallbackBlockJobMsg(108, t.RemoteDomainEventBlockJobMsg(DOM, "/a", 1, 0))
        (item,) = await one.send(Proc.DOMAIN_EVENT_CALLBACK_BLOCK_JOB, job)
        assert isinstance(item, NativeEvent)
        assert isinstance(item.event, n.BlockJob)


async def test_without_lifecycle_events_there_is_nothing_to_trust() -> None:
    """The session has to be polled."""
    async with watched(known=lambda number: number != LIFECYCLE) as one:
        assert not one.told
        assert await one.send(Proc.DOMAIN_EVENT_CALLBACK_LIFECYCLE, lifecycle()) == []


async def test_events_carry_the_count_of_their_arrival() -> None:
    """The rule of time."""
    async with watched() as one:
        (item,) = await one.send(Proc.DOMAIN_EVENT_CALLBACK_LIFECYCLE, lifecycle())
        assert isinstance(item, Seen)
        assert item.observation.asked == one.rpc.inbound - 1
        reboot = t.RemoteDomainEventCallbackRebootMsg(101, t.RemoteDomainEventRebootMsg(DOM))
        (item,) = await one.send(Proc.DOMAIN_EVENT_CALLBACK_REBOOT, reboot)
        assert isinstance(item, Seen)
        assert item.observation.asked == one.rpc.inbound - 1


async def test_a_normal_start_comes_in_libvirts_order() -> None:
    """RESUMED, then STARTED (§10)."""
    async with watched() as one:
        await one.send(Proc.DOMAIN_EVENT_CALLBACK_LIFECYCLE, lifecycle(event=4))
        await one.send(Proc.DOMAIN_EVENT_CALLBACK_LIFECYCLE, lifecycle(event=2))
        assert signals(one.items) == [Signal.RESUMED, Signal.STARTED]


async def test_long_names_come_by_the_codec() -> None:
    """The template ends at 128 bytes."""
    async with watched() as one:
        dom = t.RemoteDomain("x" * 500, b"u" * 16, 7)
        message = t.RemoteDomainEventCallbackLifecycleMsg(100, t.RemoteDomainEventLifecycleMsg(dom, 5, 1))
        (item,) = await one.send(Proc.DOMAIN_EVENT_CALLBACK_LIFECYCLE, message)
        assert isinstance(item, Seen)
        assert (item.observation.name, item.observation.signal) == ("x" * 500, Signal.STOPPED)


async def test_events_for_unknown_callbacks_are_ignored() -> None:
    """Somebody else's counter, or one that was deregistered."""
    async with watched() as one:
        assert await one.send(Proc.DOMAIN_EVENT_CALLBACK_LIFECYCLE, lifecycle(callback=5)) == []
        reboot = t.RemoteDomainEventCallbackRebootMsg(5, t.RemoteDomainEventRebootMsg(DOM))
        assert await one.send(Proc.DOMAIN_EVENT_CALLBACK_REBOOT, reboot) == []
        long = t.RemoteDomainEventLifecycleMsg(t.RemoteDomain("x" * 500, b"u" * 16, 7), 5, 1)
        message = t.RemoteDomainEventCallbackLifecycleMsg(5, long)
        assert await one.send(Proc.DOMAIN_EVENT_CALLBACK_LIFECYCLE, message) == []


async def test_events_that_nobody_asked_for_are_ignored() -> None:
    """Of another object, or of a procedure that does not exist."""
    async with watched() as one:
        network = t.RemoteNetworkEventLifecycleMsg(1, t.RemoteNetwork("n", b"u" * 16), 0, 0)
        assert await one.send(Proc.NETWORK_EVENT_LIFECYCLE, network) == []
        nowhere: Procedure[object] = Procedure(
            "event_of_the_future", 0x20008086, 9999, msg="remote_domain_event_lifecycle_msg"
        )
        assert await one.send(nowhere, None, payload=b"\0\0\0\1") == []


@pytest.mark.parametrize("payload", [b"", b"\0\0\0\1", b"\0\0\0\x64\xff\xff\xff\xff" + bytes(40)])
async def test_an_event_that_can_not_be_decoded_asks_for_a_listing(payload: bytes) -> None:
    """Nobody knows what it said; the connection goes on."""
    async with watched() as one:
        for procedure in (Proc.DOMAIN_EVENT_CALLBACK_LIFECYCLE, Proc.DOMAIN_EVENT_CALLBACK_WATCHDOG):
            (item,) = await one.send(procedure, None, payload=payload)
            assert isinstance(item, Overrun)
        assert signals(await one.send(Proc.DOMAIN_EVENT_CALLBACK_LIFECYCLE, lifecycle())) == [Signal.STARTED]


async def test_events_that_tell_the_same_twice_are_passed_on_once() -> None:
    """By the newer one, if there is one."""
    io = t.RemoteDomainEventIoErrorMsg(DOM, "/a", "vda", 1)
    why = t.RemoteDomainEventIoErrorReasonMsg(DOM, "/a", "vda", 1, "enospc")
    plain = t.RemoteDomainEventCallbackIoErrorMsg(104, io)
    reasoned = t.RemoteDomainEventCallbackIoErrorReasonMsg(106, why)
    async with watched() as one:
        assert await one.send(Proc.DOMAIN_EVENT_CALLBACK_IO_ERROR, plain) == []
        (item,) = await one.send(Proc.DOMAIN_EVENT_CALLBACK_IO_ERROR_REASON, reasoned)
        assert isinstance(item, NativeEvent)
    async with watched(known=lambda number: number not in SUPERSEDED.values()) as one:
        (item,) = await one.send(Proc.DOMAIN_EVENT_CALLBACK_IO_ERROR, plain)
        assert isinstance(item, NativeEvent)


async def test_a_daemon_that_lost_its_hypervisor_loses_us() -> None:
    """The close callback: the host is lost although the daemon is there."""
    for reason, word in ((0, "error"), (2, "keepalive"), (9, "reason 9")):
        async with watched() as one:
            closed = Proc.CONNECT_EVENT_CONNECTION_CLOSED
            message = t.RemoteConnectEventConnectionClosedMsg(reason)
            one.daemon.send(
                Message(
                    closed.program, closed.number, MessageType.MESSAGE, 1, payload=codec.pack_event(closed, message)
                )
            )
            assert word in str(await one.rpc.wait_closed())


async def test_a_close_callback_that_is_refused_is_done_without() -> None:
    """Not every driver has one."""
    events, items = Events(), list[Item]()

    def prepare(daemon: FakeDaemon) -> None:
        daemon.handlers[REGISTER] = lambda number, dom: number

    async with connected(prepare=prepare, on_events=events.receive) as (rpc, _):
        assert await events.register(rpc, NEW, items.extend)


async def test_servers_without_callback_ids_are_registered_the_older_way() -> None:
    """Lifecycle by a call of its own, the others by id; messages have no callback id."""
    async with watched(OLD, known=lambda number: number not in (4, 15)) as one:
        assert one.told
        any_id = Proc.CONNECT_DOMAIN_EVENT_REGISTER_ANY
        asked = [
            codec.unpack_args(any_id, call.payload)[0] for call in one.daemon.calls if call.procedure == any_id.number
        ]
        assert asked == list(range(1, 16))
        started = t.RemoteDomainEventLifecycleMsg(DOM, 2, 0)
        assert signals(await one.send(Proc.DOMAIN_EVENT_LIFECYCLE, started)) == [Signal.STARTED]
        job = t.RemoteDomainEventBlockJobMsg(DOM, "/a", 1, 0)
        (item,) = await one.send(Proc.DOMAIN_EVENT_BLOCK_JOB, job)
        assert isinstance(item, NativeEvent)
        removed = t.RemoteDomainEventDeviceRemovedMsg(DOM, "net0")
        assert await one.send(Proc.DOMAIN_EVENT_DEVICE_REMOVED, removed) == []


async def test_older_servers_may_not_tell_of_the_lifecycle_either() -> None:
    """Then they are polled."""
    async with watched(OLD, lifecycle_call=complaint(3, "not supported")) as one:
        assert not one.told
        assert await one.send(Proc.DOMAIN_EVENT_LIFECYCLE, t.RemoteDomainEventLifecycleMsg(DOM, 2, 0)) == []


async def test_events_before_the_registration_are_dropped() -> None:
    """The listing comes after it."""
    events = Events()

    def prepare(daemon: FakeDaemon) -> None:
        daemon.handlers[REGISTER] = lambda number, dom: number

    async with connected(prepare=prepare, on_events=events.receive) as (rpc, daemon):
        daemon.raw(daemon.event_frame())
        await rpc.call(Proc.CONNECT_SUPPORTS_FEATURE, 1)
        items: list[Item] = []
        await events.register(rpc, NEW, items.extend)
        assert items == []


@pytest.mark.parametrize("host", [NEW, OLD])
async def test_a_connection_lost_while_registering_is_raised(host: Host) -> None:
    """Not taken for an event that the server does not know."""
    events = Events()

    def prepare(daemon: FakeDaemon) -> None:
        daemon.handlers[REGISTER] = lambda number, dom: daemon.transport.close()
        daemon.handlers[Proc.CONNECT_DOMAIN_EVENT_REGISTER_ANY] = lambda number: daemon.transport.close()

    async with connected(prepare=prepare, on_events=events.receive) as (rpc, _):
        with pytest.raises(ConnectionLost):
            await events.register(rpc, host, lambda items: None)


async def test_events_of_one_read_are_emitted_together_in_order() -> None:
    """With a reply between them: each has its own count."""
    events, emitted = Events(), list[list[Item]]()

    def prepare(daemon: FakeDaemon) -> None:
        daemon.handlers[REGISTER] = lambda number, dom: number + 100

    async with connected(prepare=prepare, on_events=events.receive) as (rpc, daemon):
        await events.register(rpc, NEW, lambda items: emitted.append(list(items)))
        daemon.handlers[Proc.CONNECT_GET_TYPE] = lambda: HOLD
        call = rpc.submit(Proc.CONNECT_GET_TYPE)
        await daemon.until(lambda: len(daemon.held) == 1)
        before = rpc.inbound

        def event(number: int) -> bytes:
            procedure = Proc.DOMAIN_EVENT_CALLBACK_LIFECYCLE
            payload = codec.pack_event(procedure, lifecycle(event=number))
            kind = MessageType.MESSAGE
            return daemon.core.send(Message(procedure.program, procedure.number, kind, 0, payload=payload))

        daemon.raw(event(4) + daemon.reply_frame(daemon.held[0], "QEMU") + event(3) + event(5))
        assert await call.wait() == "QEMU"
        (items,) = emitted
        assert signals(items) == [Signal.RESUMED, Signal.SUSPENDED, Signal.STOPPED]
        counts = [item.observation.asked - before for item in items if isinstance(item, Seen)]
        assert counts == [1, 3, 4]
