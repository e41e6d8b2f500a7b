"""From a URI to a session, over a fake daemon on a unix socket; what can't be opened is a typed error."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from avirt.drivers.base import API, Driver, Env, Power
from avirt.drivers.libvirt.driver import LibvirtDriver
from avirt.drivers.libvirt.generated.procedures import Proc
from avirt.drivers.registry import BUILT_IN
from avirt.errors import AuthError, AvirtError, CannotConnect, InvalidURI, Unsupported
from avirt.model.command import Suspend
from avirt.model.record import DomainRecord
from avirt.model.state import DomainState, RunningReason
from avirt.uri import parse_uri
from tests.drivers.libvirt.fake_daemon import FakeDaemon, complaint
from tests.drivers.libvirt.fake_world import Fake, World, key_of_name


def test_it_is_the_driver_of_its_schemes() -> None:
    """Those that the registry sends here, no more."""
    driver: Driver = LibvirtDriver()
    assert (driver.name, driver.api) == ("libvirt", API)
    assert driver.schemes == {name for name, entry in BUILT_IN.items() if ".libvirt." in entry.target}


def prepare(daemon: FakeDaemon) -> None:
    World(Fake("up", id=3)).prepare(daemon)
    daemon.handlers |= {
        Proc.CONNECT_GET_TYPE: lambda: "QEMU",
        Proc.CONNECT_GET_HOSTNAME: lambda: "h1",
        Proc.DOMAIN_SUSPEND: lambda dom: None,
    }


@asynccontextmanager
async def served(
    folder: Path, prepare: Callable[[FakeDaemon], None] = prepare
) -> AsyncIterator[tuple[str, list[FakeDaemon]]]:
    """A socket whose every client gets a fake daemon."""
    path = folder / "sock"
    daemons: list[FakeDaemon] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.setblocking(False)
        listener.bind(str(path))
        listener.listen()

        async def accept() -> None:
            async with anyio.create_task_group() as clients:
                while True:
                    await anyio.wait_readable(listener)
                    daemon = FakeDaemon(listener.accept()[0])
                    prepare(daemon)
                    daemons.append(daemon)
                    clients.start_soon(daemon.run)

        async with anyio.create_task_group() as group:
            group.start_soon(accept)
            yield f"qemu+unix:///system?socket={path}", daemons
            group.cancel_scope.cancel()


@pytest.mark.anyio
async def test_a_uri_becomes_a_session(tmp_path: Path) -> None:
    """Facts are known, domains can be listed, verbs open a connection of their own, leaving closes all."""
    async with served(tmp_path) as (uri, daemons):
        async with LibvirtDriver().open(parse_uri(uri), Env()) as session:
            assert (session.facts.product, session.facts.hostname, session.facts.read_only) == ("QEMU", "h1", False)
            assert len((await session.list()).items) == 1
            assert len(daemons) == 1
            power = session.capability(Power)
            assert power is not None
            record = DomainRecord(
                host="h",
                key=key_of_name("up"),
                name="up",
                state=DomainState.RUNNING,
                reason=RunningReason.BOOTED,
            )
            await power.suspend(record, Suspend())
            assert len(daemons) == 2
        for daemon in daemons:
            while not daemon.is_closed:
                await anyio.lowlevel.checkpoint()


@pytest.mark.anyio
async def test_read_only_is_asked_of_the_server_too(tmp_path: Path) -> None:
    """VIR_CONNECT_RO."""
    flags: list[int] = []

    def prepared(daemon: FakeDaemon) -> None:
        prepare(daemon)
        daemon.handlers[Proc.CONNECT_OPEN] = lambda name, flag: flags.append(flag)

    async with (
        served(tmp_path, prepared) as (uri, _),
        LibvirtDriver().open(parse_uri(uri), Env(read_only=True)) as session,
    ):
        assert session.facts.read_only
        assert flags == [1]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("code", "error"),
    [(5, CannotConnect), (1, CannotConnect), (38, CannotConnect), (88, AuthError), (45, AuthError), (3, Unsupported)],
)
async def test_what_the_server_refuses_to_open_can_not_be_connected(
    tmp_path: Path, code: int, error: type[AvirtError]
) -> None:
    """Whatever its code: the caller sees that no connection came about, and the server's words."""

    def prepared(daemon: FakeDaemon) -> None:
        prepare(daemon)
        daemon.handlers[Proc.CONNECT_OPEN] = lambda name, flags: complaint(code, "because")

    async with served(tmp_path, prepared) as (uri, _):
        with pytest.raises(error, match="because") as caught:
            async with LibvirtDriver().open(parse_uri(uri), Env()):
                pass
        assert (caught.value.code, caught.value.native) == (code, "because")


@pytest.mark.anyio
async def test_errors_of_the_body_come_out_as_themselves(tmp_path: Path) -> None:
    """They are not the connection's."""
    async with served(tmp_path) as (uri, _):
        with pytest.raises(Unsupported, match="mine"):
            async with LibvirtDriver().open(parse_uri(uri), Env()):
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
