"""Listings and single reads over a fake daemon: every way, what is remembered, what a failed read does."""

from __future__ import annotations

import anyio
import pytest

from avirt.drivers.libvirt.generated.procedures import Proc
from avirt.drivers.libvirt.generated.types import RemoteDomainGetStateRet
from avirt.drivers.libvirt.inventory import REASONS_UP_TO, Inventory
from avirt.drivers.libvirt.procedure import Procedure
from avirt.drivers.libvirt.rpc import Rpc
from avirt.drivers.libvirt.states import table_of
from avirt.errors import AvirtError, ConnectionLost, InvalidOperation, NativeError, RemoteProtocolError
from avirt.model.change import Origin
from avirt.model.observation import Gone, Listing, Observation, Seen
from avirt.model.state import CrashedReason, ShutoffReason
from tests.drivers.libvirt.fake_daemon import HOLD, FakeDaemon, complaint
from tests.drivers.libvirt.fake_world import NO_DOMAIN, NO_SUPPORT, Fake, World, key_of_name, serving

pytestmark = pytest.mark.anyio

BROKEN = complaint(38, "cannot open file")
LIST, STATS = Proc.CONNECT_LIST_ALL_DOMAINS, Proc.CONNECT_GET_ALL_DOMAIN_STATS


def mixed() -> World:
    return World(
        Fake("up", 1, 1, 7, autostart=True),
        Fake("transient", 3, 1, 8, persistent=False),
        Fake("off", 5, 2),
        Fake("saved", 5, 0, saved=True),
    )


def by_name(listing: Listing) -> dict[str, Observation]:
    return {item.name or "": item for item in listing.items}


def summary(seen: Observation) -> tuple[object, ...]:
    return (
        seen.status and seen.status.state.name,
        seen.status and seen.status.reason.name,
        seen.active,
        seen.id,
        seen.persistent,
        seen.autostart,
    )


EXPECTED = {
    "up": ("RUNNING", "BOOTED", True, 7, True, True),
    "transient": ("PAUSED", "USER", True, 8, False, False),
    "off": ("SHUTOFF", "DESTROYED", False, None, True, False),
    "saved": ("SHUTOFF", "SAVED", False, None, True, False),
}


def inventory(rpc: Rpc, driver: str = "QEMU") -> Inventory:
    return Inventory(rpc, table_of(driver))


def since(daemon: FakeDaemon, before: int) -> list[str]:
    return daemon.names()[before:]


async def test_statistics_and_three_lists_answer_for_all_domains() -> None:
    """One write of four calls, whatever the number of domains."""
    async with serving(mixed()) as (rpc, daemon):
        before = len(daemon.calls)
        listing = await inventory(rpc).read_all()
        assert {name: summary(item) for name, item in by_name(listing).items()} == EXPECTED
        assert listing.complete
        assert sorted(since(daemon, before)) == sorted([STATS.name, LIST.name, LIST.name, LIST.name])
        assert {item.origin for item in listing.items} == {Origin.LIST}
        assert {item.asked for item in listing.items} == {listing.asked}


async def test_a_listing_is_as_old_as_its_first_call() -> None:
    """Messages that come while it is under way are newer than it."""
    async with serving(mixed()) as (rpc, daemon):
        for _ in range(3):
            daemon.raw(daemon.event_frame())
        await rpc.call(Proc.DOMAIN_IS_ACTIVE, mixed()["up"].remote)
        asked = rpc.inbound
        assert asked >= 4
        assert (await inventory(rpc).read_all()).asked == asked


async def test_many_domains_are_listed_in_slices() -> None:
    """More than a slice, with a filtered list of more than a slice too."""
    world = World(*(Fake(f"d{n}", 5, 0, autostart=n % 2 == 0) for n in range(1300)))
    async with serving(world) as (rpc, _):
        found = by_name(await inventory(rpc).read_all())
        assert len(found) == 1300
        assert [found[f"d{n}"].autostart for n in range(4)] == [True, False, True, False]


