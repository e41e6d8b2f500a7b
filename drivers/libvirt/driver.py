"""The libvirt driver: URI → session. No logic of its own.

Round trips until the first listing: authentication, keepalive, open, what the host says of itself, events, listing;
each of the last three is one write (reference/libvirt-wire.md §5).
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Final

from anyio import to_thread

from avirt.drivers.base import API, Env, Session
from avirt.drivers.libvirt.endpoint import LibvirtSession
from avirt.drivers.libvirt.facts import read_host
from avirt.drivers.libvirt.lanes import open_lanes
from avirt.drivers.libvirt.session import Connect, open_connection
from avirt.drivers.libvirt.sockets import Surroundings, resolve
from avirt.drivers.libvirt.watch import Events
from avirt.errors import AccessDenied, AuthError, AvirtError, CannotConnect, InvalidURI, Unsupported
from avirt.uri import URI

__all__ = ["LibvirtDriver"]

SCHEMES: Final = frozenset(
    {
        "qemu",
        "xen",
        "lxc",
        "ch",
        "bhyve",
        "vz",
        "parallels",
        "vbox",
        "test",
        "remote",
        "openvz",
        "vmwareplayer",
        "vmwarews",
        "vmwarefusion",
        "network",
        "storage",
        "nodedev",
        "secret",
        "nwfilter",
        "interface",
    }
)
"""What a daemon may serve, and `remote`: it chooses (§12, §14). esx, vpx, gsx and hyperv have drivers of their own."""


class LibvirtDriver:
    """Everything that libvirt's daemons serve.

    Args:
        connect: gives the sockets, instead of the URI's path: for daemons that have none, e.g. simulated ones.
    """

    def __init__(self, *, connect: Connect | None = None) -> None:
        self._connect = connect

    @property
    def name(self) -> str:
        """As errors and facts show it."""
        return "libvirt"

    @property
    def schemes(self) -> frozenset[str]:
        """URI schemes, without "+transport"."""
        return SCHEMES

    @property
    def api(self) -> int:
        """The contract's number."""
        return API

    def open(self, uri: URI, env: Env) -> AbstractAsyncContextManager[Session]:
        """Connect, authenticate, ask the host what it is."""
        return _open(uri, env, self._connect)


@asynccontextmanager
async def _open(uri: URI, env: Env, connect: Connect | None) -> AsyncIterator[Session]:
    if connect is None:
        around = Surroundings(environ=env.environ, uid=env.uid, exists=os.path.exists)
        # looking for sockets touches the file system
        target = await to_thread.run_sync(partial(resolve, uri, around, read_only=env.read_only))
    else:
        around = Surroundings(environ=env.environ, uid=env.uid, exists=lambda _path: False)
        target = resolve(uri, around, read_only=env.read_only)
    events = Events()
    is_open = False
    try:
        async with (
            open_connection(target, on_events=events.receive, connect=connect, wire=env.wire) as control,
            open_lanes(control, partial(open_connection, target, connect=connect, wire=env.wire)) as lanes,
        ):
            host = await read_host(control, read_only=env.read_only)
            is_open = True
            yield LibvirtSession(lanes, host, events)
    except AvirtError as error:
        if is_open or isinstance(error, (CannotConnect, InvalidURI, Unsupported)):
            raise
        kind = AuthError if isinstance(error, AccessDenied) else CannotConnect
        raise kind(
            f"{uri}: {error.message}",
            hint=error.hint,
            driver="libvirt",
            verb="connect",
            code=error.code,
            native=error.native,
        ) from error
