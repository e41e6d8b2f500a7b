"""A plan: one host's life with everything that is going to go wrong, as data; and the plan that belongs to a seed.

A life is a few rounds. In each of them something happens, faults strike, readers come and are slow; then all is healed,
things settle, and it is judged. Each judged round is a run of the proof.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum, auto
from random import Random
from typing import Final

import msgspec

from avirt.testing import (
    Cut,
    Delay,
    Direction,
    FailCall,
    Fragment,
    Hang,
    LateReply,
    LoseEvent,
    RefuseAuth,
    RefuseConnection,
    Reorder,
    RepeatEvent,
    Rule,
    Silence,
    SlowAccept,
    Storm,
    Where,
)
from tests.proof.acts import NAMES

__all__ = ["Ask", "Happen", "Heal", "Kind", "Plan", "Replace", "Restart", "Round", "Spoil", "Step", "plan_of"]


class Kind(StrEnum):
    """A kind of reader."""

    FAST = auto()
    """Reads what there is, after each step."""
    WAITING = auto()
    """A task that awaits one after the other."""
    CANCELLED = auto()
    """The same, cancelled again and again."""
    SLOW_COALESCE = auto()
    """Reads at the end; what is not there any more is merged."""
    SLOW_GAP = auto()
    SLOW_DISCONNECT = auto()
    ONE_DOMAIN = auto()
    """Wants one domain only."""
    STATES = auto()
    """Wants changes of state only."""
    RESUMING = auto()
    """Goes away with a token and comes back, after each few changes."""
    SETTLED = auto()
    """Reads settled states."""


class Happen(msgspec.Struct, frozen=True):
    """Something happens to a domain (`acts.py`)."""

    domain: int
    pick: int
    pause: float


class Ask(msgspec.Struct, frozen=True):
    """A client wants something of a domain, and gives up after `patience`."""

    domain: int
    verb: int
    wait: bool
    patience: float
    pause: float


class Spoil(msgspec.Struct, frozen=True):
    """A fault is in force from now on."""

    rule: Rule
    pause: float


class Heal(msgspec.Struct, frozen=True):
    """No fault is."""

    pause: float


class Restart(msgspec.Struct, frozen=True):
    """The daemon is away for a while; `unseen` things happen meanwhile."""

    unseen: tuple[tuple[int, int], ...]
    away: float
    pause: float


class Replace(msgspec.Struct, frozen=True):
    """Another host answers from now on."""

    domains: int
    pause: float


Step = Happen | Ask | Spoil | Heal | Restart | Replace


class Round(msgspec.Struct, frozen=True):
    """From one rest to the next. `readers`: each with the step that it comes after."""

    steps: tuple[Step, ...]
    readers: tuple[tuple[Kind, int], ...]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A life.

    Attributes:
        ring: places of the store's ring.
        audit: seconds between audits; None for none.
        patient: nobody minds how long it takes, and the clock jumps.
        opening: faults in force when it is first connected.
    """

    seed: int
    domains: int
    ring: int
    audit: float | None
    patient: bool
    opening: tuple[Rule, ...]
    rounds: tuple[Round, ...]


ROUNDS: Final = 5
PAUSES: Final = (0.0, 0.0, 0.001, 0.005, 0.01, 0.03, 0.1)
LONG_PAUSES: Final = (*PAUSES, 0.3, 1.0, 6.0)
CALLS: Final = (
    "connect_list_all_domains",
    "domain_get_state",
    "domain_lookup_by_uuid",
    "connect_get_all_domain_stats",
    "connect_open",
    "domain_get_info",
    "",
)
CODES: Final = (1, 38, 55, 68)
"""Internal, system, invalid operation, timeout. "No such domain" would be a lie, against which there are audits."""


def _where(rng: Random) -> Where:
    return rng.choice((Where.ANY, Where.ANY, Where.EVENTS, Where.CALLS))


def _direction(rng: Random) -> Direction:
    return rng.choice(list(Direction))


LISTING_BYTES: Final = (1200, 2000)
"""So many bytes a daemon has sent when it answers to a first listing."""

Draw = Callable[[Random], Rule]