@pytest.mark.parametrize("flags", [8, 1024, 256])
async def test_a_list_that_is_refused_says_nothing_and_is_asked_once_if_unsupported(flags: int) -> None:
    """The rest of the listing stands."""
    world = mixed()
    world.refused_flags[flags] = NO_SUPPORT
    async with serving(world) as (rpc, daemon):
        reads = inventory(rpc)
        seen = by_name(await reads.read_all())
        assert (seen["up"].persistent is None) == (flags == 8)
        assert (seen["up"].autostart is None) == (flags == 1024)
        before = len(daemon.calls)
        await reads.read_all()
        assert since(daemon, before).count(LIST.name) == 2
        world.refused_flags[flags] = BROKEN
        before = len(daemon.calls)
        await inventory(rpc).read_all()
        await inventory(rpc).read_all()
        assert since(daemon, before).count(LIST.name) == 6


@pytest.mark.parametrize("flags", [8, 1024, 256])
async def test_a_listing_of_which_a_list_failed_is_partial(flags: int) -> None:
    """So another one is owed. What the server refuses for good is no failure."""
    world = mixed()
    async with serving(world) as (rpc, _):
        for error, complete in ((BROKEN, False), (complaint(8, "unsupported flags"), True), (NO_SUPPORT, True)):
            world.refused_flags[flags] = error
            assert (await inventory(rpc).read_all()).complete is complete


async def test_states_that_do_not_say_enough_are_looked_at_again() -> None:
    """CRASHED and no state: one list of what is active; a state not sent: read singly."""
    world = World(
        Fake("crashed up", 6, 1, 3),
        Fake("crashed off", 6, 1),
        Fake("stateless", 0, 0, 7, active=False),
        Fake("up", 1, 1, 9),
    )
    async with serving(world) as (rpc, daemon):
        seen = by_name(await inventory(rpc, "Xen").read_all())
        assert daemon.names().count(LIST.name) == 4
        assert summary(seen["crashed up"])[:3] == ("CRASHED", "PANICKED", True)
        assert summary(seen["crashed off"])[:3] == ("CRASHED", "PANICKED", False)
        assert summary(seen["stateless"])[:4] == ("SHUTOFF", "UNKNOWN", False, 7)
        assert seen["stateless"].marker is None
        assert summary(seen["up"])[:3] == ("RUNNING", "BOOTED", True)


async def test_activity_is_asked_singly_where_that_list_is_refused() -> None:
    """`domain_is_active`; where that fails too it is not said."""
    world = World(Fake("crashed", 6, 1, 3))
    world.refused_flags[129] = NO_SUPPORT
    async with serving(world) as (rpc, _):
        (seen,) = (await inventory(rpc).read_all()).items
        assert seen.active is True
        world.refused[Proc.DOMAIN_IS_ACTIVE] = BROKEN
        (seen,) = (await inventory(rpc).read_all()).items
        assert (seen.status and seen.status.reason, seen.active) == (CrashedReason.PANICKED, None)


async def test_a_domain_without_a_state_in_the_statistics_is_read_singly() -> None:
    """It answers, it is gone, or its read fails: then it is listed without a state, and a probe will say why."""
    world = World(Fake("answers", read_error=BROKEN), Fake("gone", read_error=BROKEN), Fake("fails", read_error=BROKEN))
    async with serving(world) as (rpc, daemon):
        answers = {"answers": RemoteDomainGetStateRet(1, 1), "gone": NO_DOMAIN, "fails": BROKEN}
        daemon.handlers[Proc.DOMAIN_GET_STATE] = lambda dom, flags: answers[dom.name]
        listing = await inventory(rpc).read_all()
        seen = by_name(listing)
        assert set(seen) == {"answers", "fails"}
        assert summary(seen["answers"])[:3] == ("RUNNING", "BOOTED", True)
        assert (seen["fails"].status, seen["fails"].persistent) == (None, True)
        assert listing.complete


async def test_without_statistics_filtered_lists_answer_and_the_reasons_are_read() -> None:
    """The LXC driver; what is not there is remembered."""
    world = mixed()
    world.refused[STATS] = NO_SUPPORT
    async with serving(world) as (rpc, daemon):
        reads = inventory(rpc)
        listing = await reads.read_all()
        assert {name: summary(item) for name, item in by_name(listing).items()} == EXPECTED
        assert not reads.has_statistics
        before = len(daemon.calls)
        await reads.read_all()
        assert STATS.name not in since(daemon, before)
        assert since(daemon, before).count(LIST.name) == 8
        assert since(daemon, before).count(Proc.DOMAIN_GET_STATE.name) == 4


