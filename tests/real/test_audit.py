"""Audits of a real libvirtd while virsh changes everything: no event is ever missed, so nothing is found."""

from __future__ import annotations

import anyio
import pytest

import avirt
from avirt.model.change import Origin, RecordChange, Updated
from tests.lab.guests import firmware
from tests.lab.recording import record
from tests.lab.site import Site

pytestmark = [pytest.mark.real, pytest.mark.anyio, pytest.mark.slow]

EVERY = 0.2
STEPS = (
    "start web",
    "suspend web",
    "resume web",
    "reset web",
    "managedsave web",
    "start web",
    "undefine web --managed-save",
    "destroy web",
    "start old",
    "destroy old",
    "domrename old new",
    "autostart new",
    "start new --paused",
    "resume new",
)


async def test_audit_stays_at_zero_while_virsh_changes_everything(qemu: Site) -> None:
    async with avirt.connect(qemu.uri, audit=EVERY) as host, record(host.watch()) as seen:
        await qemu.define(firmware("web"))
        await qemu.define(firmware("old"))
        for step in STEPS:
            await qemu.virsh(*step.split())
        with anyio.fail_after(60):
            while host.audit.runs < 5:
                await qemu.agree()
        assert host.audit.mismatches == 0
        assert host.audit.failed == 0
        found = [change for change in seen.of(RecordChange) if change.origin is Origin.AUDIT]
        assert [(type(change), change.name) for change in found] in ([], [(Updated, "new")])  # autostart, untold
