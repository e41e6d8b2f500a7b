"""The life of domains as QEMU's driver of libvirt shows it: one suite, for a real daemon and for a simulated one.

What another client does is seen, what avirt does is done, and after every step both sides agree. A test module gives
the fixture `site` and the marks.
"""

from __future__ import annotations

from uuid import uuid4

import pytest

import avirt
from avirt.model.change import Added, Rebooted, Removed, Renamed, StateChanged, Updated
from avirt.model.state import DomainState, PausedReason, RunningReason, ShutoffReason
from tests.lab.guests import firmware
from tests.lab.place import Place
from tests.lab.recording import record

__all__ = ["Lifecycle"]


class Lifecycle:
    """See the module."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def site(self) -> Place:
        """QEMU's driver of a daemon, without domains."""
        raise NotImplementedError("a test gives the fixture `site`")

    async def test_whole_life_by_virsh_is_seen_step_by_step(self, site: Place) -> None:
        """Define, start, suspend, resume, destroy, undefine: one Change of state each, in order, none invented."""
        async with avirt.connect(site.uri) as host, record(host.watch()) as seen:
            await site.define(firmware("life"))
            await seen.some(Added)
            await site.agree()
            for verb, state, reason in (
                ("start", DomainState.RUNNING, RunningReason.BOOTED),
                ("suspend", DomainState.PAUSED, PausedReason.USER),
                ("resume", DomainState.RUNNING, RunningReason.UNPAUSED),
                ("destroy", DomainState.SHUTOFF, ShutoffReason.DESTROYED),
            ):
                await site.virsh(verb, "life")
                await seen.settles(site)
                (last,) = seen.replayed().values()
                assert (last.state, last.reason) == (state, reason)
                await site.agree()
            await site.virsh("undefine", "life")
            await seen.some(Removed)
            assert await site.agree() == {}
        assert seen.states("life") == ["shutoff", "running", "paused", "running", "shutoff"]
        assert len(seen.of(Added)) == len(seen.of(Removed)) == 1
        assert seen.of(Rebooted) == []

    async def test_whole_life_by_avirt_is_observed_by_its_verbs(self, site: Place) -> None:
        """Each verb returns when its effect was seen; virsh sees the same then."""
        async with avirt.connect(site.uri) as host:
            domain = await host.define(firmware("verbs"))
            assert domain.state is DomainState.SHUTOFF
            await site.agree()
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
                truth = await site.agree()
                assert truth[str(domain.uuid)]["state"] == state
            outcome = await domain.undefine()
            assert outcome.record is None
            assert await site.agree() == {}
            assert not domain.exists

    async def test_verb_whose_effect_is_there_already_says_unchanged(self, site: Place) -> None:
        """Started twice, destroyed twice: success, and nothing changed."""
        async with avirt.connect(site.uri) as host:
            domain = await host.define(firmware("twice"))
            assert (await domain.start()).changed
            assert not (await domain.start()).changed
            assert (await domain.destroy()).changed
            assert not (await domain.destroy()).changed
            await site.agree()

    async def test_start_paused_is_paused(self, site: Place) -> None:
        """`--paused` starts no CPU."""
        async with avirt.connect(site.uri) as host:
            domain = await host.define(firmware("held"))
            outcome = await domain.start(paused=True)
            assert outcome.record is not None
            assert outcome.record.state is DomainState.PAUSED
            await site.agree()

    async def test_transient_domain_stops_and_is_removed(self, site: Place) -> None:
        """It goes to SHUTOFF, then it is gone: two Changes, in this order."""
        async with avirt.connect(site.uri) as host, record(host.watch()) as seen:
            await site.create(firmware("passing"))
            await seen.settles(site)
            (added,) = seen.of(Added)
            assert added.after is not None
            assert added.after.persistent is False or seen.of(Updated)[-1].after is not None
            await site.agree()
            await site.virsh("destroy", "passing")
            await seen.some(Removed)
            assert await site.agree() == {}
        assert seen.states("passing") == ["running", "shutoff"]
        assert isinstance(seen.items[-1], Removed)

    async def test_undefine_while_running_is_an_update(self, site: Place) -> None:
        """It goes on, transient; it is removed when it stops."""
        async with avirt.connect(site.uri) as host, record(host.watch()) as seen:
            await site.define(firmware("orphan"))
            await site.virsh("start", "orphan")
            await seen.settles(site)
            await site.virsh("undefine", "orphan")
            await seen.settles(site)
            assert seen.of(Removed) == []
            (last,) = seen.replayed().values()
            assert last.state is DomainState.RUNNING
            assert last.persistent is False
            await site.agree()
            await site.virsh("destroy", "orphan")
            await seen.some(Removed)
            assert await site.agree() == {}

    async def test_define_of_a_running_transient_domain_makes_it_persistent(self, site: Place) -> None:
        """The other way round: nothing is added, something is updated."""
        uuid = uuid4()
        async with avirt.connect(site.uri) as host, record(host.watch()) as seen:
            await site.create(firmware("kept", uuid=uuid))
            await seen.settles(site)
            await site.define(firmware("kept", uuid=uuid))
            await seen.settles(site)
            (last,) = seen.replayed().values()
            assert last.persistent is True
            assert len(seen.of(Added)) == 1
            await site.agree()

    async def test_rename_keeps_the_domain(self, site: Place) -> None:
        """One `Renamed`; no removal, no addition. By virsh and by avirt."""
        async with avirt.connect(site.uri) as host, record(host.watch()) as seen:
            domain = await host.define(firmware("old"))
            await site.virsh("domrename", "old", "new")
            renamed = await seen.some(Renamed)
            assert (renamed.old, renamed.new) == ("old", "new")
            await site.agree()
            await domain.rename("newer")
            assert domain.name == "newer"
            await seen.settles(site)
            await site.agree()
        assert len(seen.of(Added)) == 1
        assert seen.of(Removed) == []
        assert [(change.old, change.new) for change in seen.of(Renamed)] == [("old", "new"), ("new", "newer")]

    async def test_two_names_are_swapped(self, site: Place) -> None:
        """By way of a third."""
        async with avirt.connect(site.uri) as host, record(host.watch()) as seen:
            await site.define(firmware("left"))
            await site.define(firmware("right"))
            for old, new in (("left", "third"), ("right", "left"), ("third", "right")):
                await site.virsh("domrename", old, new)
            await seen.settles(site)
            await site.agree()
        assert len(seen.of(Renamed)) == 3
        assert seen.of(Removed) == []

    async def test_same_name_with_another_uuid_is_another_domain(self, site: Place) -> None:
        """Undefined and defined anew under the same name: one goes, one comes."""
        async with avirt.connect(site.uri) as host, record(host.watch()) as seen:
            await site.define(firmware("phoenix"))
            await site.virsh("undefine", "phoenix")
            await site.define(firmware("phoenix"))
            await seen.settles(site)
            await site.agree()
        first, second = seen.of(Added)
        (removed,) = seen.of(Removed)
        assert removed.uuid == first.uuid != second.uuid

    async def test_managed_save_and_restore(self, site: Place) -> None:
        """Saved it is SHUTOFF(saved); the next start restores it."""
        async with avirt.connect(site.uri) as host, record(host.watch()) as seen:
            domain = await host.define(firmware("kept"))
            await domain.start()
            outcome = await domain.managed_save()
            assert outcome.record is not None
            assert outcome.record.reason is ShutoffReason.SAVED
            assert outcome.record.id is None
            await site.agree()
            await site.virsh("start", "kept")
            await domain.wait_for(DomainState.RUNNING, timeout=30)
            await seen.settles(site)
            assert domain.record.reason is RunningReason.RESTORED
            await site.agree()

    async def test_restored_paused_is_paused_and_not_migrating(self, site: Place) -> None:
        """QEMU's driver goes on giving migration as the reason."""
        async with avirt.connect(site.uri) as host:
            domain = await host.define(firmware("still"))
            await domain.start()
            await domain.suspend()
            await domain.managed_save()
            await domain.start(wait=False)
            await domain.wait_for(DomainState.PAUSED, timeout=20)
            await host.refresh()
            await site.agree()
            assert domain.record.transition is None
            assert (await domain.resume()).observed

    async def test_managed_save_image_can_be_dropped(self, site: Place) -> None:
        """Without it, the next start boots."""
        async with avirt.connect(site.uri) as host:
            domain = await host.define(firmware("dropped"))
            await domain.start()
            await domain.managed_save()
            assert (await domain.info()).managed_save is True
            await domain.managed_save_remove()
            assert (await domain.info()).managed_save is False
            await domain.start()
            await site.agree()
            assert domain.record.reason is RunningReason.BOOTED

    async def test_save_to_a_file_and_restore(self, site: Place) -> None:
        """The same by hand."""
        async with avirt.connect(site.uri) as host:
            domain = await host.define(firmware("filed"))
            await domain.start()
            await domain.save("/run/libvirt/image")
            assert domain.record.reason is ShutoffReason.SAVED
            await site.agree()
            outcome = await host.restore("/run/libvirt/image")
            assert outcome.changed
            await domain.wait_for(DomainState.RUNNING, timeout=30)
            await site.agree()

    async def test_reset_is_one_reboot_though_libvirt_says_it_twice(self, site: Place) -> None:
        """The firmware resets the machine once more: two events, one `Rebooted`."""
        async with avirt.connect(site.uri) as host, record(host.watch()) as seen:
            domain = await host.define(firmware("button"))
            await domain.start()
            mark = len(seen.items)
            outcome = await domain.reset()
            assert outcome.observed
            await site.virsh("suspend", "button")  # behind both resets in the stream
            await domain.wait_for(DomainState.PAUSED, timeout=30)
            assert len(seen.of(Rebooted, after=mark)) == 1
            await seen.settles(site)
            await site.agree()

    async def test_autostart_is_seen(self, site: Place) -> None:
        """Set by avirt it is in the view at once and virsh says so; there is no event for it in libvirt 9."""
        async with avirt.connect(site.uri) as host:
            domain = await host.define(firmware("early"))
            assert domain.record.autostart is False
            for enabled in (True, False):
                await domain.set_autostart(enabled)
                assert domain.record.autostart is enabled
                truth = await site.agree()
                assert truth[str(domain.uuid)]["autostart"] is enabled

    async def test_killed_emulator_is_never_believed_to_run_at_rest(self, site: Place) -> None:
        """libvirt goes on saying RUNNING for a while; the end of it is SHUTOFF, as virsh says, with no id."""
        async with avirt.connect(site.uri) as host, record(host.watch()) as seen:
            domain = await host.define(firmware("murdered"))
            await domain.start()
            await site.signal_guest("murdered", "KILL")
            last = await domain.wait_for(DomainState.SHUTOFF, DomainState.CRASHED, timeout=30)
            assert last.id is None
            await seen.settles(site)
            truth = await site.agree()
            assert truth[str(domain.uuid)]["state"] == "shutoff"
        assert [change.after.state for change in seen.of(StateChanged) if change.after][-1] is DomainState.SHUTOFF