async def test_on_large_hosts_lists_name_states_without_reasons() -> None:
    """Only what "other" lumps together is read singly."""
    count = REASONS_UP_TO + 500
    world = World(*(Fake(f"d{n}", 5, 2) for n in range(count)), Fake("crashed", 6, 1), Fake("up", 1, 1, 3))
    world.refused[STATS] = NO_SUPPORT
    async with serving(world) as (rpc, daemon):
        seen = by_name(await inventory(rpc).read_all())
        assert len(seen) == count + 2
        assert daemon.names().count(Proc.DOMAIN_GET_STATE.name) == 1
        assert summary(seen["crashed"])[:3] == ("CRASHED", "PANICKED", False)
        assert summary(seen["up"])[:2] == ("RUNNING", "UNKNOWN")
        assert summary(seen["d7"])[:2] == ("SHUTOFF", "UNKNOWN")


async def test_many_single_reads_let_the_loop_go_on() -> None:
    """A host where every domain is in the list of others."""
    world = World(*(Fake(f"d{n}", 6, 1) for n in range(600)))
    world.refused[STATS] = NO_SUPPORT
    async with serving(world) as (rpc, daemon):
        assert len((await inventory(rpc).read_all()).items) == 600
        assert daemon.names().count(Proc.DOMAIN_GET_STATE.name) == 600


async def test_a_domain_in_two_lists_or_in_none_is_read_singly() -> None:
    """The lists are not one moment."""
    world = World(*(Fake(f"d{n}", 5, 0) for n in range(REASONS_UP_TO)), Fake("moved", 1, 5, 3))
    world.refused[STATS] = NO_SUPPORT
    world.hidden = {16}  # it is in none
    async with serving(world) as (rpc, daemon):
        seen = by_name(await inventory(rpc).read_all())
        assert summary(seen["moved"])[:2] == ("RUNNING", "UNPAUSED")
        assert daemon.names().count(Proc.DOMAIN_GET_STATE.name) == 1
        world["moved"].read_error = NO_DOMAIN
        assert "moved" not in by_name(await inventory(rpc).read_all())
        world["moved"].read_error = BROKEN
        assert by_name(await inventory(rpc).read_all())["moved"].status is None


async def test_lists_that_name_no_states_are_no_listing() -> None:
    """Half an answer would remove domains."""
    world = mixed()
    world.refused[STATS] = NO_SUPPORT
    world.refused_flags[32] = BROKEN
    async with serving(world) as (rpc, _):
        with pytest.raises(NativeError):
            await inventory(rpc).read_all()
        del world.refused_flags[32]
        world.refused_flags[1024] = world.refused_flags[256] = BROKEN
        seen = by_name(await inventory(rpc).read_all())
        assert seen["up"].autostart is None
        assert summary(seen["saved"])[:2] == ("SHUTOFF", "UNKNOWN")


def old(world: World) -> World:
    """Before 0.9.13: neither statistics nor lists of objects."""
    world.refused[STATS] = world.refused[LIST] = NO_SUPPORT
    return world


async def test_old_servers_are_listed_by_ids_and_names() -> None:
    """Each domain is looked up and read; the way is remembered."""
    async with serving(old(mixed())) as (rpc, daemon):
        reads = inventory(rpc)
        listing = await reads.read_all()
        seen = {name: summary(item) for name, item in by_name(listing).items()}
        assert seen == EXPECTED | {"saved": ("SHUTOFF", "UNKNOWN", False, None, True, False)}
        assert listing.complete
        assert {item.asked for item in listing.items} == {listing.asked}
        before = len(daemon.calls)
        await reads.read_all()
        assert not {STATS.name, LIST.name} & set(since(daemon, before))


