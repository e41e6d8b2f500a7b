"""Many lives, a count of what they reached, and what is said of one that does not hold: how to live it again, and the
least of it that fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

import anyio
import msgspec
from msgspec.structs import replace

from tests.proof.lives import Life
from tests.proof.loops import JUMPING, Loop, run
from tests.proof.plans import Plan, Round, plan_of
from tests.proof.reach import Reach

__all__ = ["Disproved", "Tally", "prove", "shrunk"]

AT_ONCE: Final = 60
"""Lives on a loop whose clock can't jump: they wait at the same time."""
TRIES: Final = 150
"""Lives that shrinking may take."""


class Tally(msgspec.Struct):
    """What was proved. `runs`: rounds that were judged."""

    lives: int = 0
    runs: int = 0
    reach: Reach = msgspec.field(default_factory=Reach)

    def add(self, life: Life) -> None:
        """One more life that held."""
        self.lives += 1
        self.runs += life.judged
        self.reach += life.reach


class Disproved(AssertionError):
    """A life did not hold."""

    def __init__(self, loop: Loop, life: Life, error: BaseException) -> None:
        plan = life.plan
        super().__init__(
            f"{foremost(error)!r}\n"
            f"on {loop}, round {life.judged} of the life of seed {plan.seed}; again, and shrunk, by:\n"
            f"  python -m tests.proof --loop {loop} --seed {plan.seed} --lives 1\n"
            f"what happened last:\n" + "\n".join(life.log[-30:])
        )
        self.loop = loop
        self.plan = plan


def foremost(error: BaseException) -> BaseException:
    """What is in a group of one."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def prove(loop: Loop, seeds: Iterable[int], tally: Tally) -> None:
    """Live the lives of these seeds.

    Raises:
        Disproved: the first that does not hold.
    """
    plans = (plan_of(seed, patient=loop in JUMPING) for seed in seeds)
    if loop in JUMPING:
        for plan in plans:
            life = Life(plan)
            try:
                run(loop, life.run, seed=plan.seed)
            except Exception as error:
                raise Disproved(loop, life, error) from error
            tally.add(life)
    else:
        run(loop, lambda: _together(loop, [Life(plan) for plan in plans], tally))


async def _together(loop: Loop, lives: list[Life], tally: Tally) -> None:
    slots = anyio.Semaphore(AT_ONCE)
    failures: list[Disproved] = []

    async def live(life: Life) -> None:
        async with slots:
            if failures:
                return
            try:
                await life.run()
            except Exception as error:
                failures.append(Disproved(loop, life, error))
            else:
                tally.add(life)

    async with anyio.create_task_group() as tasks:
        for life in lives:
            tasks.start_soon(live, life)
    if failures:
        raise failures[0]


def fails(loop: Loop, plan: Plan) -> bool:
    """Whether a plan does not hold."""
    try:
        run(loop, Life(plan).run, seed=plan.seed)
    except Exception:
        return True
    return False


def shrunk(plan: Plan, still_fails: Callable[[Plan], bool], *, tries: int = TRIES) -> Plan:
    """A plan with as little in it as still fails: rounds, steps, readers, faults are taken out, larger parts first."""
    left = tries

    def is_worse(smaller: Plan) -> bool:
        nonlocal left
        left -= 1
        return left >= 0 and still_fails(smaller)

    for part in ("rounds", "opening"):
        plan = _less(plan, partial(_with, part), getattr(plan, part), is_worse)
    for index in range(len(plan.rounds)):
        for part in ("steps", "readers"):
            plan = _less(plan, partial(_with_round, index, part), getattr(plan.rounds[index], part), is_worse)
    return plan


def _with(part: str, plan: Plan, some: tuple[object, ...]) -> Plan:
    return replace(plan, **{part: some})


def _with_round(index: int, part: str, plan: Plan, some: tuple[object, ...]) -> Plan:
    changed: Round = replace(plan.rounds[index], **{part: some})
    return replace(plan, rounds=(*plan.rounds[:index], changed, *plan.rounds[index + 1 :]))


def _less(
    plan: Plan,
    put: Callable[[Plan, tuple[object, ...]], Plan],
    items: tuple[object, ...],
    is_worse: Callable[[Plan], bool],
) -> Plan:
    """Take out slices of these, half of them at first, as long as what is left fails."""
    size = len(items)
    while size:
        at = 0
        while at < len(items):
            some = (*items[:at], *items[at + size :])
            if is_worse(smaller := put(plan, some)):
                plan, items = smaller, some
            else:
                at += size
        size //= 2
    return plan
