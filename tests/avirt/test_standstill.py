"""Standstill: a process that was stopped, a machine that was suspended."""

from __future__ import annotations

import time

import anyio
import pytest

from avirt.standstill import EVERY, LONG, Standstill, boottime, stood_still
from tests.avirt.worlds import make_world, watched


def test_standstill_of_a_process_is_how_late_it_wakes() -> None:
    watch = Standstill(100.0, 500.0)
    assert watch.look(100.0 + EVERY, 500.0 + EVERY) == 0.0
    assert watch.look(130.0 + EVERY, 530.0 + EVERY) == pytest.approx(30.0 - EVERY)
    assert watch.look(131.0, 531.0) == 0.0


def test_standstill_of_a_machine_is_what_its_timers_do_not_know_of() -> None:
    watch = Standstill(100.0, 500.0)
    assert watch.look(100.0 + EVERY, 3500.0 + EVERY) == pytest.approx(3000.0)
    assert watch.look(100.0 + 2 * EVERY, 3500.0 + 2 * EVERY) == 0.0


def test_boottime_is_never_behind_the_monotonic_clock() -> None:
    before = time.monotonic()
    assert boottime() >= before


@pytest.mark.trio
async def test_standstill_is_noticed_on_waking(autojump_clock: object) -> None:
    asleep = 0.0

    def boot() -> float:
        return anyio.current_time() + asleep

    still: list[float] = []

    async def watch() -> None:
        still.append(await stood_still(boot))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        await anyio.sleep(100)
        asleep += LONG - 1  # too short
        await anyio.sleep(100)
        assert still == []
        asleep += 3600
        await anyio.sleep(EVERY + 0.1)
        assert still == [pytest.approx(3600)]


@pytest.mark.trio
async def test_standstill_nothing_is_noticed_where_time_passes(autojump_clock: object) -> None:
    world = make_world("a")
    async with watched(world) as host, host.watch() as changes:
        await anyio.sleep(3600)
        assert changes.lag == 0
