"""Live migration between two hosts as both tell it: one suite, for real daemons and for simulated ones."""

from __future__ import annotations

from typing import Final

import pytest

import avirt
from avirt.model.state import DomainState, RunningReason, ShutoffReason
from tests.lab.guests import firmware
from tests.lab.orders import telling
from tests.lab.place import Place
from tests.lab.recording import record

__all__ = ["Migration"]

SOURCE: Final = ["iteration", "Suspended Migrated#", "iteration", "Stopped Migrated", "job 5"]
PAUSED_SOURCE: Final = ["iteration", "iteration", "Stopped Migrated", "job 5"]


class Migration:
    """A test module gives the fixtures `site` and `other`, and the method `move`."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def site(self) -> Place:
        """The source."""
        raise NotImplementedError("a test gives the fixture `site`")

    @pytest.fixture
    def other(self) -> Place:
        """The target."""
        raise NotImplementedError("a test gives the fixture `other`")

    async def move(self, site: Place, other: Place, *, persistent: bool = False) -> None:
        """Migrate the domain "mover". Persistent: its definition goes along, and is gone at the source."""
        raise NotImplementedError("a test gives the method `move`")

    async def test_migration_is_seen_on_both_sides(self, site: Place, other: Place) -> None:
        """Gone here with the reason `migrated` (persistent: still defined), running there."""
        await site.define(firmware("mover"))
        await site.virsh("start", "mover")
        async with (
            avirt.connect(site.uri, name="here") as here,
            avirt.connect(other.uri, name="there") as there,
            record(here.watch()) as left,
            record(there.watch()) as arrived,
        ):
            await self.move(site, other)
            await left.settles(site)
            await arrived.settles(other)
            await site.agree()
            await other.agree()
            (source,) = left.replayed().values()
            (copy,) = arrived.replayed().values()
            assert source.uuid == copy.uuid
            assert (source.state, source.reason) == (DomainState.SHUTOFF, ShutoffReason.MIGRATED)
            assert (copy.state, copy.reason) == (DomainState.RUNNING, RunningReason.MIGRATED)
            assert source.id is None
            assert copy.persistent is False

    async def test_definition_that_goes_along_is_gone_here_and_told_there(self, site: Place, other: Place) -> None:
        """No UNDEFINED tells of it, yet it is removed here."""
        await site.define(firmware("mover"))
        await site.virsh("start", "mover")
        async with (
            avirt.connect(site.uri, name="here") as here,
            record(here.watch()) as left,
            telling(site) as told_here,
            telling(other) as told_there,
        ):
            await self.move(site, other, persistent=True)
            await told_here.until(len(SOURCE))
            await told_there.until(3)
            assert told_here.words == SOURCE
            assert told_there.words == ["Started Migrated#", "Defined Added#", "Resumed Migrated#"]
            assert await left.settles(site) == {}
        (row,) = (await other.agree()).values()
        assert (row["state"], row["persistent"]) == ("running", True)

    async def test_paused_domain_arrives_paused(self, site: Place, other: Place) -> None:
        """And nobody says that it was suspended for it."""
        await site.define(firmware("mover"))
        await site.virsh("start", "mover")
        await site.virsh("suspend", "mover")
        async with telling(site) as told_here, telling(other) as told_there:
            await self.move(site, other, persistent=True)
            await told_here.until(len(PAUSED_SOURCE))
            await told_there.until(3)
            assert told_here.words == PAUSED_SOURCE
            assert told_there.words == ["Started Migrated#", "Defined Added#", "Suspended Paused#"]
        (row,) = (await other.agree()).values()
        assert (row["state"], row["reason"]) == ("paused", "user")
