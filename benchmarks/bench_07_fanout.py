"""Row 7: one Change to 1,000 subscribers, against appending it to 1,000 deques.

Busy: no subscriber waits, so that there is nobody to wake. Waiting: all of them do, changes come in bursts of 20, and
the time counts until all have taken all. Besides: how long a publish, and the turn after it, hold the loop.
"""

from __future__ import annotations

import functools
import sys
import time
from collections import deque
from collections.abc import Iterator
from typing import Final
from uuid import uuid4

import anyio
from anyio.lowlevel import checkpoint

from avirt.drivers.transport.loop import current_loop
from avirt.events import Store, Subscription
from avirt.model.change import StateChanged
from avirt.model.record import DomainRecord, key_of
from avirt.model.state import DomainState, RunningReason
from benchmarks.harness import LOOPS, Benchmark, Target, Turns, per_loop

SUBSCRIBERS: Final = 1000
BURST: Final = 20
HOLD: Final = 0.005
"""Promise 1: publishing never holds the loop for longer, in seconds."""

RECORD: Final = DomainRecord(
    host="h1", key=key_of(uuid4()), name="vm1", state=DomainState.RUNNING, reason=RunningReason.BOOTED, active=True
)


def change() -> StateChanged:
    """A fresh one: the store takes what it publishes."""
    return StateChanged(host="h1", key=RECORD.key, name="vm1", before=RECORD, after=RECORD)


def deques(turns: Turns) -> None:
    """The floor: what one append for each subscriber costs."""
    queues: list[deque[StateChanged]] = [deque(maxlen=100) for _ in range(SUBSCRIBERS)]
    for work in turns:
        for _ in range(work):
            one = change()
            for queue in queues:
                queue.append(one)


async def busy(turns: Turns) -> None:
    """Nobody waits: publishing alone."""
    store = Store(capacity=10_000)
    subscriptions = [store.subscribe() for _ in range(SUBSCRIBERS)]
    for work in turns:
        for _ in range(work):
            store.publish((change(),))
    del subscriptions


class Crowd:
    """Subscribers that take what comes and wait again."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.taken = 0
        self.all_taken = anyio.Event()

    async def take(self, subscription: Subscription) -> None:
        """One by one."""
        async for _ in subscription:
            self.taken += 1
            if self.taken == SUBSCRIBERS * BURST:
                self.all_taken.set()

    async def take_lists(self, subscription: Subscription) -> None:
        """In lists, as who has many to serve does."""
        async for batch in subscription.batches():
            for _ in batch:
                self.taken += 1
            if self.taken == SUBSCRIBERS * BURST:
                self.all_taken.set()

    async def until_all_wait(self) -> None:
        while self.store.notifier.waiting < SUBSCRIBERS:
            await checkpoint()

    async def burst(self) -> None:
        """Publish one burst, and wait until all have taken all of it."""
        self.taken, self.all_taken = 0, anyio.Event()
        for _ in range(BURST):
            self.store.publish((change(),))
        await self.all_taken.wait()


async def waiting(turns: Turns, *, lists: bool = False) -> None:
    """All wait; consumption included."""
    store = Store(capacity=10_000)
    crowd = Crowd(store)
    store.notifier.waiter = current_loop().waiter  # as `connect` does
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.notifier.run)
        for _ in range(SUBSCRIBERS):
            tasks.start_soon(crowd.take_lists if lists else crowd.take, store.subscribe())
        for work in turns:
            for _ in range(work // BURST):
                await crowd.until_all_wait()
                await crowd.burst()
        tasks.cancel_scope.cancel()


async def holds() -> tuple[float, float]:
    """The longest that one publish to 1,000 waiting subscribers took, and the longest turn of the loop until all had
    taken it; of 100, in seconds of this process's CPU."""
    store = Store(capacity=10_000)
    crowd = Crowd(store)
    publish = turn = 0.0
    store.notifier.waiter = current_loop().waiter  # as `connect` does
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.notifier.run)
        for _ in range(SUBSCRIBERS):
            tasks.start_soon(crowd.take, store.subscribe())
        for _ in range(100):
            await crowd.until_all_wait()
            crowd.taken, crowd.all_taken = 0, anyio.Event()
            began = time.process_time()
            store.publish((change(),))
            publish = max(publish, time.process_time() - began)
            while crowd.taken < SUBSCRIBERS:
                began = time.process_time()
                await checkpoint()
                turn = max(turn, time.process_time() - began)
        tasks.cancel_scope.cancel()
    return publish, turn


def report_holds() -> int:
    """How long the loop is held, on each loop. 1 if it is too long."""
    print("\none publish to 1,000 waiting subscribers holds the loop, longest of 100, ms of CPU")
    missed = 0
    for name, (backend, options) in LOOPS.items():
        publish, turn = anyio.run(holds, backend=backend, backend_options=options)
        missed += publish > HOLD
        print(
            f"  {name:10} publish {publish * 1e3:6.3f}   a turn {turn * 1e3:6.2f}"
            f"   must {HOLD * 1e3:g} for the publish: {'MISSED' if publish > HOLD else 'must'}"
        )
    return 1 if missed else 0


def nothing() -> Iterator[str]:
    """No daemon is needed."""
    yield "none"


def main() -> int:
    missed = 0 if "--worker" in sys.argv else report_holds()
    floor = "1,000 deques"
    return missed | Benchmark(
        title="one Change to 1,000 subscribers",
        variants={
            floor: deques,
            **per_loop("busy", busy),
            **per_loop("waiting", waiting),
            **per_loop("waiting, lists", functools.partial(waiting, lists=True)),
        },
        targets=[
            *(Target(f"busy {loop}", floor, 3, 0.1) for loop in LOOPS),
            *(Target(f"waiting {loop}", floor, 25, 12) for loop in LOOPS),
            *(Target(f"waiting, lists {loop}", floor, 25, 12) for loop in LOOPS),
        ],
        work=200,
        unit="change",
        module="benchmarks.bench_07_fanout",
    ).main(nothing)


if __name__ == "__main__":
    sys.exit(main())
