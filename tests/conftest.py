"""Every async test runs on asyncio, uvloop and trio: `@pytest.mark.anyio` (or `pytestmark`) is all it takes.

Each of them is guarded (`fix_loop.py`): a loop that stands still for 100 ms fails its test. The other plug-ins hold
fixtures: `fix_lab.py` real hypervisors, `fix_leaks.py` what must not be left behind. `fix_proof.py` prints what the
proof has reached.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("tests.lab", "tests.real.soak_restarts")
pytest_plugins = ["tests.fix_lab", "tests.fix_leaks", "tests.fix_loop", "tests.fix_proof"]

settings.register_profile("avirt", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("soak", parent=settings.get_profile("avirt"), max_examples=10_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "avirt"))


@pytest.fixture(
    params=[
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
        pytest.param(("trio", {}), id="trio"),
    ]
)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """The three loops."""
    backend: tuple[str, dict[str, Any]] = request.param
    return backend
