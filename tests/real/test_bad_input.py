"""What is wrong outside ends in its typed error with a hint, and on the command line in its exit code: never in a
traceback, never in a wait without end."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import anyio
import pytest
import sniffio
from anyio import to_thread

import avirt
from avirt.errors import (
    AvirtError,
    CannotConnect,
    ConnectionLost,
    InvalidArgument,
    InvalidOperation,
    InvalidURI,
    NotFound,
    OperationTimeout,
    ProtocolError,
)
from tests.fix_leaks import nothing_left
from tests.lab.guests import firmware
from tests.lab.proxy import proxied, serving
from tests.lab.runner import run
from tests.lab.site import ROOT, Site, run_avirt

pytestmark = [pytest.mark.real, pytest.mark.anyio, pytest.mark.slow]

NO_CONNECTION = (CannotConnect, ConnectionLost, ProtocolError)


def uri_of(path: Path) -> str:
    return f"qemu+unix:///system?socket={path}"


def appears(path: Path) -> None:
    while not path.exists():
        time.sleep(0.02)


async def fails(uri: str, *expected: type[AvirtError], timeout: float = 20) -> AvirtError:
    """Connecting fails with one of these, and leaves nothing behind."""
    with nothing_left():
        with pytest.raises(expected) as caught:
            async with avirt.connect(uri, timeout=timeout):
                raise AssertionError("connected")
        error: AvirtError = caught.value
        del caught
    assert error.message
    assert "\n" not in error.message
    return error


async def refused(code: int, says: str, *args: str) -> None:
    """The command line ends with this code and one or two lines on stderr. Asked on one loop: it runs on its own."""
    if sniffio.current_async_library() == "trio" or "uvloop" in type(asyncio.get_running_loop()).__module__:
        return
    answer = await to_thread.run_sync(lambda: run_avirt(*args, check=False))
    assert answer.returncode == code, answer.stderr
    lines = answer.stderr.strip().splitlines()
    assert 1 <= len(lines) <= 2, answer.stderr
    assert "Traceback" not in answer.stderr
    assert says in answer.stderr


@pytest.fixture
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short path for a socket."""
    return tmp_path_factory.mktemp("s") / "sock"


async def test_socket_missing(path: Path) -> None:
    """It says which socket, and what to do."""
    error = await fails(uri_of(path), CannotConnect)
    assert str(path) in error.message
    assert error.hint
    await refused(4, str(path), "-c", uri_of(path), "list")


async def test_socket_nobody_listens_on(path: Path) -> None:
    """What a daemon that died left there."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    error = await fails(uri_of(path), CannotConnect)
    assert error.hint
    await refused(4, "", "-c", uri_of(path), "list")


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", id="http"),
        pytest.param(b'{"QMP": {"version": {"qemu": {"micro": 22}}, "capabilities": ["oob"]}}\r\n', id="qmp"),
        pytest.param(struct.pack(">I", 0xFFFFFFFF) + bytes(64), id="length-of-4-GiB"),
        pytest.param(struct.pack(">I", 4) + bytes(64), id="length-below-the-header"),
        pytest.param(struct.pack(">IIIiiIi", 28, 0x20008086, 1, 66, 1, 99, 0), id="reply-to-nobody"),
        pytest.param(bytes(4096), id="zeros"),
    ],
)
async def test_another_kind_of_server(path: Path, answer: bytes) -> None:
    """An HTTP server, a QMP socket, nonsense: found out, said, nothing kept."""
    async with serving(path, answer):
        error = await fails(uri_of(path), *NO_CONNECTION, OperationTimeout, timeout=3)
        assert error.hint
        if not isinstance(error, OperationTimeout):
            await refused(4, "", "-c", uri_of(path), "list")


async def test_real_qmp_socket(path: Path) -> None:
    """QEMU's own monitor."""
    command = ["qemu-system-x86_64", "-M", "none", "-display", "none", "-nodefaults", "-qmp"]
    async with await anyio.open_process([*command, f"unix:{path},server=on,wait=off"]) as process:
        try:
            with anyio.fail_after(20):
                await to_thread.run_sync(appears, path, abandon_on_cancel=True)
            await fails(uri_of(path), *NO_CONNECTION)
        finally:
            process.terminate()


async def test_silence(path: Path) -> None:
    """A server that never says anything costs the time given, no more."""
    async with serving(path, None):
        error = await fails(uri_of(path), OperationTimeout, CannotConnect, timeout=0.5)
        assert error.hint


async def test_permission_denied(qemu: Site) -> None:
    """The socket belongs to someone else: it says so and names the way out."""
    os.chown(qemu.daemon.socket, 65534, 65534)
    try:
        answer = await to_thread.run_sync(without_privilege, "-c", qemu.uri, "list")
    finally:
        os.chown(qemu.daemon.socket, 0, 0)
    assert answer.returncode == 4, answer.stderr
    assert "ermission" in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 2
    await qemu.agree()


