"""Opens a connection to a libvirt daemon: socket, authentication, keepalive, `connect_open`; and closes it.

Everything that can go wrong until a connection stands ends here in a typed error that says what to do.
Follows reference/libvirt-wire.md §5.

```python
async with open_connection(target, on_events=handle) as rpc:
    state = await rpc.call(Proc.DOMAIN_GET_STATE, domain, 0)          # the decoded answer, or a typed error
    calls = [rpc.submit(Proc.DOMAIN_GET_STATE, d, 0) for d in domains]  # written together, at the next await
    states = [await call.wait() for call in calls]                    # call.asked: messages seen when it was written
```
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from math import inf
from socket import socket
from typing import Final

import anyio
from msgspec.structs import replace

from avirt.drivers.libvirt.dialect import LibvirtDialect
from avirt.drivers.libvirt.generated.procedures import AuthType, Feature, Proc
from avirt.drivers.libvirt.rpc import Call, OnEvents, Rpc, Settings, Statistics
from avirt.drivers.libvirt.sockets import Target
from avirt.drivers.transport.base import Transport, Wire
from avirt.drivers.transport.unix import connect_unix, unix_transport
from avirt.errors import (
    AccessDenied,
    AuthError,
    AvirtError,
    CannotConnect,
    ConnectionLost,
    InternalError,
    NativeError,
    RemoteProtocolError,
    Unsupported,
)
from avirt.log import get_logger

__all__ = ["Call", "Connect", "Rpc", "Settings", "Statistics", "open_connection"]

Connect = Callable[[Target], Awaitable[socket]]
"""Opens a connected, non-blocking socket to a daemon; raises CannotConnect."""

_READ_ONLY: Final = 1
"""VIR_CONNECT_RO."""

_GOODBYE: Final = 1.0
"""Seconds that a daemon gets to answer connect_close: a courtesy, its log stays clean."""

_log = get_logger("libvirt")


@asynccontextmanager
async def open_connection(
    target: Target,
    *,
    on_events: OnEvents | None = None,
    settings: Settings | None = None,
    connect: Connect | None = None,
    wire: Wire | None = None,
) -> AsyncIterator[Rpc]:
    """A connection, open and authenticated; leaving the context closes it.

    A connection that is lost stays in its context: every call raises then, and `wait_closed()` says why.

    Args:
        connect: gives the socket; by default the one at the target's path.
        on_events: called with the events (never keepalive) that came in one read of the socket, each with its count,
            before anyone who waits for a reply goes on. It must neither block nor raise.
        wire: stands in between.

    Raises:
        CannotConnect: no socket, nobody listening, permission denied, not a libvirt socket, no answer in time, the
            daemon went away meanwhile; `AuthError` if it wants other credentials.
        AvirtError: what `connect_open` answered.

    Cancellation: closes at once.
    """
    settings = settings or Settings()
    if wire is not None and wire.window is not None:
        settings = replace(settings, window=wire.window)
    with anyio.move_on_after(settings.connect_timeout) as patience:
        make = partial(_transport, connect or _connect, target)
        transport = await (make() if wire is None else wire.connect(make, LibvirtDialect()))
    if patience.cancelled_caught:
        raise CannotConnect(
            f"{target.path}: the daemon accepts no connection",
            hint="it has too many clients that are not authenticated, or hangs: see its log",
        )
    async with use_connection(transport, target, on_events=on_events, settings=settings) as rpc:
        yield rpc


@asynccontextmanager
async def use_connection(
    transport: Transport,
    target: Target,
    *,
    on_events: OnEvents | None = None,
    settings: Settings | None = None,
) -> AsyncIterator[Rpc]:
    """The same over a transport that is connected already."""
    settings = settings or Settings()
    failure: BaseException | None = None
    try:
        async with anyio.create_task_group() as group:
            try:
                rpc = Rpc(transport, settings=settings, on_events=on_events)
                # both end with the transport; cancelled before the body they would tell its calls of a lost connection
                group.start_soon(_shielded, transport.run, rpc)
                group.start_soon(_shielded, rpc.keep_time)
                await _open(rpc, target)
                rpc.read_only = target.read_only
                yield rpc
                await _say_goodbye(rpc)
            except (Exception, KeyboardInterrupt, SystemExit) as error:  # noqa: BLE001  re-raised below, in no group
                failure = error
            finally:
                transport.close()
    except ExceptionGroup as bugs:
        # the reader and the timer raise for nothing but bugs
        raise InternalError(
            f"the connection to {target.path} broke by a bug: {bugs.exceptions[0]!r}", driver="libvirt"
        ) from bugs.exceptions[0]
    if failure is not None:
        raise failure


async def _shielded(function: Callable[..., Awaitable[None]], *args: object) -> None:
    with anyio.CancelScope(shield=True):
        await function(*args)


_HINTS: Final[dict[object, str]] = {
    "ENOENT": "is {daemon} running? systemctl start {daemon}.socket, or give socket=PATH in the URI",
    "ECONNREFUSED": "{daemon} is not running, though its socket is there: systemctl restart {daemon}.socket",
    "EACCES": "join the group that may use it (sudo adduser $USER libvirt, then log in again), or connect read-only",
}
_SESSION_HINTS: Final[dict[object, str]] = {
    "ENOENT": "no {daemon} of yours is running: start it ({daemon} --timeout=120 -d), or use a /system URI",
    "ECONNREFUSED": "your {daemon} is not running any more: start it ({daemon} --timeout=120 -d)",
    "EACCES": "the socket belongs to another user: check XDG_RUNTIME_DIR",
}


async def _transport(connect: Connect, target: Target) -> Transport:
    return unix_transport(await connect(target))


async def _connect(target: Target) -> socket:
    try:
        return await connect_unix(target.path)
    except CannotConnect as error:
        hints = _SESSION_HINTS if target.is_session else _HINTS
        if error.code in hints:
            error.hint = hints[error.code].format(daemon=target.daemon)
        error.locate(driver="libvirt", verb="connect")
        raise


async def _open(rpc: Rpc, target: Target) -> None:
    with anyio.CancelScope(deadline=anyio.current_time() + rpc.settings.connect_timeout) as patience:
        try:
            await _authenticate(rpc, target, patience)
            await _agree_on_keepalive(rpc)
            await rpc.call(Proc.CONNECT_OPEN, target.name, _READ_ONLY if target.read_only else 0, timeout=None)
        except (ConnectionLost, RemoteProtocolError) as error:
            raise _not_opened(rpc, target) from error
    if patience.cancelled_caught:
        if rpc.inbound == 0:
            raise CannotConnect(
                f"{target.path}: no answer within {rpc.settings.connect_timeout:g} s",
                hint="the daemon hangs, or this is not libvirt's socket",
                driver="libvirt",
                verb="connect",
            )
        raise CannotConnect(
            f"{target.path}: the daemon did not open '{target.name}' within {rpc.settings.connect_timeout:g} s",
            hint="its driver hangs: see the daemon's log",
            driver="libvirt",
            verb="connect",
        )


def _not_opened(rpc: Rpc, target: Target) -> CannotConnect:
    """The connection ended before it was open."""
    why = rpc.lost
    if isinstance(why, RemoteProtocolError) or rpc.inbound == 0:
        return CannotConnect(
            f"{target.path} is not a libvirt socket: {why}",
            hint="give the path of the daemon's own socket (libvirt-sock, virtqemud-sock, …); its log may say more",
            driver="libvirt",
            verb="connect",
            native=str(why),
        )
    return CannotConnect(
        f"{target.path}: the daemon ended the connection while it was being opened ({why})",
        hint="it died, is restarting, or its driver crashed: see its log",
        driver="libvirt",
        verb="connect",
        native=str(why),
    )


async def _authenticate(rpc: Rpc, target: Target, patience: anyio.CancelScope) -> None:
    """Ask always: on a polkit socket only the asking makes root authenticated."""
    try:
        offered = await rpc.call(Proc.AUTH_LIST, timeout=None)
    except Unsupported:
        return
    wanted = target.auth.partition(".")[0].lower()
    if wanted == "sasl" or (AuthType.SASL in offered and not {AuthType.NONE, AuthType.POLKIT} & set(offered)):
        raise AuthError(
            f"{target.path} wants a user name and password (SASL), which this avirt can't give yet",
            hint="as root use a socket without SASL, e.g. the read-only one: avirt -r",
            driver="libvirt",
            verb="connect",
        )
    if AuthType.POLKIT in offered and (wanted == "polkit" or AuthType.NONE not in offered):
        deadline, patience.deadline = patience.deadline - anyio.current_time(), inf  # a person may have to answer
        try:
            await rpc.call(Proc.AUTH_POLKIT, timeout=None)
        except (AccessDenied, NativeError, AuthError) as error:
            raise AuthError(
                f"{target.path}: polkit refused: {error}",
                hint="run where a polkit agent can ask you, join the group libvirt, or connect read-only",
                driver="libvirt",
                verb="connect",
                code=error.code,
                native=error.native,
            ) from error
        patience.deadline = anyio.current_time() + deadline
    elif offered and AuthType.NONE not in offered:
        raise AuthError(
            f"{target.path} offers no way to authenticate that is known here: {', '.join(map(str, offered))}",
            hint="the daemon is newer than this avirt",
            driver="libvirt",
            verb="connect",
        )


async def _agree_on_keepalive(rpc: Rpc) -> None:
    """The server pings only clients that asked; one that does not know of it is never pinged either."""
    try:
        agreed = await rpc.call(Proc.CONNECT_SUPPORTS_FEATURE, Feature.PROGRAM_KEEPALIVE, timeout=None)
    except (ConnectionLost, RemoteProtocolError):
        raise
    except AvirtError as error:
        _log.debug("no keepalive", reason=str(error))
        return
    if agreed == 1:
        rpc.start_keepalive()


async def _say_goodbye(rpc: Rpc) -> None:
    """Close politely if that costs nothing."""
    if rpc.lost is not None or not rpc.is_idle:
        return
    with anyio.move_on_after(_GOODBYE):
        try:
            await rpc.call(Proc.CONNECT_CLOSE, timeout=None)
        except AvirtError as error:
            _log.debug("the daemon did not say goodbye", reason=str(error))
