"""Sessions to a real libvirtd, its test driver."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

import anyio
import pytest
from anyio import to_thread

from avirt.drivers.libvirt.generated.enums import ConnectListAllDomainsFlags
from avirt.drivers.libvirt.generated.procedures import Feature, Proc
from avirt.drivers.libvirt.generated.types import RemoteDomain
from avirt.drivers.libvirt.rpc import Arrival
from avirt.drivers.libvirt.session import Rpc, Settings, open_connection
from avirt.drivers.libvirt.sockets import Surroundings, Target, resolve
from avirt.errors import AccessDenied, CannotConnect, ConnectionLost, NotFound, Outcomes, Unsupported
from avirt.uri import parse_uri
from tests.lab.daemon import Daemon

pytestmark = [pytest.mark.anyio, pytest.mark.real]


def target(daemon: Daemon, *, read_only: bool = False) -> Target:
    around = Surroundings(environ={}, uid=os.geteuid(), exists=os.path.exists)
    return resolve(parse_uri(daemon.uri("test", readonly=read_only)), around, read_only=read_only)


async def first_domain(rpc: Rpc) -> RemoteDomain:
    listed = await rpc.call(Proc.CONNECT_LIST_ALL_DOMAINS, 1, ConnectListAllDomainsFlags(0))
    return listed.domains[0]


async def test_calls_are_answered_and_refused(daemon: Daemon) -> None:
    """A typed error keeps the daemon's code."""
    async with open_connection(target(daemon)) as rpc:
        domain = await first_domain(rpc)
        assert (await rpc.call(Proc.DOMAIN_GET_STATE, domain, 0)).state == 1
        assert await rpc.call(Proc.CONNECT_GET_TYPE) == "TEST"
        assert await rpc.call(Proc.CONNECT_GET_URI) == "test:///default"
        with pytest.raises(NotFound) as caught:
            await rpc.call(Proc.DOMAIN_LOOKUP_BY_NAME, "none")
        assert caught.value.code == 42
        assert rpc.keepalive is not None


async def test_two_hundred_calls_at_once(daemon: Daemon) -> None:
    """Pipelined through the window."""
    async with open_connection(target(daemon)) as rpc:
        domain = await first_domain(rpc)
        calls = [rpc.submit(Proc.DOMAIN_GET_STATE, domain, 0) for _ in range(200)]
        assert {(await call.wait()).state for call in calls} == {1}
        assert rpc.is_idle


async def test_events_arrive_before_or_after_their_reply_and_asked_tells_which_reads_are_fresh(daemon: Daemon) -> None:
    """The rule of time's two numbers."""
    seen: list[int] = []

    def on_events(arrivals: Sequence[Arrival]) -> None:
        number = Proc.DOMAIN_EVENT_CALLBACK_LIFECYCLE.number
        seen.extend(count for message, count in arrivals if message.procedure == number)

    async with open_connection(target(daemon), on_events=on_events) as rpc:
        domain = await first_domain(rpc)
        await rpc.call(Proc.CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY, 0, None)
        await rpc.call(Proc.DOMAIN_SUSPEND, domain)
        with anyio.fail_after(10):
            while not seen:
                await rpc.call(Proc.CONNECT_GET_TYPE)
        fresh = rpc.submit(Proc.DOMAIN_GET_STATE, domain, 0)
        assert (await fresh.wait()).state == 3
        assert fresh.asked >= seen[-1]
        # the model is shared by all who have it open, a connection that is just closing included
        await rpc.call(Proc.DOMAIN_RESUME, domain)


async def test_cancelled_calls_leave_the_connection_usable(daemon: Daemon) -> None:
    """Many, at any time."""
    async with open_connection(target(daemon)) as rpc:
        domain = await first_domain(rpc)
        for turns in range(30):
            async with anyio.create_task_group() as group:
                for _ in range(6):
                    group.start_soon(rpc.call, Proc.DOMAIN_GET_XML_DESC, domain, 0)
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                group.cancel_scope.cancel()
            assert (await rpc.call(Proc.DOMAIN_GET_STATE, domain, 0)).state == 1


async def test_descriptors_and_what_the_test_driver_lacks(daemon: Daemon) -> None:
    """The feature is the server's; the driver refuses with a typed error."""
    async with open_connection(target(daemon)) as rpc:
        domain = await first_domain(rpc)
        assert await rpc.call(Proc.CONNECT_SUPPORTS_FEATURE, Feature.FD_PASSING) == 1
        ours, theirs = socket.socketpair()
        with ours, theirs, pytest.raises(Unsupported):
            await rpc.call_with_fds(Proc.DOMAIN_OPEN_GRAPHICS, domain, 0, 0, fds=[theirs.fileno()])
        assert (await rpc.call(Proc.DOMAIN_GET_STATE, domain, 0)).state == 1


async def test_read_only_socket_reads_and_refuses(daemon: Daemon) -> None:
    """Here already; and the daemon would."""
    async with open_connection(target(daemon, read_only=True)) as rpc:
        domain = await first_domain(rpc)
        with pytest.raises(AccessDenied):
            await rpc.call(Proc.DOMAIN_DESTROY, domain)
        rpc.read_only = False
        with pytest.raises(AccessDenied) as caught:
            await rpc.call(Proc.DOMAIN_DESTROY, domain)
        assert caught.value.code == 29


async def test_unknown_driver_is_refused_by_the_daemon(daemon: Daemon) -> None:
    """Code 5."""
    with pytest.raises(CannotConnect):
        async with open_connection(Target(path=str(daemon.socket), name="nothing:///system")):
            raise AssertionError


async def test_frozen_daemon_is_found(daemon: Daemon) -> None:
    """The connection stands, nobody answers: pings find it."""
    settings = Settings(ping_interval=0.1, ping_count=1)
    async with open_connection(target(daemon), settings=settings) as rpc:
        domain = await first_domain(rpc)
        await to_thread.run_sync(daemon.freeze)
        try:
            with anyio.fail_after(10), pytest.raises(ConnectionLost) as caught:
                await rpc.call(Proc.DOMAIN_GET_STATE, domain, 0)
        finally:
            await to_thread.run_sync(daemon.thaw)
        assert caught.value.outcome is Outcomes.UNKNOWN


async def test_killed_daemon_is_lost_at_once_and_found_again_when_it_is_back(daemon: Daemon) -> None:
    """Every call fails with a typed error; a new connection works."""
    async with open_connection(target(daemon)) as rpc:
        domain = await first_domain(rpc)
        await to_thread.run_sync(daemon.kill)
        with anyio.fail_after(10):
            assert isinstance(await rpc.wait_closed(), ConnectionLost)
        with pytest.raises(ConnectionLost) as caught:
            await rpc.call(Proc.DOMAIN_GET_STATE, domain, 0)
        assert caught.value.outcome is Outcomes.NOT_SENT
    await to_thread.run_sync(daemon.start)
    async with open_connection(target(daemon)) as rpc:
        await first_domain(rpc)
