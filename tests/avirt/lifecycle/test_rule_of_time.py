"""The rule of time, against the two ways to do without it, over seeded histories with independent delays."""

from __future__ import annotations

from collections import Counter
from enum import Enum, auto
from random import Random

import pytest
from msgspec.structs import replace

from avirt.model.change import Change, Rebooted, RecordChange, Removed
from avirt.model.observation import Gone, ListingSlice, Seen
from avirt.model.record import Key
from tests.avirt.lifecycle.hypervisor import KEYS, Hypervisor, Link, Speech, any_action, differences
from tests.avirt.lifecycle.lab import FACTS, Lab

HISTORIES = 1000


class Reads(Enum):
    RULE_OF_TIME = auto()
    ALL_APPLIED = auto()
    """Every reply is taken as news of the moment at which it arrives."""
    NONE_APPLIED = auto()
    """Events alone, after the first listing."""


class History:
    """One seeded history: what happens, what is asked and when what arrives does not depend on `reads`."""

    def __init__(self, seed: int, reads: Reads) -> None:
        self.random = Random(seed)
        self.reads = reads
        self.hypervisor = Hypervisor(Speech(stale_ids=self.random.random() < 0.5))
        for _ in range(3):
            any_action(self.random, self.hypervisor)
        self.lab = Lab(connected=False)
        self.lab.link_up(FACTS)
        self.hypervisor.told.clear()
        self.link = Link(self.hypervisor)
        self.listed = False
        self.due: list[tuple[int, int, int, Key | None]] = []
        self.wanted: Counter[Key] = Counter()
        self.link.ask(None)
        for item in self.link.reply(self.link.calls[0]):
            self.feed(item)
        self.listed = True
        self.lab.all.clear()
        self.before = (dict(self.hypervisor.stops), dict(self.hypervisor.removals))

    def feed(self, item: Seen | Gone | ListingSlice) -> list[Change]:
        is_read = not (isinstance(item, Seen) and item.observation.signal is not None)
        if is_read and self.listed:
            if self.reads is Reads.NONE_APPLIED:
                return []
            if self.reads is Reads.ALL_APPLIED:
                item = _as_news(item, self.link.count)
        changes = self.lab.step(item)
        self.wanted.update(self.lab.probes)
        return changes

    def run(self) -> list[str]:
        """Where the view is wrong at rest."""
        random = self.random
        for _ in range(40):
            what = random.random()
            if what < 0.35:
                any_action(random, self.hypervisor)
            elif what < 0.65:
                self.event()
            elif what < 0.75:
                self.link.ask(random.choice(KEYS))
            elif what < 0.8:
                self.link.ask(None)
            elif self.link.calls:
                call = random.choice(self.link.calls)
                if what < 0.9:
                    self.link.process(call)
                else:
                    self.reply(random.randrange(len(self.link.calls)))
        self.rest()
        return differences(self.hypervisor, self.lab.view)

    def repeats(self, key: Key) -> bool:
        """Whether more stops or removals were shown than there were."""
        shown = [change for change in self.lab.all if isinstance(change, RecordChange) and change.key == key]
        stops, removals = (
            true.get(key, 0) - before.get(key, 0)
            for true, before in zip((self.hypervisor.stops, self.hypervisor.removals), self.before, strict=True)
        )
        return sum(map(is_stop, shown)) > stops or sum(isinstance(change, Removed) for change in shown) > removals

    def event(self) -> None:
        event = self.link.event()
        if event is not None:
            self.feed(event)
            self.link.ask(event.observation.key)

    def reply(self, index: int) -> None:
        for item in self.link.reply(self.link.calls[index]):
            self.feed(item)

    def rest(self) -> None:
        while self.hypervisor.told or self.link.calls:
            if self.hypervisor.told and (not self.link.calls or self.random.random() < 0.5):
                self.event()
            else:
                self.reply(self.random.randrange(len(self.link.calls)))


def _as_news(item: Seen | Gone | ListingSlice, count: int) -> Seen | Gone | ListingSlice:
    if isinstance(item, Seen):
        return Seen(replace(item.observation, asked=count))
    return replace(item, asked=count)


def wrong(reads: Reads, histories: int) -> int:
    return sum(bool(History(seed, reads).run()) for seed in range(histories))


@pytest.mark.slow
def test_rule_of_time_leaves_nothing_wrong_at_rest() -> None:
    assert wrong(Reads.RULE_OF_TIME, HISTORIES) == 0


@pytest.mark.slow
@pytest.mark.parametrize("reads", [Reads.ALL_APPLIED, Reads.NONE_APPLIED])
def test_doing_without_it_goes_wrong(reads: Reads) -> None:
    assert wrong(reads, 300) > 0


@pytest.mark.slow
def test_what_a_read_has_shown_is_hardly_ever_shown_again_by_the_events_that_come_later() -> None:
    """Delays here are without bounds: whole lives pass between two messages. Without its rule a fifth repeats."""
    repeated = 0
    for seed in range(300):
        history = History(seed, Reads.RULE_OF_TIME)
        history.run()
        repeated += any(history.repeats(key) for key in KEYS)
    assert repeated <= 12


def is_stop(change: RecordChange) -> bool:
    before, after = change.before, change.after
    if isinstance(change, Rebooted) and before is not None and after is not None and before.id != after.id:
        return before.active
    return before is not None and before.active and after is not None and not after.active