async def test_oldest_servers_have_no_reasons() -> None:
    """Before 0.9.2 the state is in `domain_get_info`."""
    world = old(mixed())
    async with serving(world) as (rpc, daemon):
        del daemon.handlers[Proc.DOMAIN_GET_STATE]
        reads = inventory(rpc)
        seen = by_name(await reads.read_all())
        assert summary(seen["up"])[:3] == ("RUNNING", "UNKNOWN", True)
        before = len(daemon.calls)
        assert isinstance(await reads.probe(key_of_name("up")), Seen)
        assert Proc.DOMAIN_GET_STATE.name not in since(daemon, before)


async def test_on_old_servers_a_failed_look_up_makes_the_listing_partial() -> None:
    """Someone is there and it is not known who: nothing may be removed. One that vanished is no failure."""
    world = old(mixed())
    async with serving(world) as (rpc, daemon):
        reads = inventory(rpc)
        daemon.handlers[Proc.DOMAIN_LOOKUP_BY_ID] = lambda _: NO_DOMAIN
        listing = await reads.read_all()
        assert (listing.complete, set(by_name(listing))) == (True, {"off", "saved"})
        daemon.handlers[Proc.DOMAIN_LOOKUP_BY_ID] = lambda _: BROKEN
        assert not (await reads.read_all()).complete


async def test_on_old_servers_a_failed_read_is_listed_without_a_state() -> None:
    """It ages, it does not vanish."""
    world = old(mixed())
    world["up"].read_error = BROKEN
    world["off"].read_error = NO_DOMAIN
    async with serving(world) as (rpc, _):
        seen = by_name(await inventory(rpc).read_all())
        assert (seen["up"].status, seen["up"].persistent) == (None, True)
        assert "off" not in seen


async def test_a_probe_is_the_state_and_then_three_calls() -> None:
    """Name and id, persistence, autostart."""
    async with serving(mixed()) as (rpc, daemon):
        before = len(daemon.calls)
        seen = await inventory(rpc).probe(key_of_name("up"))
        assert isinstance(seen, Seen)
        assert summary(seen.observation) == EXPECTED["up"]
        assert (seen.observation.name, seen.observation.origin) == ("up", Origin.POLL)
        assert len(since(daemon, before)) == 4
        assert all(name != LIST.name for name in since(daemon, before))


async def test_a_probe_of_nobody_is_gone() -> None:
    """NO_DOMAIN from the first call, or from a later one: it is as old as the first."""
    async with serving(mixed()) as (rpc, daemon):
        asked = rpc.inbound
        before = len(daemon.calls)
        assert await inventory(rpc).probe(key_of_name("nobody")) == Gone(key_of_name("nobody"), asked)
        assert len(since(daemon, before)) == 1
        asked = rpc.inbound
        daemon.handlers[Proc.DOMAIN_LOOKUP_BY_UUID] = lambda _: NO_DOMAIN
        assert await inventory(rpc).probe(key_of_name("up")) == Gone(key_of_name("up"), asked)
        daemon.handlers[Proc.DOMAIN_LOOKUP_BY_UUID] = lambda _: BROKEN
        with pytest.raises(NativeError):
            await inventory(rpc).probe(key_of_name("up"))


async def test_probes_of_a_domain_that_hangs_hold_one_slot() -> None:
    """The others are read as if nothing were."""
    async with serving(mixed()) as (rpc, daemon), anyio.create_task_group() as group:
        up = key_of_name("up")
        answer = daemon.handlers[Proc.DOMAIN_GET_STATE]
        daemon.handlers[Proc.DOMAIN_GET_STATE] = lambda dom, flags: HOLD if dom.uuid == up else answer(dom, flags)
        reads = inventory(rpc)
        for _ in range(6):
            group.start_soon(reads.probe, up)
        await daemon.until(lambda: bool(daemon.held))
        for name in ("off", "transient", "saved"):
            assert isinstance(await reads.probe(key_of_name(name)), Seen)
        assert len(daemon.held) == 1
        group.cancel_scope.cancel()


