"""QEMU domains through libvirt: `tests/lab/lifecycle.py` against a real daemon; avirt's command line beside virsh."""

from __future__ import annotations

import json

import pytest

from tests.lab.guests import firmware
from tests.lab.lifecycle import Lifecycle
from tests.lab.place import Place
from tests.lab.site import Site

pytestmark = [pytest.mark.real, pytest.mark.anyio, pytest.mark.slow]


class TestQemu(Lifecycle):
    """virsh is the oracle."""

    @pytest.fixture
    def site(self, qemu: Site) -> Place:
        return qemu


async def test_whole_life_by_the_command_line(qemu: Site) -> None:
    """virsh's words, in avirt's mouth; virsh agrees after each."""
    file = qemu.file(firmware("cli"))
    await qemu.avirt("define", file)
    for verb, state, reason in (
        ("start", "running", "booted"),
        ("suspend", "paused", "user"),
        ("resume", "running", "unpaused"),
        ("managedsave", "shutoff", "saved"),
        ("start", "running", "restored"),
        ("reset", "running", "restored"),
        ("destroy", "shutoff", "destroyed"),
    ):
        await qemu.avirt(verb, "cli")
        (row,) = (await qemu.agree()).values()
        assert (row["state"], row["reason"]) == (state, reason), verb
    await qemu.avirt("autostart", "cli")
    (row,) = (await qemu.agree()).values()
    assert row["autostart"] is True
    await qemu.avirt("domrename", "cli", "said")
    (row,) = (await qemu.agree()).values()
    assert row["name"] == "said"
    await qemu.avirt("undefine", "said")
    assert await qemu.agree() == {}


async def test_plain_reads_of_the_command_line_are_virshs(qemu: Site) -> None:
    """dominfo and its kin print what virsh prints for the same question."""
    await qemu.define(firmware("asked"))
    await qemu.virsh("start", "asked")
    for words in (
        ("domstate", "asked"),
        ("domstate", "asked", "--reason"),
        ("domid", "asked"),
        ("domuuid", "asked"),
        ("list", "--name"),
        ("list", "--all", "--uuid"),
        ("hostname",),
        ("dumpxml", "asked", "--inactive"),
    ):
        answer = await qemu.avirt(*words)
        assert answer.stdout.split() == (await qemu.virsh(*words)).split(), words
    assert json.loads((await qemu.avirt("list", "-o", "json")).stdout)[0]["name"] == "asked"
