"""What a step of the lifecycle takes besides its Item, and what it gives: times, Changes, effects."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from avirt.model.change import Change
from avirt.model.observation import Scope
from avirt.model.record import Key

__all__ = ["Effect", "Now", "Probe", "Relist", "Step", "WakeAt"]


class Now(msgspec.Struct, frozen=True, gc=False):
    """The time of a step.

    Attributes:
        monotonic: seconds on the loop's clock, for ages and deadlines.
        wall: seconds since the epoch, for people.
    """

    monotonic: float
    wall: float


class Probe(msgspec.Struct, frozen=True, gc=False):
    """Read this domain. Asked for freely: whoever runs effects limits and joins them."""

    key: Key


class Relist(msgspec.Struct, frozen=True, gc=False):
    """List again."""

    scope: Scope
    why: str


class WakeAt(msgspec.Struct, frozen=True, gc=False):
    """Call `wake` at this time, monotonic; later is allowed."""

    at: float


Effect = Probe | Relist | WakeAt


class Step(msgspec.Struct, frozen=True, gc=False):
    """What one Item led to, in order."""

    changes: Sequence[Change]
    effects: Sequence[Effect]
