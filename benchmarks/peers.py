"""What the benchmarks share: a private daemon, a connection of ours, libvirt-python's."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any

from avirt.drivers.libvirt.generated.procedures import Proc
from avirt.drivers.libvirt.generated.types import RemoteDomain
from avirt.drivers.libvirt.session import Rpc, open_connection
from avirt.drivers.libvirt.sockets import Surroundings, resolve
from avirt.uri import parse_uri

__all__ = ["avirt_connection", "libvirt_domain", "private_daemon"]


def private_daemon(driver: str = "test") -> Iterator[str]:
    """The URI of a daemon of one's own."""
    from tests.lab.daemon import Daemon

    with Daemon() as daemon:
        yield daemon.uri(driver)


@asynccontextmanager
async def avirt_connection(uri: str) -> AsyncIterator[tuple[Rpc, RemoteDomain]]:
    """A session, and one of the host's domains."""
    around = Surroundings(environ=os.environ, uid=os.geteuid(), exists=os.path.exists)
    async with open_connection(resolve(parse_uri(uri), around)) as rpc:
        listed = await rpc.call(Proc.CONNECT_LIST_ALL_DOMAINS, 1, 0)
        yield rpc, listed.domains[0]


def libvirt_domain(uri: str) -> Any:
    """The same by libvirt-python; its connection lives as long as the domain."""
    libvirt: Any = import_module("libvirt")  # no stubs, and not always installed
    return libvirt.open(uri).listAllDomains()[0]
