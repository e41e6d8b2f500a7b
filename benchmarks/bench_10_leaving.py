"""Row 10: how long does it take to leave `connect` with 100 calls in flight and 100 subscribers waiting?

The calls are to a domain that hangs, of a simulated daemon in another process. The peer: a task group of anyio with 200
tasks that sleep, cancelled. The variants take turns in one process a loop: a single leaving is too short for the slices
of `harness.py`, and what comes before it is not measured.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import subprocess
import sys
import time
from statistics import median
from typing import Final

import anyio

import avirt
from avirt.errors import AvirtError
from avirt.testing import LibvirtSim
from benchmarks.harness import LOOPS

MODULE: Final = "benchmarks.bench_10_leaving"
CALLS: Final = 100
SUBSCRIBERS: Final = 100
MUST, AIM = 0.1, 0.01
"""Seconds."""
UNDER_WAY: Final = 0.1
"""Seconds after which all calls are in flight."""


async def serve() -> None:
    """The daemon; says its URI, ends with its input."""
    async with LibvirtSim(domains=1) as sim:
        sim.daemon.workers._most = 1_000_000  # what hangs holds a worker each, which is not the question
        sim.faults.hang("vm0")
        print(sim.uri, flush=True)
        await anyio.to_thread.run_sync(sys.stdin.readline)


async def call(host: avirt.Host) -> None:
    with contextlib.suppress(AvirtError):
        await host.domain(next(iter(host.view))).xml()


async def subscribe(host: avirt.Host) -> None:
    async with host.watch() as changes:
        async for _ in changes:
            pass


async def leaving(uri: str) -> float:
    """Seconds until the block is left and every call and subscriber has ended."""
    async with anyio.create_task_group() as group, avirt.connect(uri) as host:
        for _ in range(CALLS):
            group.start_soon(call, host)
        for _ in range(SUBSCRIBERS):
            group.start_soon(subscribe, host)
        await anyio.sleep(UNDER_WAY)
        began = time.perf_counter()
    return time.perf_counter() - began


async def cancelling() -> float:
    """Seconds until as many tasks that sleep have ended."""
    async with anyio.create_task_group() as group:
        for _ in range(CALLS + SUBSCRIBERS):
            group.start_soon(anyio.sleep_forever)
        await anyio.sleep(UNDER_WAY)
        began = time.perf_counter()
        group.cancel_scope.cancel()
    return time.perf_counter() - began


async def compare(uri: str, loop: str, rounds: int) -> bool:
    """Both in turn on this loop; whether the target was missed."""
    ours: list[float] = []
    peer: list[float] = []
    for turn in range(rounds + 3):
        took = await leaving(uri), await cancelling()
        if turn >= 3:
            ours.append(took[0])
            peer.append(took[1])
    took_most = max(ours)
    middle = median(ours)
    verdict = "aim" if middle <= AIM else "must" if middle <= MUST else "MISSED"
    print(
        f"  {loop:8} leave: median {middle * 1e3:6.2f} ms, longest {took_most * 1e3:6.2f} ms;"
        f" 200 tasks cancelled: median {median(peer) * 1e3:6.2f} ms   must {MUST:g} s, aim {AIM * 1e3:g} ms: {verdict}",
        flush=True,
    )
    return middle > MUST


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--loops", nargs="*", default=list(LOOPS))
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        anyio.run(serve)
        return 0
    print(f"leaving connect with {CALLS} calls in flight and {SUBSCRIBERS} subscribers, {options.rounds} times")
    missed = 0
    for loop in options.loops:
        backend, backend_options = LOOPS[loop]
        daemon = subprocess.Popen(
            [sys.executable, "-m", MODULE, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            assert daemon.stdin is not None
            assert daemon.stdout is not None
            uri = daemon.stdout.readline().strip()
            missed += anyio.run(
                functools.partial(compare, uri, loop, options.rounds), backend=backend, backend_options=backend_options
            )
        finally:
            daemon.kill()
            daemon.wait()
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
