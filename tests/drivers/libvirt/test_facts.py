"""Who a host is: its own uuid, or one made where that is worth nothing; what it does not say is not said."""

from __future__ import annotations

from uuid import UUID

import pytest

from avirt.drivers.libvirt.facts import SHARED_UUIDS, host_uuid, read_host
from avirt.drivers.libvirt.generated.procedures import Feature, Proc
from avirt.errors import ConnectionLost, Unsupported
from tests.drivers.libvirt.fake_daemon import FakeDaemon, complaint, connected

MINE = "e79d56d9-96fa-54c1-afe3-e84c8beb992e"
NO_SUPPORT = complaint(3, "not supported")


def test_a_uuid_of_its_own_is_the_hosts_identity() -> None:
    """Whatever its name or driver."""
    assert host_uuid(MINE, "h1", "QEMU") == host_uuid(MINE.upper(), "h2", "LXC") == UUID(MINE)


@pytest.mark.parametrize(
    "native", [None, "", "nonsense", str(UUID(int=0)), str(UUID(int=2**128 - 1)), "11" * 16, *map(str, SHARED_UUIDS)]
)
def test_a_uuid_that_boards_share_is_combined_with_the_name(native: str | None) -> None:
    """Two hosts differ, one host stays the same."""
    first = host_uuid(native, "h1", "QEMU")
    assert first.version == 5
    assert first == host_uuid(native, "h1", "QEMU")
    assert first not in (host_uuid(native, "h2", "QEMU"), host_uuid(native, "h1", "TEST"))


def test_made_identities_never_change() -> None:
    """They are in journals and tokens."""
    assert host_uuid(None, "h1", "TEST") == UUID("c5f98ff2-a1e3-5e39-ae83-73d8252f1e38")


def prepare(daemon: FakeDaemon) -> None:
    daemon.handlers |= {
        Proc.CONNECT_GET_TYPE: lambda: "QEMU",
        Proc.CONNECT_GET_HOSTNAME: lambda: "h1",
        Proc.CONNECT_GET_CAPABILITIES: lambda: f"<capabilities><host><uuid>{MINE}</uuid></host></capabilities>",
        Proc.CONNECT_GET_VERSION: lambda: 7_002_022,
        Proc.CONNECT_GET_LIB_VERSION: lambda: 9_000_000,
        Proc.CONNECT_SUPPORTS_FEATURE: lambda feature: int(
            feature in (Feature.REMOTE_EVENT_CALLBACK, Feature.REMOTE_CLOSE_CALLBACK)
        ),
    }


@pytest.mark.anyio
async def test_all_is_asked_in_one_write() -> None:
    """Seven calls."""
    async with connected(prepare=prepare) as (rpc, daemon):
        before = len(daemon.calls)
        host = await read_host(rpc, read_only=True)
        assert len(daemon.calls) == before + 7
        facts = host.facts
        assert (facts.uuid, facts.hostname, facts.product, facts.driver) == (UUID(MINE), "h1", "QEMU", "libvirt")
        assert (facts.version, facts.driver_version, facts.read_only) == ((7, 2, 22), (9, 0, 0), True)
        assert (host.type, host.has_event_callbacks, host.has_close_callback) == ("QEMU", True, True)


@pytest.mark.anyio
async def test_what_a_driver_does_not_say_is_not_said() -> None:
    """Secondary drivers have neither capabilities nor a version; old servers no features."""
    async with connected(prepare=prepare) as (rpc, daemon):
        for procedure in (
            Proc.CONNECT_GET_HOSTNAME,
            Proc.CONNECT_GET_CAPABILITIES,
            Proc.CONNECT_GET_VERSION,
            Proc.CONNECT_SUPPORTS_FEATURE,
        ):
            daemon.handlers[procedure] = lambda *args: NO_SUPPORT
        host = await read_host(rpc, read_only=False)
        assert (host.facts.uuid.version, host.facts.hostname, host.facts.version) == (5, "", None)
        assert (host.has_event_callbacks, host.has_close_callback) == (False, False)


@pytest.mark.anyio
async def test_capabilities_that_are_no_xml_are_done_without() -> None:
    """The host is made known by its name."""
    async with connected(prepare=prepare) as (rpc, daemon):
        daemon.handlers[Proc.CONNECT_GET_CAPABILITIES] = lambda: "<!DOCTYPE x><capabilities/>"
        assert (await read_host(rpc, read_only=False)).facts.uuid.version == 5


@pytest.mark.anyio
async def test_a_host_that_does_not_say_what_it_is_can_not_be_used() -> None:
    """Its states could not be understood."""
    async with connected(prepare=prepare) as (rpc, daemon):
        daemon.handlers[Proc.CONNECT_GET_TYPE] = lambda: NO_SUPPORT
        with pytest.raises(Unsupported):
            await read_host(rpc, read_only=False)


@pytest.mark.anyio
async def test_a_connection_lost_meanwhile_is_raised() -> None:
    """Not taken for something that is not said."""
    async with connected(prepare=prepare) as (rpc, daemon):
        daemon.handlers[Proc.CONNECT_GET_LIB_VERSION] = daemon.transport.close
        with pytest.raises(ConnectionLost):
            await read_host(rpc, read_only=False)