QUICK: Final[tuple[Draw, ...]] = (
    lambda r: Cut(after_bytes=r.choice((0, r.randrange(1, 200), r.randrange(1, 6000))), direction=_direction(r)),
    lambda r: Cut(after_bytes=r.randrange(1, 400), direction=_direction(r), where=_where(r)),
    lambda r: Cut(after_bytes=r.randrange(*LISTING_BYTES)),
    lambda r: Delay(seconds=r.choice((0.002, 0.02, 0.2)), direction=_direction(r), where=_where(r)),
    lambda r: Fragment(size=r.choice((1, 5, 30, 100)), times=r.randrange(1, 30), direction=_direction(r)),
    lambda r: Reorder(depth=r.randrange(2, 5), within=r.choice((0.005, 0.05))),
    lambda r: LateReply(seconds=r.choice((0.005, 0.05, 0.4)), times=r.choice((1, 5, None)), skip=r.randrange(3)),
    lambda r: FailCall(code=r.choice(CODES), procedure=r.choice(CALLS[:4]), times=r.randrange(1, 3)),
    lambda r: RepeatEvent(copies=r.randrange(1, 4), times=r.randrange(1, 6), skip=r.randrange(3)),
    lambda r: Storm(events=r.choice((20, 100))),
    lambda r: RefuseConnection(times=r.randrange(1, 3)),
    lambda r: SlowAccept(seconds=r.choice((0.01, 0.1)), times=2),
)
"""Faults that are over in no time."""

PATIENT: Final[tuple[Draw, ...]] = (
    lambda r: Silence(direction=r.choice((None, *Direction)), where=_where(r)),
    lambda r: Hang(domain=r.choice(NAMES), bulk=r.random() < 0.3, spares_state=r.random() < 0.3),
    lambda r: Hang(domain=r.choice(NAMES), busy_after=r.choice((0.1, 40.0))),
    lambda r: RefuseAuth(times=r.choice((1, None))),
    lambda r: LateReply(seconds=r.choice((5.0, 40.0)), times=2),
    lambda r: FailCall(code=r.choice(CODES), procedure=r.choice(CALLS), times=r.randrange(1, 6), skip=r.randrange(9)),
)
"""Faults that it takes a while to notice: where the clock jumps."""


def plan_of(seed: int, *, patient: bool, rounds: int = ROUNDS) -> Plan:
    """The plan that belongs to a seed."""
    return draw_plan(Random(seed), seed, patient=patient, rounds=rounds)


def draw_plan(rng: Random, seed: int, *, patient: bool, rounds: int) -> Plan:
    """A plan by these dice."""
    audit = rng.choice((None, 1.0, 5.0))
    draws = QUICK + PATIENT if patient else QUICK
    ring = rng.choice((8, 64, 10_000, 10_000))
    losing = audit is not None and rng.random() < 0.5

    def rule() -> Rule:
        if losing and rng.random() < 0.3:
            return LoseEvent(event=0, times=rng.randrange(1, 4), skip=rng.randrange(3))
        return rng.choice(draws)(rng)

    return Plan(
        seed=seed,
        domains=rng.randrange(0, 5),
        ring=ring,
        audit=audit,
        patient=patient,
        opening=tuple(rule() for _ in range(rng.choice((0, 0, 1, 2)))),
        rounds=tuple(_round(rng, rule, LONG_PAUSES if patient else PAUSES) for _ in range(rounds)),
    )


def _round(rng: Random, rule: Callable[[], Rule], pauses: tuple[float, ...]) -> Round:
    steps = [_step(rng, rule, rng.choice(pauses)) for _ in range(rng.randrange(4, 16))]
    readers = [(rng.choice(list(Kind)), rng.randrange(len(steps))) for _ in range(rng.randrange(1, 5))]
    return Round(tuple(steps), tuple(readers))


def _step(rng: Random, rule: Callable[[], Rule], pause: float) -> Step:
    which, dice = rng.randrange(100), rng.randrange(1000)
    if which < 55:
        return Happen(dice, rng.randrange(1000), pause)
    if which < 70:
        return Ask(dice, rng.randrange(1000), rng.random() < 0.7, rng.choice((0.0, 0.01, 1.0)), pause)
    if which < 92:
        return Spoil(rule(), pause)
    if which < 95:
        return Heal(pause)
    if which < 99:
        unseen = tuple((rng.randrange(1000), rng.randrange(1000)) for _ in range(rng.randrange(4)))
        return Restart(unseen, rng.choice((0.0, 0.01, 0.2)), pause)
    return Replace(rng.randrange(3), pause)
