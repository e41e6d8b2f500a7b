"""A Linux guest under QEMU: what only an operating system answers. Each test on one loop, all three in turn: a boot
in software emulation takes seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

import avirt
from avirt.model.change import Rebooted, Removed, StateChanged
from avirt.model.command import ShutdownMode
from avirt.model.native_event import AgentLifecycle
from avirt.model.state import CrashedReason, DomainState, ShutoffReason
from tests.lab.guests import linux
from tests.lab.orders import GUEST_ORDERS, plain, telling
from tests.lab.recording import Recording, record
from tests.lab.site import Site

pytestmark = [pytest.mark.real, pytest.mark.anyio, pytest.mark.slow]

ON_ASYNCIO = pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": False})], ids=["asyncio"])
ON_UVLOOP = pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": True})], ids=["uvloop"])
ON_TRIO = pytest.mark.parametrize("anyio_backend", [("trio", {})], ids=["trio"])

BOOT = 90.0
"""Seconds. It takes five on a quiet machine."""


async def booted(seen: Recording) -> None:
    """The guest's agent has connected: it is up."""

    def is_up() -> bool:
        return any(event.state == "connected" for event in seen.of(AgentLifecycle))

    await seen.until(is_up, "the agent", patience=BOOT)


@ON_ASYNCIO
async def test_power_button_shuts_it_down(qemu: Site, guest_images: Path) -> None:
    """`shutdown` returns when it was seen down; SHUTDOWN is on the way."""
    async with avirt.connect(qemu.uri) as host, record(host.watch()) as seen, telling(qemu) as told:
        domain = await host.define(linux("acpi", guest_images))
        await domain.start()
        await booted(seen)
        outcome = await domain.shutdown(modes=[ShutdownMode.ACPI], timeout=BOOT)
        assert outcome.changed
        assert outcome.record is not None
        assert outcome.record.state is DomainState.SHUTOFF
        assert outcome.record.reason is ShutoffReason.SHUTDOWN
        await seen.settles(qemu)
        await qemu.agree()
        assert plain(told.words[1:]) == plain(GUEST_ORDERS["powers off"])
    assert seen.states("acpi") == ["shutoff", "running", "shutoff"]


@ON_UVLOOP
async def test_agent_shuts_it_down(qemu: Site, guest_images: Path) -> None:
    """By the agent, asked by the command line."""
    async with avirt.connect(qemu.uri) as host, record(host.watch()) as seen:
        domain = await host.define(linux("agent", guest_images))
        await domain.start()
        await booted(seen)
        await qemu.avirt("shutdown", "agent", "--mode", "agent")
        await domain.wait_for(DomainState.SHUTOFF, timeout=BOOT)
        await seen.settles(qemu)
        await qemu.agree()


@ON_TRIO
async def test_reboot_keeps_it_running(qemu: Site, guest_images: Path) -> None:
    """One `Rebooted`, the same runtime id, running all the time; the agent connects again."""
    async with avirt.connect(qemu.uri) as host, record(host.watch()) as seen, telling(qemu) as told:
        domain = await host.define(linux("again", guest_images))
        await domain.start()
        await booted(seen)
        before = domain.id
        outcome = await domain.reboot(modes=[ShutdownMode.AGENT], timeout=BOOT)
        assert outcome.observed
        await seen.settles(qemu)
        assert domain.id == before
        assert len(seen.of(Rebooted)) == 1
        assert seen.states("again") == ["shutoff", "running"]
        await told.until(4)
        assert plain(told.words[1:]) == plain(GUEST_ORDERS["reboots"])
        await qemu.agree()


@ON_ASYNCIO
async def test_panic_is_crashed_and_still_there(qemu: Site, guest_images: Path) -> None:
    """With on_crash=preserve: CRASHED(panicked), active, until someone destroys it."""
    async with avirt.connect(qemu.uri) as host, record(host.watch()) as seen, telling(qemu) as told:
        domain = await host.create(linux("panic", guest_images, arguments="lab.panic"))
        last = await domain.wait_for(DomainState.CRASHED, timeout=BOOT)
        assert last.reason is CrashedReason.PANICKED
        assert last.active
        assert last.id is not None
        await seen.settles(qemu)
        await qemu.agree()
        assert plain(told.words) == plain(GUEST_ORDERS["panics, preserved"])
        await domain.destroy()
        await seen.some(Removed)
        assert await qemu.agree() == {}


@ON_UVLOOP
async def test_panic_with_on_crash_destroy_ends_it(qemu: Site, guest_images: Path) -> None:
    """It ends as SHUTOFF(crashed), as virsh says."""
    async with avirt.connect(qemu.uri) as host, record(host.watch()) as seen, telling(qemu) as told:
        domain = await host.define(linux("burned", guest_images, arguments="lab.panic", on_crash="destroy"))
        await domain.start()
        await domain.wait_for(DomainState.SHUTOFF, timeout=BOOT)
        await seen.settles(qemu)
        truth = await qemu.agree()
        assert truth[str(domain.uuid)]["reason"] == "crashed"
        assert plain(told.words[1:]) == plain(GUEST_ORDERS["panics, destroyed"])


@ON_TRIO
async def test_guest_that_powers_off_by_itself_is_seen(qemu: Site, guest_images: Path) -> None:
    """Nobody asked; SHUTOFF(shutdown) all the same."""
    async with avirt.connect(qemu.uri) as host, record(host.watch()) as seen:
        domain = await host.define(linux("tired", guest_images, arguments="lab.off"))
        await domain.start()
        last = await domain.wait_for(DomainState.SHUTOFF, timeout=BOOT)
        assert last.reason is ShutoffReason.SHUTDOWN
        await seen.settles(qemu)
        await qemu.agree()
    assert seen.of(StateChanged)
