"""A world under a hand-moved clock, and a link that writes down what it is told."""

from __future__ import annotations

from random import Random
from typing import Any

from avirt.drivers.sim.moments import Moment, WorldEvent
from avirt.drivers.sim.world import World
from avirt.model.change import DomainEvent


class Clock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Listener:
    """A link."""

    def __init__(self) -> None:
        self.events: list[WorldEvent | DomainEvent] = []
        self.overruns = 0
        self.lost = ""
        self.wakes = 0

    def deliver(self, event: WorldEvent | DomainEvent) -> None:
        self.events.append(event)

    def overrun(self) -> None:
        self.overruns += 1

    def cut(self, why: str) -> None:
        self.lost = why

    def wake(self) -> None:
        self.wakes += 1

    def moments(self) -> list[Moment]:
        """What was told since the last call, lifecycle and its like only."""
        found = [event.moment for event in self.events if isinstance(event, WorldEvent)]
        self.events.clear()
        return found


class Stage:
    """A world, its clock and one listener."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.world = World(clock=self.clock, rng=Random(1), **options)
        self.link = Listener()
        self.world.attach(self.link)

    def wait(self, seconds: float) -> None:
        """Let time pass, step by step."""
        end = self.clock.now + seconds
        while (due := self.world.next_due) is not None and due <= end:
            self.clock.now = max(self.clock.now, due)
            self.world.run_due()
        self.clock.now = end

    def moments(self) -> list[Moment]:
        """What was told since the last call."""
        return self.link.moments()
