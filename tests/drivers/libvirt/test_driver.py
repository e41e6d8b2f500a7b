"""From a URI to a session, over a simulated daemon on a unix socket; what can't be opened is a typed error."""

from __future__ import annotations

from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from avirt.drivers.base import API, Driver, Env, Power
from avirt.drivers.libvirt.driver import LibvirtDriver
from avirt.drivers.registry import BUILT_IN
from avirt.errors import AuthError, AvirtError, CannotConnect, InvalidURI, Unsupported
from avirt.model.command import Suspend
from avirt.model.record import DomainRecord
from avirt.model.state import DomainState, RunningReason
from avirt.testing import LibvirtSim
from avirt.uri import parse_uri


def test_it_is_the_driver_of_its_schemes() -> None:
    """Those that the registry sends here, no more."""
    driver: Driver = LibvirtDriver()
    assert (driver.name, driver.api) == ("libvirt", API)
    assert driver.schemes == {name for name, entry in BUILT_IN.items() if ".libvirt." in entry.target}


@pytest.mark.anyio
async def test_a_uri_becomes_a_session() -> None:
    """Facts are known, domains can be listed, verbs open a connection of their own, leaving closes all."""
    async with LibvirtSim(domains=1, name="h1") as sim:
        async with LibvirtDriver().open(parse_uri(sim.uri), Env()) as session:
            assert (session.facts.product, session.facts.hostname, session.facts.read_only) == ("QEMU", "h1", False)
            assert len((await session.list()).items) == 1
            assert sim.clients == 1
            power = session.capability(Power)
            assert power is not None
            record = DomainRecord(
                host="h",
                key=sim.domain("vm0").key,
                name="vm0",
                state=DomainState.RUNNING,
                reason=RunningReason.BOOTED,
            )
            await power.suspend(record, Suspend())
            assert sim.clients == 2
        while sim.clients:
            await anyio.lowlevel.checkpoint()
        assert sim.complaints == []


@pytest.mark.anyio
async def test_sockets_can_be_given() -> None:
    """For a daemon without a path; then nothing is looked for."""
    async with (
        LibvirtSim(domains=1, memory=True) as sim,
        LibvirtDriver(connect=sim.open_socket).open(parse_uri("qemu:///system"), Env()) as session,
    ):
        assert len((await session.list()).items) == 1


@pytest.mark.anyio
async def test_read_only_is_asked_of_the_server_too() -> None:
    """VIR_CONNECT_RO."""
    async with (
        LibvirtSim(domains=1) as sim,
        LibvirtDriver().open(parse_uri(sim.uri), Env(read_only=True)) as session,
    ):
        assert session.facts.read_only
        assert [peer.is_read_only for peer in sim.daemon.peers] == [True]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("code", "error"),
    [(5, CannotConnect), (1, CannotConnect), (38, CannotConnect), (88, AuthError), (45, AuthError), (3, Unsupported)],
)
async def test_what_the_server_refuses_to_open_can_not_be_connected(code: int, error: type[AvirtError]) -> None:
    """Whatever its code: the caller sees that no connection came about, and the server's words."""
    async with LibvirtSim() as sim:
        sim.faults.fail_call(code, text="because", procedure="connect_open")
        with pytest.raises(error, match="because") as caught:
            async with LibvirtDriver().open(parse_uri(sim.uri), Env()):
                pass
        assert (caught.value.code, caught.value.native) == (code, "because")


@pytest.mark.anyio
async def test_errors_of_the_body_come_out_as_themselves() -> None:
    """They are not the connection's."""
    async with LibvirtSim() as sim:
        with pytest.raises(Unsupported, match="mine"):
            async with LibvirtDriver().open(parse_uri(sim.uri), Env()):
                raise Unsupported("mine")


@pytest.mark.anyio
async def test_a_socket_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    """With what to do about it; a bad URI is the URI's fault."""
    with pytest.raises(CannotConnect) as caught:
        async with LibvirtDriver().open(parse_uri(f"qemu+unix:///system?socket={tmp_path}/none"), Env()):
            pass
    assert caught.value.hint
    with pytest.raises(InvalidURI):
        async with LibvirtDriver().open(parse_uri("qemu+carrier-pigeon:///system"), Env()):
            pass