def without_privilege(*args: str) -> subprocess.CompletedProcess[str]:
    """avirt as a root that may not pass over permissions: as any user, but one who can read this project."""
    drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"]
    return run([*drop, sys.executable, "-m", "avirt", *args], cwd=str(ROOT), timeout=60)


@pytest.mark.parametrize(
    "uri",
    [
        "nonsense:///system",
        "qemu:/system",
        "qemu",
        "",
        "://",
        "qemu+smoke:///system",
        "qemu+unix:///system?socket=/a\n/b",
        "qemu+tcp://host:port/system",
        "qemu+unix:///system#fragment",
    ],
)
async def test_uri_that_is_none(uri: str) -> None:
    """Unknown scheme or transport, malformed: a usage error before anything is tried."""
    await fails(uri, InvalidURI)
    await refused(2, "", "-c", uri, "list")


async def test_wrong_path_for_the_driver(qemu: Site) -> None:
    """The daemon's refusal is passed on."""
    error = await fails(f"qemu+unix:///nowhere?socket={qemu.daemon.socket}", CannotConnect, InvalidURI, InvalidArgument)
    assert "nowhere" in error.message or "nowhere" in error.native


@pytest.mark.parametrize("driver", ["xen", "bhyve", "vz"])
async def test_driver_the_daemon_does_not_have(qemu: Site, driver: str) -> None:
    """No such driver there: not retried for ever, and said."""
    error = await fails(f"{driver}+unix:///system?socket={qemu.daemon.socket}", AvirtError)
    assert error.message


async def test_unknown_domain(qemu: Site) -> None:
    """By name, by uuid, by id."""
    async with avirt.connect(qemu.uri) as host:
        with pytest.raises(NotFound):
            await host.lookup(name="nobody")
        with pytest.raises(NotFound):
            await host.lookup(uuid="00000000-0000-4000-8000-000000000000")
        with pytest.raises(NotFound):
            await host.lookup(id=4711)
        with pytest.raises(InvalidArgument):
            await host.lookup(uuid="no uuid")
    for verb in ("domstate", "start", "destroy", "dumpxml"):
        await refused(3, "nobody", "-c", qemu.uri, verb, "nobody")


async def test_name_that_two_hosts_have(qemu: Site, other_host: Site) -> None:
    """Which one? It is not guessed."""
    await qemu.define(firmware("twin"))
    await other_host.define(firmware("twin"))
    await refused(2, "twin", "-c", f"a={qemu.uri}", "-c", f"b={other_host.uri}", "start", "twin")
    await qemu.agree()
    await other_host.agree()


async def test_verb_the_state_forbids(qemu: Site) -> None:
    """Refused by the hypervisor: exit code 1, and its own words."""
    async with avirt.connect(qemu.uri) as host:
        domain = await host.define(firmware("off"))
        with pytest.raises(InvalidOperation):
            await domain.suspend()
    await refused(1, "not running", "-c", qemu.uri, "suspend", "off")
    await qemu.agree()


@pytest.mark.parametrize(
    "xml", ["", "<domain", "<domain type='qemu'/>", "<!DOCTYPE a [<!ENTITY b 'c'>]><domain>&b;</domain>"]
)
async def test_definition_that_is_none(qemu: Site, xml: str) -> None:
    """Malformed XML, or no domain: refused, by us or by libvirt."""
    async with avirt.connect(qemu.uri) as host:
        with pytest.raises(AvirtError) as caught:
            await host.define(xml)
        assert caught.value.message
        del caught
        assert host.view == {}
    await refused(1, "", "-c", qemu.uri, "define", qemu.file(xml))


@pytest.mark.parametrize("args", [["frobnicate"], ["start"], ["list", "--nonsense"], ["wait", "a", "dancing"], []])
async def test_command_line_that_is_wrong(args: list[str]) -> None:
    """Usage: code 2, and a hint."""
    await refused(2, "", *args)


async def test_first_connection_that_is_cut_in_mid_frame(qemu: Site, path: Path) -> None:
    """At any byte: a typed error, and nothing left."""
    async with proxied(qemu.daemon.socket, path) as proxy:
        for limit in (0, 1, 3, 4, 27, 28, 40, 150, 600):
            await proxy.limit(limit)
            await fails(uri_of(path), *NO_CONNECTION)


async def test_reader_of_the_output_that_goes_away(qemu: Site) -> None:
    """`avirt … | head -1`: it ends quietly."""
    for number in range(30):
        await qemu.define(firmware(f"line-{number}"))

    command = f"'{sys.executable}' -m avirt -c '{qemu.uri}' list --all -o json | head -n 1"
    answer = await to_thread.run_sync(lambda: run(["bash", "-o", "pipefail", "-c", command], cwd=str(ROOT)))
    assert answer.stdout == "[\n"
    assert answer.stderr == ""
