"""Row 9: one of 1,000 domains hangs for ever: how long do calls of the others take, against the same without it?

A simulated daemon in another process: 2 ms a call, at most 5 at once on a connection. Each variant is a process with a
host of its own; of some, one, two or twenty domains hang from the beginning, and a task each goes on calling them. The
variants take turns, as in `harness.py`, but what counts is not the time of a slice: it is the 99th percentile of the
times of its calls of other domains, and of these the median over all slices. All calls thrown together would say more
about the worst weather that a variant had than about it.

Load: 4 tasks and 100 tasks that call one after another (closed loop); 400 and 800 calls/s that start when it is time,
however long the others take (open loop).
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import random
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from statistics import median
from typing import Final

import anyio

import avirt
from avirt.drivers.libvirt.endpoint import LibvirtSession
from avirt.drivers.libvirt.generated.types import RemoteDomain
from avirt.drivers.libvirt.native import Libvirt
from avirt.errors import AvirtError
from avirt.testing import LibvirtSim
from benchmarks.harness import LOOPS

MODULE: Final = "benchmarks.bench_09_hung_domain"
DOMAINS: Final = 1000
SERVICE: Final = 0.002
HUNG: Final = (0, 1, 2, 20)
SLICE: Final = 0.5
"""Seconds."""
SETTLED: Final = 4.0
"""Seconds after which those that hang are known to: patience is one, and of twenty four fit on a connection."""
MUST, AIM = 1.1, 1.03

Calls = Callable[[float], Awaitable[list[float]]]


async def serve(hung: int) -> None:
    """The daemon; says its URI, ends with its input."""
    async with LibvirtSim(domains=DOMAINS) as sim:
        sim.daemon.workers._most = DOMAINS  # what hangs holds a worker each, which is not the question
        sim.faults.late_reply(SERVICE)
        for n in range(hung):
            sim.faults.hang(f"vm{n}")
        print(sim.uri, flush=True)
        await anyio.to_thread.run_sync(sys.stdin.readline)


async def closed(native: Libvirt, domains: list[RemoteDomain], tasks: int, seconds: float) -> list[float]:
    """Tasks that call one after another."""
    took: list[float] = []
    end = time.perf_counter() + seconds

    async def call(number: int) -> None:
        at = number
        while (began := time.perf_counter()) < end:
            await native.domain_get_info(domains[at % len(domains)])
            took.append(time.perf_counter() - began)
            at += tasks

    async with anyio.create_task_group() as group:
        for number in range(tasks):
            group.start_soon(call, number)
    return took


async def opened(native: Libvirt, domains: list[RemoteDomain], rate: int, seconds: float) -> list[float]:
    """Calls that start when it is time; each is as old as the time at which it should have started."""
    took: list[float] = []
    began = time.perf_counter()

    async def call(at: int, due: float) -> None:
        await native.domain_get_info(domains[at % len(domains)])
        took.append(time.perf_counter() - due)

    async with anyio.create_task_group() as group:
        for at in range(int(rate * seconds)):
            due = began + at / rate
            if (left := due - time.perf_counter()) > 0:
                await anyio.sleep(left)
            group.start_soon(call, at, due)
    return took


LOADS: Final = {
    "closed, 4 tasks": functools.partial(closed, tasks=4),
    "closed, 100 tasks": functools.partial(closed, tasks=100),
    "open, 400 calls/s": functools.partial(opened, rate=400),
    "open, 800 calls/s": functools.partial(opened, rate=800),
}


async def work(uri: str, hung: int) -> None:
    """A variant: waits for its turn, calls, says how long each call took."""
    async with avirt.connect(uri) as host, anyio.create_task_group() as group:
        session = host.engine.session
        assert isinstance(session, LibvirtSession)
        native = session.capability(Libvirt)
        assert native is not None
        records = sorted(host.view.values(), key=lambda record: int(record.name[2:]))
        remotes = [RemoteDomain(record.name, record.key, record.id or -1) for record in records]

        async def call_in_vain(dom: RemoteDomain) -> None:
            while True:
                with contextlib.suppress(AvirtError), anyio.move_on_after(30):
                    await native.domain_get_info(dom)
                await anyio.sleep(1)

        for dom in remotes[:hung]:
            group.start_soon(call_in_vain, dom)
        await anyio.sleep(SETTLED if hung else 0)
        await native.connect_get_hostname()
        print("ready", flush=True)
        while load := (await anyio.to_thread.run_sync(sys.stdin.readline)).strip():
            took = await LOADS[load](native, remotes[max(HUNG) :], seconds=SLICE)
            print(*(f"{seconds:.6f}" for seconds in took), flush=True)
        group.cancel_scope.cancel()


class Variant:
    """The parent's side: a daemon and a client."""

    def __init__(self, loop: str, hung: int) -> None:
        self.daemon = self._start("--serve", str(hung))
        self.client = self._start("--worker", loop, "--hung", str(hung), "--uri", self._read(self.daemon))
        self.slices: dict[str, list[list[float]]] = {load: [] for load in LOADS}

    def take_turn(self, load: str, *, is_warm_up: bool) -> None:
        assert self.client.stdin is not None
        self.client.stdin.write(f"{load}\n")
        self.client.stdin.flush()
        answer = self._read(self.client)
        if not is_warm_up:
            self.slices[load].append(sorted(map(float, answer.split())))

    def is_ready(self) -> bool:
        return self._read(self.client) == "ready"

    def percentile(self, load: str, which: float = 0.99) -> float:
        return median(took[int(len(took) * which)] for took in self.slices[load])

    def end(self) -> None:
        for process in (self.client, self.daemon):
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    @staticmethod
    def _start(*args: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", MODULE, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    @staticmethod
    def _read(process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        return process.stdout.readline().strip()


def compare(loop: str, rounds: int, loads: Sequence[str], among: Sequence[int]) -> int:
    """All variants on one loop; how many targets were missed."""
    variants = {hung: Variant(loop, hung) for hung in among}
    try:
        assert all(variant.is_ready() for variant in variants.values())
        for turn in range(rounds + 1):
            for load in random.sample(loads, len(loads)):
                for hung in random.sample(among, len(among)):
                    variants[hung].take_turn(load, is_warm_up=turn == 0)
        missed = 0
        for load in loads:
            base = variants[0]
            calls = sum(map(len, base.slices[load]))
            print(
                f"  {loop:8} {load:18} without: median {base.percentile(load, 0.5) * 1e3:6.2f} ms,"
                f" p99 {base.percentile(load) * 1e3:6.2f} ms, {calls} calls"
            )
            for hung in among[1:]:
                ratio = variants[hung].percentile(load) / base.percentile(load)
                verdict = "aim" if ratio <= AIM else "must" if ratio < MUST else "MISSED"
                missed += verdict == "MISSED"
                print(
                    f"  {'':8} {'':18} {hung:2} hung: p99 {ratio:5.2f}   must {MUST:g}, aim 1 in the noise: {verdict}"
                )
        sys.stdout.flush()
        return missed
    finally:
        for variant in variants.values():
            variant.end()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--loops", nargs="*", default=list(LOOPS))
    parser.add_argument("--loads", nargs="*", default=list(LOADS), choices=list(LOADS))
    parser.add_argument("--among", nargs="*", type=int, default=HUNG[1:], help="how many hang")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--hung", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--uri", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        anyio.run(serve, options.serve)
        return 0
    if options.worker:
        backend, backend_options = LOOPS[options.worker]
        anyio.run(work, options.uri, options.hung, backend=backend, backend_options=backend_options)
        return 0
    print(f"p99 of calls of other domains while some of {DOMAINS} hang ({SERVICE * 1e3:g} ms a call, 5 at once)")
    return 1 if sum(compare(loop, options.rounds, options.loads, [0, *options.among]) for loop in options.loops) else 0


if __name__ == "__main__":
    sys.exit(main())
