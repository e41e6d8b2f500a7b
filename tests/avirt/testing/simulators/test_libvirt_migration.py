"""Migration between two simulated daemons is as between real ones (`tests/real/test_migration.py`)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from avirt.testing import LibvirtSim
from tests.lab.migration import Migration
from tests.lab.place import Place
from tests.lab.sim_site import SimSite


class TestSim(Migration):
    """Their worlds are the oracles."""

    @pytest.fixture
    async def site(self, anyio_backend: object) -> AsyncIterator[Place]:
        async with LibvirtSim(name="here") as sim:
            yield SimSite(sim)

    @pytest.fixture
    async def other(self, anyio_backend: object) -> AsyncIterator[Place]:
        async with LibvirtSim(name="there") as sim:
            yield SimSite(sim)

    async def move(self, site: Place, other: Place, *, persistent: bool = False) -> None:
        assert isinstance(site, SimSite)
        assert isinstance(other, SimSite)
        site.sim.migrate("mover", other.sim, persistent=persistent, undefine=persistent)
