"""A lifecycle that goes on where an earlier process ended: as after a lost connection."""

from __future__ import annotations

from uuid import UUID

import pytest
from msgspec.structs import replace

from avirt.model.change import HostLost, HostReplaced, Origin
from avirt.model.observation import LinkLost
from avirt.model.record import HostFacts
from tests.avirt.lifecycle.lab import FACTS, KEY, OFF, OTHER, RUNNING, Lab, kinds


def recalled(*, connected: bool = True, facts: HostFacts | None = FACTS) -> Lab:
    """Two domains, one running, one off."""
    before = Lab()
    before.listing(before.observe(RUNNING, id=3), before.observe(OFF, key=OTHER, name="db"))
    lab = Lab(connected=False)
    lab.lifecycle.recall(before.lifecycle.records.values(), facts=facts, revision=7, connected=connected)
    lab.view.update(before.view)
    return lab


def test_recalled_host_tells_that_nobody_watched_and_then_every_difference() -> None:
    lab = recalled()
    (lost,) = lab.step(LinkLost("not running"))
    assert isinstance(lost, HostLost)
    assert lost.revision == 8
    assert kinds(lab.link_up()) == ["host_connected"]
    changes = lab.listing(lab.observe(OFF))
    assert kinds(changes) == ["removed", "state_changed", "host_resynced"]
    assert {change.origin for change in changes} == {Origin.RESYNC}
    assert [change.revision for change in changes] == [10, 11, 12]


def test_recalled_domains_that_are_as_they_were_are_not_told_again() -> None:
    lab = recalled()
    lab.step(LinkLost("not running"))
    lab.link_up()
    assert kinds(lab.listing(lab.observe(RUNNING, id=3), lab.observe(OFF, key=OTHER, name="db"))) == ["host_resynced"]


def test_recalled_domain_that_has_another_runtime_id_is_told() -> None:
    lab = recalled()
    lab.link_up()
    told = lab.listing(lab.observe(RUNNING, id=9), lab.observe(OFF, key=OTHER, name="db"))
    assert kinds(told) == ["updated", "host_resynced"]
    assert lab.lifecycle.records[KEY].id == 9


@pytest.mark.parametrize("facts", [FACTS, None])
def test_recalled_host_that_was_lost_already_is_not_lost_again(facts: HostFacts | None) -> None:
    lab = recalled(connected=False, facts=facts)
    assert lab.step(LinkLost("not running")) == []


def test_recalled_host_may_be_another_one_by_now() -> None:
    lab = recalled()
    lab.step(LinkLost("not running"))
    replaced, connected = lab.link_up(replace(FACTS, uuid=UUID(int=2)))
    assert isinstance(replaced, HostReplaced)
    assert connected.revision == 10
    assert kinds(lab.listing(lab.observe(OFF))) == ["added", "host_resynced"]