@pytest.mark.parametrize("procedure", [Proc.DOMAIN_IS_PERSISTENT, Proc.DOMAIN_GET_AUTOSTART])
async def test_what_not_every_driver_answers_is_not_said(procedure: Procedure[int]) -> None:
    """Unsupported is remembered, another error is not."""
    world = mixed()
    async with serving(world) as (rpc, daemon):
        reads = inventory(rpc)
        refusal = complaint(8, "unsupported flags") if procedure is Proc.DOMAIN_IS_PERSISTENT else BROKEN
        for error, again in ((refusal, 1), (NO_SUPPORT, 1), (NO_SUPPORT, 0)):
            world.refused[procedure] = error
            before = len(daemon.calls)
            seen = await reads.probe(key_of_name("up"))
            assert isinstance(seen, Seen)
            assert None in (seen.observation.persistent, seen.observation.autostart)
            assert since(daemon, before).count(procedure.name) == again


async def test_a_probe_that_could_not_read_the_persistence_raises() -> None:
    """Nobody would ask for it again."""
    world = mixed()
    world.refused[Proc.DOMAIN_IS_PERSISTENT] = BROKEN
    async with serving(world) as (rpc, _):
        with pytest.raises(AvirtError):
            await inventory(rpc).probe(key_of_name("up"))


async def test_a_probe_whose_state_fails_raises() -> None:
    """A failed read is never shown as a state."""
    world = mixed()
    world["up"].read_error = complaint(55, "not now")
    async with serving(world) as (rpc, _):
        with pytest.raises(InvalidOperation):
            await inventory(rpc).probe(key_of_name("up"))


async def test_a_probe_asks_on_where_the_state_does_not_say() -> None:
    """Whether it is active; whether an image is kept."""
    world = World(Fake("crashed", 6, 1, 3), Fake("stateless", 0, 0, 7, active=False), Fake("saved", 5, 0, saved=True))
    async with serving(world) as (rpc, _):
        reads = inventory(rpc, "Xen")
        summaries = {}
        for name in ("crashed", "stateless", "saved"):
            seen = await reads.probe(key_of_name(name))
            assert isinstance(seen, Seen)
            summaries[name] = summary(seen.observation)[:3]
        assert summaries == {
            "crashed": ("CRASHED", "PANICKED", True),
            "stateless": ("SHUTOFF", "UNKNOWN", False),
            "saved": ("SHUTOFF", "SAVED", False),
        }
        world.refused_flags[256] = BROKEN
        seen = await reads.probe(key_of_name("saved"))
        assert isinstance(seen, Seen)
        assert seen.observation.status is not None
        assert seen.observation.status.reason is ShutoffReason.UNKNOWN


async def test_a_connection_that_is_lost_is_never_an_answer() -> None:
    """Neither an empty listing nor a domain that is gone."""
    async with serving(mixed()) as (rpc, daemon):
        daemon.handlers[LIST] = lambda *args: daemon.transport.close()
        with pytest.raises(ConnectionLost):
            await inventory(rpc).read_all()
        with pytest.raises(ConnectionLost):
            await inventory(rpc).probe(key_of_name("up"))


async def test_a_reply_of_another_layout_is_the_peers_error() -> None:
    """Not taken for an error of that domain."""
    async with serving(mixed()) as (rpc, daemon):
        daemon.handlers[Proc.DOMAIN_GET_STATE] = lambda dom, flags: HOLD
        import anyio

        from avirt.drivers.libvirt.protocol import Message, MessageType

        async with anyio.create_task_group() as group:

            async def probe() -> None:
                with pytest.raises(RemoteProtocolError):
                    await inventory(rpc).probe(key_of_name("up"))

            group.start_soon(probe)
            await daemon.until(lambda: bool(daemon.held))
            call = daemon.held.pop()
            daemon.send(Message(call.program, call.procedure, MessageType.REPLY, call.serial, payload=b"\0"))


async def test_nothing_is_concluded_from_a_read_that_failed() -> None:
    """Whatever fails, the state stays unsaid or the read raises."""
    world = mixed()
    world["up"].read_error = BROKEN
    async with serving(world) as (rpc, _):
        seen = by_name(await inventory(rpc).read_all())["up"]
        assert (seen.status, seen.active, seen.marker) == (None, None, None)
        with pytest.raises(AvirtError):
            await inventory(rpc).probe(key_of_name("up"))
