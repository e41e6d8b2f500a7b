"""The proof of promises 2 to 6, 8 and 9: random life, random faults, random readers, over libvirt's own protocol and
through the whole of avirt, ten thousand times. Then the truth is what the view says, and what every reader has.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.proof.lives import Life
from tests.proof.loops import Loop, run
from tests.proof.plans import ROUNDS, Heal, draw_plan, plan_of
from tests.proof.proving import Tally, prove, shrunk
from tests.proof.reach import missed, table

LIVES = {Loop.TRIO: 900, Loop.ASYNCIO: 900, Loop.UVLOOP: 200}
"""Those of uvloop take as long as they say."""


def test_proof_has_ten_thousand_runs() -> None:
    assert sum(LIVES.values()) * ROUNDS == 10_000


@pytest.mark.slow
@pytest.mark.parametrize("loop", Loop)
def test_every_run_ends_with_the_truth(loop: Loop, record_property: Callable[[str, object], None]) -> None:
    tally = Tally()
    prove(loop, range(LIVES[loop]), tally)
    assert tally.runs == LIVES[loop] * ROUNDS
    record_property("proof", f"{loop}: {tally.runs} runs in {tally.lives} lives\n" + "\n".join(table(tally.reach)))
    if loop is not Loop.UVLOOP:  # its clock is not ours
        assert missed(tally.reach) == []


@pytest.mark.slow
@settings(max_examples=60)
@given(st.randoms(use_true_random=False))
def test_every_run_that_hypothesis_thinks_of_ends_with_the_truth(dice: Random) -> None:
    run(Loop.ASYNCIO, Life(draw_plan(dice, 0, patient=True, rounds=2)).run)


@pytest.mark.slow
@pytest.mark.parametrize("loop", [Loop.TRIO, Loop.ASYNCIO])
def test_a_seed_gives_the_same_life_again(loop: Loop) -> None:
    logs = []
    for _ in range(2):
        life = Life(plan_of(17, patient=True))
        run(loop, life.run, seed=17)
        logs.append(life.log)
    assert logs[0] == logs[1]


def test_what_fails_is_shrunk_to_the_least_that_does() -> None:
    plan = plan_of(17, patient=True)
    step = Heal(pause=123.0)
    second = replace(plan.rounds[2], steps=(*plan.rounds[2].steps[:3], step, *plan.rounds[2].steps[3:]))
    plan = replace(plan, rounds=(*plan.rounds[:2], second, *plan.rounds[3:]))
    least = shrunk(plan, lambda smaller: any(step in each.steps for each in smaller.rounds))
    assert [each.steps for each in least.rounds] == [(step,)]
    assert least.rounds[0].readers == ()
    assert least.opening == ()
