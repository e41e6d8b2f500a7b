"""Row 4: names, ids, states, reasons of 1,000 domains, against libvirt-python's two ways to get them.

avirt's listing does more than either: it also learns which domains are transient, start with the host, have a saved
image; and it makes the observations that the lifecycle takes.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from avirt.drivers.base import Env
from avirt.drivers.libvirt.driver import LibvirtDriver
from avirt.uri import parse_uri
from benchmarks.harness import Benchmark, Target, Turns, per_loop

DOMAINS = 1000


async def avirt_listing(turns: Turns) -> None:
    async with LibvirtDriver().open(parse_uri(turns.uri), Env()) as session:
        for work in turns:
            for _ in range(work):
                listing = await session.list()
                assert len(listing.items) == DOMAINS


def libvirt_each(turns: Turns) -> None:
    libvirt: Any = import_module("libvirt")  # no stubs, and not always installed
    connection = libvirt.open(turns.uri)
    for work in turns:
        for _ in range(work):
            found = [(d.name(), d.UUID(), d.ID(), *d.state()) for d in connection.listAllDomains()]
            assert len(found) == DOMAINS


def libvirt_stats(turns: Turns) -> None:
    libvirt: Any = import_module("libvirt")  # no stubs, and not always installed
    connection = libvirt.open(turns.uri)
    for work in turns:
        for _ in range(work):
            found = [
                (d.name(), d.UUID(), d.ID(), values["state.state"], values["state.reason"])
                for d, values in connection.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE)
            ]
            assert len(found) == DOMAINS


def serve() -> Iterator[str]:
    """The test driver with a thousand domains; each connection has its own."""
    from tests.lab.daemon import Daemon

    domains = "".join(
        f"<domain type='test'><name>dom{n:05}</name><memory>8192</memory><os><type>hvm</type></os></domain>"
        for n in range(DOMAINS)
    )
    with tempfile.TemporaryDirectory() as folder, Daemon() as daemon:
        node = Path(folder) / "node.xml"
        node.write_text(f"<node>{domains}</node>")
        yield f"test+unix://{node}?socket={daemon.socket}"


def main() -> int:
    loops = ("asyncio", "uvloop", "trio")
    return Benchmark(
        title=f"names, ids, states, reasons of {DOMAINS} domains (test driver, unix socket)",
        variants={
            "libvirt-python list+state": libvirt_each,
            "libvirt-python getAllDomainStats": libvirt_stats,
            **per_loop("avirt", avirt_listing),
        },
        targets=[
            *(Target(f"avirt {loop}", "libvirt-python list+state", 0.1, 0.06) for loop in loops),
            *(Target(f"avirt {loop}", "libvirt-python getAllDomainStats", 0.7, 0.5) for loop in loops),
        ],
        work=1,
        unit="inventory",
        module="benchmarks.bench_04_inventory",
    ).main(serve)


if __name__ == "__main__":
    sys.exit(main())
