"""Promise 5: ten million changes past 1,000 subscribers that are stuck leave the memory as it was, within 5 %.

Domains of a hundred hosts come, are switched ten times, and go. The subscribers are of all three policies, and stuck in
three places: before their first read, after one change, and half-way through catching up. Memory is taken once
everything bounded is full (the ring, the memory of removed domains), and at the end. `make soak` runs the whole; a
shorter form with a smaller ring is among the tests (tests/events/test_soak.py).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
from msgspec.structs import replace

from avirt.errors import SlowSubscriber
from avirt.events import CAPACITY, Slow, Statistics, Store, Subscription
from avirt.events.store import Sizes
from avirt.model.change import Added, Change, Removed, StateChanged
from avirt.model.record import DomainRecord, Key
from avirt.model.state import DomainState, RunningReason, ShutoffReason

__all__ = ["LIMIT", "Outcome", "soak"]

LIMIT: Final = 0.05
HOSTS: Final = 100
STEPS: Final = 10
"""How often a domain is switched before it goes: one change in twelve is a removal."""
FULL: Final = 20
"""After so many rings of changes everything bounded is full."""
PAGE: Final = 4096


class Outcome(msgspec.Struct, frozen=True):
    """What a run found.

    Attributes:
        full, end: resident bytes once everything was full, and at the end.
        lags: the furthest and the nearest that a subscriber is behind.
        statistics: summed up by policy.
    """

    full: int
    end: int
    sizes: Sizes
    lags: tuple[int, int]
    statistics: dict[Slow, Statistics]

    @property
    def growth(self) -> float:
        """Of memory, from full to the end."""
        return self.end / self.full - 1


def resident() -> int:
    """Bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def life(domains: int) -> Iterator[Change]:
    """Endless: each domain is added, switched, removed, and another one comes."""
    number = 0
    states = (
        (DomainState.SHUTOFF, ShutoffReason.SHUTDOWN, False),
        (DomainState.RUNNING, RunningReason.BOOTED, True),
    )
    while True:
        records: list[DomainRecord] = []
        for index in range(domains):
            number += 1
            record = DomainRecord(
                host=f"h{index % HOSTS}",
                key=Key(number.to_bytes(16, "big")),
                name=f"vm{number}",
                state=DomainState.RUNNING,
                reason=RunningReason.BOOTED,
                active=True,
            )
            records.append(record)
            yield Added(host=record.host, key=record.key, name=record.name, after=record)
        for step in range(STEPS):
            state, reason, active = states[step % 2]
            for index, before in enumerate(records):
                after = replace(before, state=state, reason=reason, active=active, observed_at=float(step))
                records[index] = after
                yield StateChanged(host=after.host, key=after.key, name=after.name, before=before, after=after)
        for before in records:
            yield Removed(host=before.host, key=before.key, name=before.name, before=before)


def peek(subscriptions: list[Subscription]) -> None:
    """Each reads one change, and is stuck again: where its policy brought it, or half-way through catching up."""
    for subscription in subscriptions:
        with suppress(SlowSubscriber):
            subscription.read_nowait(1)


def soak(*, changes: int, subscribers: int = 1000, capacity: int = CAPACITY) -> Outcome:
    """Publish so many changes, at least forty rings of them."""
    store = Store(capacity=capacity)
    policies = tuple(Slow)
    subscriptions = [store.subscribe(slow=policies[number % 3]) for number in range(subscribers)]
    # of each policy a third is stuck from the start, another after its first change, the last looks up now and then
    once, now_and_then = ([each for n, each in enumerate(subscriptions) if n // 3 % 3 == place] for place in (1, 2))
    full = 0
    for count, change in enumerate(life(capacity // 20), 1):
        store.publish((change,))
        if count == capacity // 2:
            peek(once)
        if count % (3 * capacity) == 0:
            peek(now_and_then)
        if count == FULL * capacity:
            full = resident()
        if count == changes:
            break
    statistics = {
        policy: Statistics(
            given=sum(each.statistics.given for each in subscriptions[place::3]),
            lost=sum(each.statistics.lost for each in subscriptions[place::3]),
            coalesced=sum(each.statistics.coalesced for each in subscriptions[place::3]),
        )
        for place, policy in enumerate(policies)
    }
    lags = [subscription.lag for subscription in subscriptions]
    return Outcome(full, resident(), store.sizes(), (max(lags), min(lags)), statistics)


def main(argv: list[str] | None = None) -> int:
    """Run it and print what was found; fails above the limit."""
    parser = argparse.ArgumentParser(description="memory under stuck subscribers")
    parser.add_argument("--changes", type=int, default=10_000_000)
    parser.add_argument("--subscribers", type=int, default=1000)
    parser.add_argument("--capacity", type=int, default=CAPACITY)
    options = parser.parse_args(argv)
    if options.changes < 2 * FULL * options.capacity:
        parser.error(f"that is not long enough: {2 * FULL * options.capacity:,} changes at least")
    began = time.process_time()
    found = soak(changes=options.changes, subscribers=options.subscribers, capacity=options.capacity)
    took = time.process_time() - began
    sizes = found.sizes
    print(f"{options.changes:,} changes past {options.subscribers:,} stuck subscribers: {took:.0f} s of CPU")
    print(f"  full {found.full / 1e6:.1f} MB, end {found.end / 1e6:.1f} MB: {found.growth:+.1%} (must: ±{LIMIT:.0%})")
    print(f"  held: {sizes.changes:,} changes, {sizes.domains:,} records, {sizes.removed:,} removed domains,", end=" ")
    print(f"{sizes.waiting:,} entries that readers are catching up with")
    print(f"  behind by {found.lags[0]:,} to {found.lags[1]:,} changes")
    for policy, counts in found.statistics.items():
        print(f"  {policy}: given {counts.given:,}, lost {counts.lost:,}, coalesced {counts.coalesced:,}")
    return 1 if abs(found.growth) > LIMIT else 0


if __name__ == "__main__":
    sys.exit(main())
