"""Runs variants in turn, in short slices and random order, and compares their medians.

Each variant is a process of its own that stands still while others have their turn, so that a slice has the machine for
itself and all see the same weather: contiguous blocks of one variant swing by a factor of two on a shared machine, the
ratio of interleaved medians by a tenth (reference/performance.md §9). CPU is the client process's alone.

A program defines its variants and targets and ends in `Benchmark(…).main()`. A variant is a function that gets `Turns`:

    def blocking(turns: Turns) -> None:
        connection = libvirt.open(turns.uri)        # preparation: not measured
        for work in turns:                          # waits for its turn; `work` is how much to do in it
            for _ in range(work):                   # measured until the loop asks for the next turn
                domain.state()
"""

from __future__ import annotations

import argparse
import functools
import random
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from statistics import median
from typing import Final, Self

import anyio
import msgspec

__all__ = ["LOOPS", "Benchmark", "Target", "Turns", "per_loop"]

LOOPS: Final[Mapping[str, tuple[str, dict[str, bool]]]] = {
    "asyncio": ("asyncio", {"use_uvloop": False}),
    "uvloop": ("asyncio", {"use_uvloop": True}),
    "trio": ("trio", {}),
}


class Turns:
    """A variant's side: iterate to get the next turn."""

    def __init__(self, uri: str, variant: str) -> None:
        self.uri = uri
        self.variant = variant
        self._began: tuple[float, float] | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> int:
        # blocks, the loop of an async variant as well: it is somebody else's turn
        if self._began is None:
            print("ready", flush=True)
        else:
            wall = time.perf_counter() - self._began[0]
            cpu = time.process_time() - self._began[1]
            print(f"{wall} {cpu}", flush=True)
        line = sys.stdin.readline()
        if not line.strip():
            raise StopIteration
        self._began = (time.perf_counter(), time.process_time())
        return int(line)


Variant = Callable[[Turns], None]


def per_loop(
    prefix: str, body: Callable[[Turns], Awaitable[None]], loops: Sequence[str] = tuple(LOOPS)
) -> dict[str, Variant]:
    """An async body as one variant a loop: `prefix asyncio`, …"""

    def run(name: str, turns: Turns) -> None:
        backend, options = LOOPS[name]
        anyio.run(functools.partial(body, turns), backend=backend, backend_options=options)

    return {f"{prefix} {name}": functools.partial(run, name) for name in loops}


class Target(msgspec.Struct, frozen=True):
    """`variant` may take at most `must` times what `peer` takes; `aim` is where we want to be.

    Attributes:
        what: "time" or "cpu".
    """

    variant: str
    peer: str
    must: float
    aim: float
    what: str = "time"


class Benchmark(msgspec.Struct, frozen=True):
    """One question.

    Attributes:
        title: the question.
        variants: by name; those that raise ImportError are left out, with a note.
        work: units of work in a slice; 10 to 100 ms for the fastest.
        unit: what one unit is.
        serve: a context manager that yields the URI to work on.
    """

    title: str
    variants: Mapping[str, Variant]
    targets: Sequence[Target]
    work: int
    unit: str
    module: str

    def main(self, serve: Callable[[], Iterator[str]]) -> int:
        """Run as a program. 1 if a "must" is missed."""
        parser = argparse.ArgumentParser(description=self.title)
        parser.add_argument("--rounds", type=int, default=60)
        parser.add_argument("--worker", help=argparse.SUPPRESS)
        parser.add_argument("--uri", help="an existing daemon instead of a private one")
        options = parser.parse_args()
        if options.worker:
            self.variants[options.worker](Turns(options.uri, options.worker))
            return 0
        if options.uri:
            return self._compare(options.uri, options.rounds)
        for uri in serve():
            return self._compare(uri, options.rounds)
        return 1

    def _compare(self, uri: str, rounds: int) -> int:
        workers = {name: _Worker(self.module, name, uri) for name in self.variants}
        try:
            absent = [name for name, worker in workers.items() if not worker.is_ready()]
            present = {name: worker for name, worker in workers.items() if name not in absent}
            for turn in range(rounds + 3):
                for name in random.sample(sorted(present), len(present)):
                    present[name].take_turn(self.work, is_warm_up=turn < 3)
            return self._report(present, absent, rounds)
        finally:
            for worker in workers.values():
                worker.end()

    def _report(self, workers: Mapping[str, _Worker], absent: Sequence[str], rounds: int) -> int:
        scale = 1e6 / self.work
        print(f"\n{self.title}\n{rounds} slices of {self.work}, medians, µs per {self.unit}")
        for name, worker in workers.items():
            print(f"  {name:34} {worker.time * scale:9.1f}   CPU {worker.cpu * scale:8.1f}")
        for name in absent:
            print(f"  {name:34} left out: {workers_note(name)}")
        missed = 0
        for target in self.targets:
            if target.variant not in workers or target.peer not in workers:
                continue
            ours, theirs = workers[target.variant], workers[target.peer]
            ratio = ours.time / theirs.time if target.what == "time" else ours.cpu / theirs.cpu
            verdict = "aim" if ratio <= target.aim else "must" if ratio <= target.must else "MISSED"
            missed += verdict == "MISSED"
            print(
                f"  {target.variant:20} / {target.peer:24} {target.what:4} {ratio:6.2f}"
                f"   must {target.must:g}, aim {target.aim:g}: {verdict}"
            )
        return 1 if missed else 0


def workers_note(name: str) -> str:
    """Why a variant does not run."""
    return f"{name.split(maxsplit=1)[0]} is not installed (pip install libvirt-python==9.0.0 wants libvirt-dev)"


class _Worker:
    """The parent's side of a variant."""

    def __init__(self, module: str, name: str, uri: str) -> None:
        self._times: list[float] = []
        self._cpus: list[float] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, "--worker", name, "--uri", uri],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def time(self) -> float:
        return median(self._times)

    @property
    def cpu(self) -> float:
        return median(self._cpus)

    def is_ready(self) -> bool:
        return self._read() == "ready"

    def take_turn(self, work: int, *, is_warm_up: bool) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{work}\n")
        self._process.stdin.flush()
        answer = self._read()
        if not answer:
            raise RuntimeError(f"a variant ended with status {self._process.wait()}")
        wall, cpu = map(float, answer.split())
        if not is_warm_up:
            self._times.append(wall)
            self._cpus.append(cpu)

    def end(self) -> None:
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()
