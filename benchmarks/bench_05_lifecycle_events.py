"""Row 5: lifecycle events from the wire to one subscriber, against libvirt-python through libvirtaio.

Canned: a daemon in another process sends 20,000 events as fast as they are taken (`canned_daemon.py`): neither a real
daemon nor its producers are the limit then. Real: the test driver of a private libvirtd, whose domain another process
suspends and resumes: the CPU of the client. avirt's side is the whole product: wire, driver, lifecycle, store, one
subscriber; the probes that follow events included.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib import import_module
from typing import Any, Final

import avirt
from avirt.model.change import StateChanged
from benchmarks.harness import LOOPS, Benchmark, Target, Turns, per_loop
from tests.lab.daemon import Daemon

MODULE: Final = "benchmarks.bench_05_lifecycle_events"
CANNED: Final = 20_000
REAL: Final = 400

Go = Callable[[int], None]
"""Ask for so many events; returns at once."""


def canned(folder: str, stack: ExitStack) -> tuple[str, Callable[[], Go]]:
    """The URI of the canned daemon, and how to ask it once connected."""

    def connect() -> Go:
        sock = socket.socket(socket.AF_UNIX)
        stack.enter_context(sock)
        sock.connect(f"{folder}/go")
        return lambda count: sock.sendall(f"{count}\n".encode())

    return f"qemu+unix:///system?socket={folder}/libvirt-sock", connect


def real(_folder: str, stack: ExitStack) -> tuple[str, Callable[[], Go]]:
    """A daemon and a producer of one's own: other variants' events would be in the way."""
    uri = stack.enter_context(Daemon()).uri("test")

    def produce() -> Go:
        process = subprocess.Popen([sys.executable, "-m", MODULE, "--produce", uri], stdin=subprocess.PIPE, text=True)
        stack.callback(process.wait)
        assert process.stdin is not None
        pipe = stack.enter_context(process.stdin)

        def go(count: int) -> None:
            pipe.write(f"{count}\n")
            pipe.flush()

        return go

    return uri, produce


Source = Callable[[str, ExitStack], tuple[str, Callable[[], Go]]]


async def avirt_events(turns: Turns, source: Source) -> None:
    with ExitStack() as stack:
        uri, connect = source(turns.uri, stack)
        async with avirt.connect(uri) as host, host.watch(kinds={StateChanged}) as changes:
            go = connect()
            for work in turns:
                go(work)
                left = work
                async for _ in changes:
                    left -= 1
                    if not left:
                        break


async def libvirt_events(turns: Turns, source: Source) -> None:
    # no stubs, and not always installed
    libvirt: Any = import_module("libvirt")
    libvirtaio: Any = import_module("libvirtaio")
    loop = asyncio.get_running_loop()
    left = 0
    taken: asyncio.Future[None] = loop.create_future()

    def on_event(*_args: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            taken.set_result(None)

    with ExitStack() as stack:
        uri, connect = source(turns.uri, stack)
        libvirtaio.virEventRegisterAsyncIOImpl(loop=loop)
        connection = libvirt.open(uri)
        connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, on_event, None)
        go = connect()
        for work in turns:
            left, taken = work, loop.create_future()
            go(work)
            await taken
        connection.close()
        await asyncio.sleep(0.1)  # libvirtaio ends what it left behind


def produce(uri: str) -> None:
    """Suspend and resume a domain, as often as asked: two events each."""
    libvirt: Any = import_module("libvirt")
    domain = libvirt.open(uri).listAllDomains()[0]
    for line in sys.stdin:
        for _ in range(int(line) // 2):
            domain.suspend()
            domain.resume()


def serve_canned() -> Iterator[str]:
    """The canned daemon's folder."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="avirt-") as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.canned_daemon", folder], stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield folder
        finally:
            process.kill()
            process.wait()


def serve_nothing() -> Iterator[str]:
    """Each variant has a daemon of its own."""
    yield "none"


def main() -> int:
    if "--produce" in sys.argv:
        produce(sys.argv[-1])
        return 0
    peer = "libvirtaio"
    variants = {
        f"{prefix}{name}": body
        for prefix, source in (("", canned), ("real ", real))
        for name, body in {
            **per_loop("avirt", functools.partial(avirt_events, source=source)),
            **per_loop(peer, functools.partial(libvirt_events, source=source), ["asyncio"]),
        }.items()
    }
    if "--worker" in sys.argv:
        return Benchmark("", variants, (), 0, "event", MODULE).main(serve_nothing)
    missed = 0
    for title, real_one, work, serve in (
        ("canned lifecycle events, wire → lifecycle → store → one subscriber", False, CANNED, serve_canned),
        ("real lifecycle events (test driver, one producer), CPU of the client", True, REAL, serve_nothing),
    ):
        chosen = {name: body for name, body in variants.items() if name.startswith("real ") is real_one}
        what, limits = ("cpu", (0.6, 0.3)) if real_one else ("time", (1 / 8, 1 / 15))
        prefix = "real " if real_one else ""
        missed |= Benchmark(
            title=title,
            variants=chosen,
            targets=[Target(f"{prefix}avirt {loop}", f"{prefix}{peer} asyncio", *limits, what) for loop in LOOPS],
            work=work,
            unit="event",
            module=MODULE,
        ).main(serve)
    return missed


if __name__ == "__main__":
    sys.exit(main())
