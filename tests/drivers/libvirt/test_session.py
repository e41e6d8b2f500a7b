"""Opening and closing a connection: authentication, keepalive, and all that can be wrong with a socket."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.abc import ByteStream

from avirt.drivers.libvirt.generated.procedures import Proc
from avirt.drivers.libvirt.session import Settings, open_connection, use_connection
from avirt.drivers.libvirt.sockets import Target
from avirt.drivers.transport.unix import unix_transport
from avirt.errors import AuthError, AvirtError, CannotConnect, ConnectionLost, NativeError, Unsupported
from tests.drivers.libvirt.fake_daemon import DOMAIN, HOLD, TARGET, FakeDaemon, complaint, connected, daemon_pair

pytestmark = pytest.mark.anyio

IMPATIENT = Settings(connect_timeout=0.3)


async def failure(target: Target = TARGET, **options: object) -> AvirtError:
    """What opening raises."""
    with pytest.raises(AvirtError) as caught:
        async with connected(target=target, **options):  # type: ignore[arg-type]
            raise AssertionError("it opened")
    return caught.value


async def refusal(path: Path | str, settings: Settings | None = None) -> CannotConnect:
    """The same of a socket's path."""
    with pytest.raises(CannotConnect) as caught:
        async with open_connection(Target(path=str(path), name="qemu:///system"), settings=settings):
            raise AssertionError("it opened")
    assert caught.value.hint
    return caught.value


# ---------------------------------------------------------------- as it should be


async def test_opening_asks_in_the_right_order_and_closing_says_goodbye() -> None:
    """Authentication always, keepalive before connect_open (libvirt-wire §5)."""
    asked: list[tuple[object, ...]] = []

    def prepare(daemon: FakeDaemon) -> None:
        daemon.handlers[Proc.CONNECT_OPEN] = lambda *args: asked.append(args)

    async with daemon_pair() as (sock, daemon):
        prepare(daemon)
        async with use_connection(unix_transport(sock), TARGET):
            assert daemon.names() == ["auth_list", "connect_supports_feature", "connect_open"]
        await daemon.until(lambda: daemon.is_closed)
        assert daemon.names()[3:] == ["connect_close"]
    assert asked == [("test:///default", 0)]


async def test_read_only_is_asked_for_and_an_empty_name_stays_empty() -> None:
    """The server probes then (9.0 fails for no name at all); VIR_CONNECT_RO is 1."""
    asked: list[tuple[object, ...]] = []

    def prepare(daemon: FakeDaemon) -> None:
        daemon.handlers[Proc.CONNECT_OPEN] = lambda *args: asked.append(args)

    target = Target(path="/fake", name="", read_only=True)
    async with connected(target=target, prepare=prepare) as (rpc, _):
        assert rpc.read_only
    assert asked == [("", 1)]


async def test_exception_of_the_body_comes_out_as_itself() -> None:
    """No exception group; nothing is said to the daemon."""
    async with daemon_pair() as (sock, daemon):
        with pytest.raises(ZeroDivisionError):
            async with use_connection(unix_transport(sock), TARGET):
                raise ZeroDivisionError
        await daemon.until(lambda: daemon.is_closed)
        assert "connect_close" not in daemon.names()


async def test_leaving_with_calls_in_flight_is_quick_and_ends_them() -> None:
    """connect_close would wait behind them."""
    errors: list[AvirtError] = []
    async with anyio.create_task_group() as group, connected() as (rpc, daemon):
        daemon.handlers[Proc.DOMAIN_GET_XML_DESC] = lambda dom, flags: HOLD

        async def ask() -> None:
            try:
                await rpc.call(Proc.DOMAIN_GET_XML_DESC, DOMAIN, 0)
            except ConnectionLost as error:
                errors.append(error)

        for _ in range(100):
            group.start_soon(ask)
        await daemon.until(lambda: len(daemon.held) == 4)
    assert len(errors) == 100


async def test_daemon_that_hangs_at_goodbye_or_goes_first_is_no_error() -> None:
    """It is a courtesy."""
    async with connected() as (_, daemon):
        daemon.handlers[Proc.CONNECT_CLOSE] = complaint
    async with connected() as (rpc, daemon):
        daemon.transport.close()
        await rpc.wait_closed()


