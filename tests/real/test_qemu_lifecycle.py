"""QEMU domains through libvirt: what virsh does is seen, what avirt does is done, and after every step both agree."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest

import avirt
from avirt.model.change import Added, Rebooted, Removed, Renamed, StateChanged, Updated
from avirt.model.state import DomainState, PausedReason, RunningReason, ShutoffReason
from tests.lab.guests import firmware
from tests.lab.recording import record
from tests.lab.site import Site

pytestmark = [pytest.mark.real, pytest.mark.anyio, pytest.mark.slow]


async def test_whole_life_by_virsh_is_seen_step_by_step(qemu: Site) -> None:
    """Define, start, suspend, resume, destroy, undefine: one Change of state each, in order, none invented."""
    async with avirt.connect(qemu.uri) as host, record(host.watch()) as seen:
        await qemu.define(firmware("life"))
        await seen.some(Added)
        await qemu.agree()
        for verb, state, reason in (
            ("start", DomainState.RUNNING, RunningReason.BOOTED),
            ("suspend", DomainState.PAUSED, PausedReason.USER),
            ("resume", DomainState.RUNNING, RunningReason.UNPAUSED),
            ("destroy", DomainState.SHUTOFF, ShutoffReason.DESTROYED),
        ):
            await qemu.virsh(verb, "life")
            await seen.settles(qemu)
            (last,) = seen.replayed().values()
            assert (last.state, last.reason) == (state, reason)
            await qemu.agree()
        await qemu.virsh("undefine", "life")
        await seen.some(Removed)
        assert await qemu.agree() == {}
    assert seen.states("life") == ["shutoff", "running", "paused", "running", "shutoff"]
    assert len(seen.of(Added)) == len(seen.of(Removed)) == 1
    assert seen.of(Rebooted) == []


async def test_whole_life_by_avirt_is_observed_by_its_verbs(qemu: Site) -> None:
    """Each verb returns when its effect was seen; virsh sees the same then."""
    async with avirt.connect(qemu.uri) as host:
        domain = await host.define(firmware("verbs"))
        assert domain.state is DomainState.SHUTOFF
        await qemu.agree()
        for verb, state in (
            (domain.start, "running"),
            (domain.suspend, "paused"),
            (domain.resume, "running"),
            (domain.destroy, "shutoff"),
        ):
            outcome = await verb()
            assert outcome.changed
            assert outcome.observed
            assert outcome.record is not None
            assert outcome.record.state.name.lower() == state
            truth = await qemu.agree()
            assert truth[str(domain.uuid)]["state"] == state
        outcome = await domain.undefine()
        assert outcome.record is None
        assert await qemu.agree() == {}
        assert not domain.exists


async def test_verb_whose_effect_is_there_already_says_unchanged(qemu: Site) -> None:
    """Started twice, destroyed twice: success, and nothing changed."""
    async with avirt.connect(qemu.uri) as host:
        domain = await host.define(firmware("twice"))
        assert (await domain.start()).changed
        assert not (await domain.start()).changed
        assert (await domain.destroy()).changed
        assert not (await domain.destroy()).changed
        await qemu.agree()


async def test_start_paused_is_paused(qemu: Site) -> None:
    """`--paused` starts no CPU."""
    async with avirt.connect(qemu.uri) as host:
        domain = await host.define(firmware("held"))
        outcome = await domain.start(paused=True)
        assert outcome.record is not None
        assert outcome.record.state is DomainState.PAUSED
        await qemu.agree()


async def test_transient_domain_stops_and_is_removed(qemu: Site) -> None:
    """It goes to SHUTOFF, then it is gone: two Changes, in this order."""
    async with avirt.connect(qemu.uri) as host, record(host.watch()) as seen:
        await qemu.create(firmware("passing"))
        await seen.settles(qemu)
        (added,) = seen.of(Added)
        assert added.after is not None
        assert added.after.persistent is False or seen.of(Updated)[-1].after is not None
        await qemu.agree()
        await qemu.virsh("destroy", "passing")
        await seen.some(Removed)
        assert await qemu.agree() == {}
    assert seen.states("passing") == ["running", "shutoff"]
    assert isinstance(seen.items[-1], Removed)


async def test_undefine_while_running_is_an_update(qemu: Site) -> None:
    """It goes on, transient; it is removed when it stops."""
    async with avirt.connect(qemu.uri) as host, record(host.watch()) as seen:
        await qemu.define(firmware("orphan"))
        await qemu.virsh("start", "orphan")
        await seen.settles(qemu)
        await qemu.virsh("undefine", "orphan")
        await seen.settles(qemu)
        assert seen.of(Removed) == []
        (last,) = seen.replayed().values()
        assert last.state is DomainState.RUNNING
        assert last.persistent is False
        await qemu.agree()
        await qemu.virsh("destroy", "orphan")
        await seen.some(Removed)
        assert await qemu.agree() == {}


async def test_define_of_a_running_transient_domain_makes_it_persistent(qemu: Site) -> None:
    """The other way round: nothing is added, something is updated."""
    uuid = uuid4()
    async with avirt.connect(qemu.uri) as host, record(host.watch()) as seen:
        await qemu.create(firmware("kept", uuid=uuid))
        await seen.settles(qemu)
        await qemu.define(firmware("kept", uuid=uuid))
        await seen.settles(qemu)
        (last,) = seen.replayed().values()
        assert last.persistent is True
        assert len(seen.of(Added)) == 1
        await qemu.agree()


async def test_rename_keeps_the_domain(qemu: Site) -> None:
    """One `Renamed`; no removal, no addition. By virsh and by avirt."""
    async with avirt.connect(qemu.uri) as host, record(host.watch()) as seen:
        domain = await host.define(firmware("old"))
        await qemu.virsh("domrename", "old", "new")
        renamed = await seen.some(Renamed)
        assert (renamed.old, renamed.new) == ("old", "new")
        await qemu.agree()
        await domain.rename("newer")
        assert domain.name == "newer"
        await seen.settles(qemu)
        await qemu.agree()
    assert len(seen.of(Added)) == 1
    assert seen.of(Removed) == []
    assert [(change.old, change.new) for change in seen.of(Renamed)] == [("old", "new"), ("new", "newer")]


async def test_two_names_are_swapped(qemu: Site) -> None:
    """By way of a third."""
    async with avirt.connect(qemu.uri) as host, record(host.watch()) as seen:
        await qemu.define(firmware("left"))
        await qemu.define(firmware("right"))
        for old, new in (("left", "third"), ("right", "left"), ("third", "right")):
            await qemu.virsh("domrename", old, new)
        await seen.settles(qemu)
        await qemu.agree()
    assert len(seen.of(Renamed)) == 3
    assert seen.of(Removed) == []


async def test_same_name_with_another_uuid_is_another_domain(qemu: Site) -> None:
    """Undefined and defined anew under the same name: one goes, one comes."""
    async with avirt.connect(qemu.uri) as host, record(host.watch()) as seen:
        await qemu.define(firmware("phoenix"))
        await qemu.virsh("undefine", "phoenix")
        await qemu.define(firmware("phoenix"))
        await seen.settles(qemu)
        await qemu.agree()
    first, second = seen.of(Added)
    (removed,) = seen.of(Removed)
    assert removed.uuid == first.uuid != second.uuid


async def test_managed_save_and_restore(qemu: Site) -> None:
    """Saved it is SHUTOFF(saved); the next start restores it."""
    async with avirt.connect(qemu.uri) as host, record(host.watch()) as seen:
        domain = await host.define(firmware("kept"))
        await domain.start()
        outcome = await domain.managed_save()
        assert outcome.record is not None
        assert outcome.record.reason is ShutoffReason.SAVED
        assert outcome.record.id is None
        await qemu.agree()
        await qemu.virsh("start", "kept")
        await domain.wait_for(DomainState.RUNNING, timeout=30)
        await seen.settles(qemu)
        assert domain.record.reason is RunningReason.RESTORED
        await qemu.agree()


async def test_managed_save_image_can_be_dropped(qemu: Site) -> None:
    """Without it, the next start boots."""
    async with avirt.connect(qemu.uri) as host:
        domain = await host.define(firmware("dropped"))
        await domain.start()
        await domain.managed_save()
        assert (await domain.info()).managed_save is True
        await domain.managed_save_remove()
        assert (await domain.info()).managed_save is False
        await domain.start()
        await qemu.agree()
        assert domain.record.reason is RunningReason.BOOTED


async def test_save_to_a_file_and_restore(qemu: Site) -> None:
    """The same by hand."""
    image = str(qemu.daemon.run / "image")
    async with avirt.connect(qemu.uri) as host:
        domain = await host.define(firmware("filed"))
        await domain.start()
        await domain.save("/run/libvirt/image")
        assert domain.record.reason is ShutoffReason.SAVED
        await qemu.agree()
        outcome = await host.restore("/run/libvirt/image")
        assert outcome.changed
        await domain.wait_for(DomainState.RUNNING, timeout=30)
        await qemu.agree()
    assert image


async def test_reset_is_one_reboot_though_libvirt_says_it_twice(qemu: Site) -> None:
    """The firmware resets the machine once more: two events, one `Rebooted`."""
    async with avirt.connect(qemu.uri) as host, record(host.watch()) as seen:
        domain = await host.define(firmware("button"))
        await domain.start()
        mark = len(seen.items)
        outcome = await domain.reset()
        assert outcome.observed
        await qemu.virsh("suspend", "button")  # behind both resets in the stream
        await domain.wait_for(DomainState.PAUSED, timeout=30)
        assert len(seen.of(Rebooted, after=mark)) == 1
        await seen.settles(qemu)
        await qemu.agree()


async def test_autostart_is_seen(qemu: Site) -> None:
    """Set by avirt it is in the view at once and virsh says so; there is no event for it in libvirt 9."""
    async with avirt.connect(qemu.uri) as host:
        domain = await host.define(firmware("early"))
        assert domain.record.autostart is False
        for enabled in (True, False):
            await domain.set_autostart(enabled)
            assert domain.record.autostart is enabled
            truth = await qemu.agree()
            assert truth[str(domain.uuid)]["autostart"] is enabled


async def test_killed_emulator_is_never_believed_to_run_at_rest(qemu: Site) -> None:
    """libvirt goes on saying RUNNING for a while; the end of it is SHUTOFF, as virsh says, with no id."""
    async with avirt.connect(qemu.uri) as host, record(host.watch()) as seen:
        domain = await host.define(firmware("murdered"))
        await domain.start()
        await qemu.signal_guest("murdered", "KILL")
        last = await domain.wait_for(DomainState.SHUTOFF, DomainState.CRASHED, timeout=30)
        assert last.id is None
        await seen.settles(qemu)
        truth = await qemu.agree()
        assert truth[str(domain.uuid)]["state"] == "shutoff"
    assert [change.after.state for change in seen.of(StateChanged) if change.after][-1] is DomainState.SHUTOFF


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
