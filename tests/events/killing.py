"""A watch with a journal, killed with SIGKILL again and again, and the judgement of what its readers were given.

One life is one process: it watches a simulated hypervisor that lives fast, writes the journal, and tells the parent
each change that it gave to two readers: one durable, which resumes after what the last life gave it, and one not. The
parent ends it at a random moment, from before it has opened the file on.
"""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import anyio

import avirt
from avirt.events.codec import pack, unpack
from avirt.events.journal_reader import read_page
from avirt.events.journal_schema import connect, contents
from avirt.events.runs import BLOCK
from avirt.model.change import Change, Gap, HostConnected, HostLost
from avirt.testing.checkers import CHECKERS, Recording, findings

__all__ = ["Lives", "live"]

LONGEST: Final = 0.15
"""Seconds of a life, or of what it has left after its first change."""
EARLY: Final = 0.25
"""So many lives are killed whether they have begun or not: while they load, open the file, connect."""
LOOPS: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("asyncio", {"use_uvloop": False}),
    ("asyncio", {"use_uvloop": True}),
    ("trio", {}),
)
EVERYTHING: Final = avirt.Retention(rows=None, bytes=None, age=None)

DURABLE, QUICK, FAILED = b"d", b"q", b"!"


# ---------------------------------------------------------------- the process that is killed


def live(number: int, path: str, since: str, out: Connection) -> None:
    """One life; it ends by being killed."""
    backend, options = LOOPS[number % len(LOOPS)]
    try:
        anyio.run(partial(watch, path, since, out), backend=backend, backend_options=options)
    except BaseException as error:
        out.send_bytes(FAILED + repr(error).encode())
        raise


async def watch(path: str, since: str, out: Connection) -> None:
    """Watch, and tell."""
    uri = "sim://demo?domains=20&rate=1000"
    async with avirt.connect(uri, name="sim", journal=path, retention=EVERYTHING) as host:
        durable = host.watch(since=since or f"{host.watch().token.split(':')[0]}:0", durable=True)
        async with anyio.create_task_group() as readers:
            readers.start_soon(tell, durable, DURABLE, out)
            readers.start_soon(tell, host.watch(), QUICK, out)


async def tell(stream: avirt.Subscription, who: bytes, out: Connection) -> None:
    """Each change as it is given, with the token that goes on after it."""
    async for item in stream:
        told = (
            FAILED + repr(item).encode() if isinstance(item, Gap) else who + stream.token.encode() + b" " + pack(item)
        )
        out.send_bytes(told)


# ---------------------------------------------------------------- the one that kills and judges


@dataclass
class Lives:
    """Many lives on one journal.

    Attributes:
        given: all that the durable readers were given, in order.
        meaning: each number that any reader was given, and what it was.
        alive: how many lives came so far as to give something.
    """

    path: Path
    seed: int
    given: list[Change] = field(default_factory=list)
    meaning: dict[int, bytes] = field(default_factory=dict)
    token: str = ""
    alive: int = 0
    quick_only: int = 0

    def run(self, lives: int) -> None:
        """Live, be killed, go on.

        Raises:
            AssertionError: something that was given is lost, or a number means two things.
        """
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__, "avirt.host", "avirt.drivers.sim.driver", "uvloop", "trio"])
        chance = random.Random(self.seed)
        for number in range(lives):
            mine, its = context.Pipe(duplex=False)
            process = context.Process(target=live, args=(number, str(self.path), self.token, its))
            process.start()
            its.close()
            if chance.random() > EARLY:
                mine.poll(10)  # it has begun
            self.listen(mine, time.monotonic() + chance.uniform(0, LONGEST), process.kill)
            process.join()
        assert self.alive * 5 > lives, "most were killed before they had begun: nothing is shown by that"
        self.judge()

    def listen(self, told: Connection, until: float, kill: Callable[[], None]) -> None:
        """Hear what it gives until it is time, and what is left in the pipe."""
        before = len(self.given)
        with told, suppress(EOFError):
            while told.poll(max(0.0, until - time.monotonic())) and time.monotonic() < until:
                self.hear(told.recv_bytes())
            kill()
            while True:
                self.hear(told.recv_bytes())
        self.alive += len(self.given) > before

    def hear(self, message: bytes) -> None:
        """One change that a reader was given."""
        who = message[:1]
        assert who != FAILED, message.decode(errors="replace")
        token, _, packed = message[1:].partition(b" ")
        change = unpack(packed)
        known = self.meaning.setdefault(change.seq, packed)
        assert known == packed, f"{change.seq} is {unpack(known)}, and {change}"
        if who == DURABLE:
            assert not self.given or change.seq > self.given[-1].seq
            self.given.append(change)
            self.token = token.decode()

    def judge(self) -> None:
        """What is on disk is what was given, and the stream over all lives is a stream."""
        written = {change.seq: change for change in self.kept()}
        for change in self.given:
            assert written.get(change.seq) == change, f"{change.seq} was given, and is lost: {change}"
        last = self.given[-1].seq
        assert [seq for seq in written if seq <= last] == [change.seq for change in self.given]
        for seq, packed in self.meaning.items():
            if seq in written:
                assert pack(written[seq]) == packed
        self.quick_only = sum(seq not in written for seq in self.meaning)
        # numbers and revisions have holes where a life ended; everything else holds over all of them
        checkers = [name for name in CHECKERS if name not in ("seq_rises", "revision_steps")]
        assert findings(Recording(stream=self.given), checkers=checkers) == []
        is_lost = True
        for before, after in pairwise([HostLost(host="sim"), *self.given]):
            is_lost = (is_lost or isinstance(before, HostLost)) and not isinstance(before, HostConnected)
            if after.seq != before.seq + 1:  # another life, after one that could say no more
                assert isinstance(after, HostConnected if is_lost else HostLost), after

    def kept(self) -> Iterator[Change]:
        """All that is in the file."""
        with closing(connect(self.path)) as connection:
            found = contents(connection, begin=False)
            after = 0
            while changes := read_page(connection, after).changes:
                yield from changes
                after = found.runs.start(changes[-1].seq)

    def __str__(self) -> str:
        return (
            f"seed {self.seed}: {self.alive} lives gave {len(self.given)} durable changes, none lost; "
            f"{self.quick_only} were given to the other reader and not written: none of their numbers was used again; "
            f"numbers go up to {self.given[-1].seq:,} ({self.given[-1].seq // BLOCK} blocks skipped)"
        )