async def test_opening_cancelled_at_any_time_leaves_nothing_behind() -> None:
    """The socket is closed."""
    for turns in range(60):
        async with daemon_pair() as (sock, daemon):
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as group:

                    async def cancel(turns: int = turns, scope: anyio.CancelScope = scope) -> None:
                        for _ in range(turns):
                            await anyio.lowlevel.checkpoint()
                        scope.cancel()

                    group.start_soon(cancel)
                    async with use_connection(unix_transport(sock), TARGET):
                        pass
                    group.cancel_scope.cancel()
            await daemon.until(lambda daemon=daemon: daemon.is_closed)  # type: ignore[misc]
            if not scope.cancelled_caught:
                return
    raise AssertionError("never came through")


# ---------------------------------------------------------------- authentication


@pytest.mark.parametrize("offered", [(), (0,), complaint(3, "no"), complaint(39, "unknown procedure: 66", 7)])
async def test_no_authentication_is_needed(offered: object) -> None:
    """None offered, an empty list, an old server (libvirt-wire §5)."""

    def prepare(daemon: FakeDaemon) -> None:
        daemon.handlers[Proc.AUTH_LIST] = lambda: offered

    async with connected(prepare=prepare) as (_, daemon):
        assert daemon.names()[:2] == ["auth_list", "connect_supports_feature"]


async def test_polkit_is_asked_and_may_take_its_time() -> None:
    """A person may have to answer: no deadline there."""

    def prepare(daemon: FakeDaemon) -> None:
        daemon.handlers[Proc.AUTH_LIST] = lambda: (2,)
        daemon.handlers[Proc.AUTH_POLKIT] = lambda: HOLD

    async with daemon_pair() as (sock, daemon), anyio.create_task_group() as group:
        prepare(daemon)
        opened = anyio.Event()

        async def use() -> None:
            async with use_connection(unix_transport(sock), TARGET, settings=IMPATIENT):
                opened.set()

        group.start_soon(use)
        await daemon.until(lambda: len(daemon.held) == 1)
        await anyio.sleep(IMPATIENT.connect_timeout * 1.5)
        daemon.reply(daemon.held[0], 1)
        with anyio.fail_after(10):
            await opened.wait()


@pytest.mark.parametrize("code", [94, 45, 79, 88])
async def test_polkit_that_refuses_is_an_auth_error(code: int) -> None:
    """No agent, denied, cancelled."""

    def prepare(daemon: FakeDaemon) -> None:
        daemon.handlers[Proc.AUTH_LIST] = lambda: (2,)
        daemon.handlers[Proc.AUTH_POLKIT] = lambda: complaint(code, "no agent")

    error = await failure(prepare=prepare)
    assert isinstance(error, AuthError)
    assert (error.code, error.native) == (code, "no agent")
    assert "polkit" in error.hint
    assert not error.retryable


@pytest.mark.parametrize(("offered", "auth"), [((1,), ""), ((0, 1), "sasl"), ((1, 2), "sasl.PLAIN"), ((9,), "")])
async def test_authentication_that_is_not_possible_here_says_so(offered: tuple[int, ...], auth: str) -> None:
    """SASL, or something unknown."""

    def prepare(daemon: FakeDaemon) -> None:
        daemon.handlers[Proc.AUTH_LIST] = lambda: offered

    error = await failure(Target(path="/fake", name="", auth=auth), prepare=prepare)
    assert isinstance(error, AuthError)
    assert error.hint


# ---------------------------------------------------------------- what can be wrong


async def test_daemon_refuses_to_open_its_own_error_comes_out() -> None:
    """An unknown scheme is code 5, a driver that can't run here its own."""

    def prepare(daemon: FakeDaemon) -> None:
        daemon.handlers[Proc.CONNECT_OPEN] = lambda name, flags: answer

    answer = complaint(5, "no connection driver available for foo:///")
    assert isinstance(await failure(prepare=prepare), CannotConnect)
    answer = complaint(38, "cannot open /dev/xen")
    assert isinstance(await failure(prepare=prepare), NativeError)
    answer = complaint(3, "no")
    assert isinstance(await failure(prepare=prepare), Unsupported)


