"""The soak of `make soak`, short: a minute's worth."""

from __future__ import annotations

import pytest

from tests.lab.site import Site
from tests.real.soak_restarts import Plan, soak

pytestmark = [pytest.mark.real, pytest.mark.anyio, pytest.mark.slow]


@pytest.mark.parametrize("seed", [1])
async def test_watch_through_restarts_loses_and_invents_nothing(qemu: Site, seed: int) -> None:
    """Four restarts and eighty changes on each loop."""
    run = await soak(Plan(seconds=15, restarts=4, changes=80, seed=seed), qemu)
    assert run.restarts == 4
    assert run.done.total() >= 80
    assert run.audits > 0