async def test_missing_socket_says_what_to_start(tmp_path: Path) -> None:
    """The system's daemon, or one's own."""
    error = await refusal(tmp_path / "none")
    assert error.code == "ENOENT"
    assert "systemctl start libvirtd.socket" in error.hint
    with pytest.raises(CannotConnect) as caught:
        async with open_connection(Target(path=str(tmp_path / "s"), name="", daemon="virtqemud", is_session=True)):
            raise AssertionError
    assert "virtqemud" in caught.value.hint
    assert "--timeout" in caught.value.hint


async def test_nobody_listening_says_so(tmp_path: Path) -> None:
    """A socket that was left behind; a plain file; a path that can't be."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "s"))
    assert (await refusal(tmp_path / "s")).code == "ECONNREFUSED"
    (tmp_path / "f").touch()
    assert (await refusal(tmp_path / "f")).code == "ECONNREFUSED"
    assert (await refusal("/" + "x" * 200)).code == "ENAMETOOLONG"


async def test_permission_denied_says_whose_help_is_needed(tmp_path: Path) -> None:
    """The group. Root may do anything, so it is nobody for a moment."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        (tmp_path / "s").chmod(stat.S_IRUSR)
        uid = os.geteuid()
        os.seteuid(65534 if uid == 0 else uid)
        try:
            error = await refusal(tmp_path / "s")
        finally:
            os.seteuid(uid)
    assert error.code == "EACCES"
    assert "group" in error.hint
    assert not error.retryable


@asynccontextmanager
async def impostor(path: Path, serve: Callable[[ByteStream], object]) -> AsyncIterator[None]:
    """A server that is no libvirt daemon."""
    async with await anyio.create_unix_listener(path) as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        yield
        group.cancel_scope.cancel()


async def test_http_server_is_recognised(tmp_path: Path) -> None:
    """It answers our first frame with an error page."""

    async def http(stream: ByteStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

    async with impostor(tmp_path / "s", http):
        assert "not a libvirt socket" in str(await refusal(tmp_path / "s"))


async def test_qmp_socket_is_recognised(tmp_path: Path) -> None:
    """It greets at once, and waits."""

    async def qmp(stream: ByteStream) -> None:
        async with stream:
            await stream.send(b'{"QMP": {"version": {"qemu": {"micro": 22}}}}\r\n')
            await anyio.sleep_forever()

    async with impostor(tmp_path / "s", qmp):
        assert "not a libvirt socket" in str(await refusal(tmp_path / "s"))


async def test_server_that_hangs_up_at_once_is_no_libvirt_socket(tmp_path: Path) -> None:
    """Without a single answer."""

    async def rude(stream: ByteStream) -> None:
        await stream.aclose()

    async with impostor(tmp_path / "s", rude):
        assert "not a libvirt socket" in str(await refusal(tmp_path / "s"))


async def test_silent_server_is_given_up(tmp_path: Path) -> None:
    """It accepts and says nothing; or does not even accept."""

    async def silent(stream: ByteStream) -> None:
        async with stream:
            await anyio.sleep_forever()

    async with impostor(tmp_path / "s", silent):
        assert "no answer within" in str(await refusal(tmp_path / "s", IMPATIENT))
    with socket.socket(socket.AF_UNIX) as full:
        full.bind(str(tmp_path / "full"))
        full.listen(0)
        with socket.socket(socket.AF_UNIX) as first:
            first.connect(str(tmp_path / "full"))
            assert "accepts no connection" in str(await refusal(tmp_path / "full", IMPATIENT))


@pytest.mark.parametrize("step", [Proc.AUTH_LIST, Proc.CONNECT_SUPPORTS_FEATURE, Proc.CONNECT_OPEN])
async def test_daemon_dying_while_opening_is_cannot_connect(step: object) -> None:
    """At each step."""

    def prepare(daemon: FakeDaemon) -> None:
        daemon.handlers[step] = lambda *args: daemon.transport.close()  # type: ignore[index]

    error = await failure(prepare=prepare)
    assert isinstance(error, CannotConnect)
    assert error.retryable
    assert error.hint


async def test_daemon_whose_driver_hangs_is_given_up() -> None:
    """It answered before, so it is a libvirt daemon."""

    def prepare(daemon: FakeDaemon) -> None:
        daemon.handlers[Proc.CONNECT_OPEN] = lambda name, flags: HOLD

    error = await failure(prepare=prepare, settings=Settings(connect_timeout=0.2))
    assert isinstance(error, CannotConnect)
    assert "did not open 'test:///default'" in str(error)
