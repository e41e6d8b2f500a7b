"""Conclusions over several hosts."""

from __future__ import annotations

from uuid import UUID

from avirt.lifecycle import Now, Pairing, WakeAt
from avirt.lifecycle.pairing import HALVES_WITHIN, SPLIT_AFTER
from avirt.model.change import (
    Added,
    Change,
    DuplicateHost,
    HostConnected,
    HostLost,
    HostReplaced,
    HostResynced,
    Migrated,
    Removed,
    SplitBrain,
    StateChanged,
)
from avirt.model.native_event import DeviceAdded
from avirt.model.record import DomainRecord, HostFacts, Key, key_of
from avirt.model.state import DomainState, NormalState, PausedReason, RunningReason, ShutoffReason
from tests.avirt.lifecycle.lab import KEY, OFF, PAUSED, RUNNING, off, paused, running

INCOMING = paused(PausedReason.MIGRATION)
LEFT = off(ShutoffReason.MIGRATED)


def facts(number: int) -> HostFacts:
    return HostFacts(uuid=UUID(int=number), hostname="x", product="TEST", driver="test")


class World:
    """Hosts by name; `uuids` 0, 1, … unless said."""

    def __init__(self, *names: str, aliases: dict[str, str] | None = None, uuids: tuple[int, ...] = ()) -> None:
        self.pairing = Pairing(aliases=aliases)
        self.time = 1000.0
        self.shown: dict[tuple[str, Key], DomainRecord] = {}
        self.effects: list[object] = []
        for number, name in enumerate(names):
            self.up(name, uuids[number] if uuids else number + 1)

    def feed(self, change: Change) -> list[Change]:
        step = self.pairing.step(change, Now(self.time, self.time))
        self.effects = list(step.effects)
        return list(step.changes)

    def up(self, name: str, uuid: int) -> list[Change]:
        return self.feed(HostConnected(host=name, facts=facts(uuid))) + self.feed(HostResynced(host=name))

    def show(self, host: str, status: NormalState | None, *, key: Key = KEY) -> list[Change]:
        before = self.shown.pop((host, key), None)
        if status is None:
            return self.feed(Removed(host=host, key=key, name="web", before=before))
        active = status.state is not DomainState.SHUTOFF
        after = DomainRecord(host=host, key=key, name="web", state=status.state, reason=status.reason, active=active)
        self.shown[host, key] = after
        kind = Added if before is None else StateChanged
        return self.feed(kind(host=host, key=key, name="web", before=before, after=after))

    def wake(self, after: float) -> list[Change]:
        self.time += after
        return list(self.pairing.wake(Now(self.time, self.time)).changes)


def the_migration(changes: list[Change]) -> tuple[str, str]:
    (change,) = changes
    assert isinstance(change, Migrated)
    assert (change.host, change.revision, change.key) == (change.target, 0, KEY)
    return change.source, change.target


def test_target_first_then_source_is_migrated() -> None:
    world = World("a", "b")
    world.show("a", RUNNING)
    assert world.show("b", INCOMING) == []
    assert world.show("b", running(RunningReason.MIGRATED)) == []
    assert the_migration(world.show("a", LEFT)) == ("a", "b")
    assert world.show("a", None) == []


def test_source_first_then_target_is_migrated() -> None:
    world = World("a", "b")
    world.show("a", RUNNING)
    world.show("b", INCOMING)
    assert world.show("a", LEFT) == []
    assert the_migration(world.show("b", running(RunningReason.MIGRATED))) == ("a", "b")


def test_paused_domain_that_migrates_stays_paused_and_is_migrated() -> None:
    world = World("a", "b")
    world.show("a", PAUSED)
    world.show("a", LEFT)
    assert the_migration(world.show("b", PAUSED)) == ("a", "b")


def test_stop_for_another_reason_is_no_half() -> None:
    world = World("a", "b")
    world.show("a", RUNNING)
    world.show("a", OFF)
    assert world.show("b", RUNNING) == []


def test_source_that_starts_again_did_not_leave() -> None:
    world = World("a", "b")
    world.show("a", RUNNING)
    world.show("a", LEFT)
    world.show("a", RUNNING)
    assert world.show("b", PAUSED) == []


def test_target_that_comes_much_later_is_not_this_migrations() -> None:
    world = World("a", "b")
    world.show("a", RUNNING)
    world.show("a", LEFT)
    world.time += HALVES_WITHIN + 1
    assert world.show("b", RUNNING) == []


def test_sources_whose_targets_are_not_watched_are_forgotten() -> None:
    world = World("a", "b")
    other = key_of(UUID(int=99))
    for key in (KEY, other):
        world.show("a", RUNNING, key=key)
        world.show("a", LEFT, key=key)
        world.time += HALVES_WITHIN + 1
    world.time -= HALVES_WITHIN + 1
    assert world.show("b", RUNNING) == []
    (change,) = world.show("b", RUNNING, key=other)
    assert isinstance(change, Migrated)


def test_second_removal_and_inactive_domains_are_nothing() -> None:
    world = World("a", "b")
    assert world.show("a", LEFT) == []
    assert world.show("a", None) == []
    world.show("a", RUNNING)
    assert world.show("a", running(RunningReason.UNPAUSED)) == []


def test_two_running_copies_are_split_brain_after_a_while_and_once() -> None:
    world = World("a", "b", "c")
    world.show("a", RUNNING)
    world.show("b", RUNNING)
    assert world.effects == [WakeAt(world.time + SPLIT_AFTER)]
    assert world.wake(SPLIT_AFTER - 1) == []
    (split,) = world.wake(1)
    assert isinstance(split, SplitBrain)
    assert (split.hosts, split.host, split.name) == (("a", "b"), "b", "web")
    assert world.show("c", RUNNING) == []
    assert world.wake(SPLIT_AFTER) == []


def test_copy_that_stops_in_time_is_no_split_brain_and_it_may_come_again() -> None:
    world = World("a", "b")
    world.show("a", RUNNING)
    world.show("b", RUNNING)
    world.show("b", PAUSED)
    assert world.wake(SPLIT_AFTER) == []
    world.show("b", RUNNING)
    world.show("a", None)
    assert world.wake(SPLIT_AFTER) == []


def test_lost_host_runs_no_copy_and_time_counts_anew_when_it_is_back() -> None:
    world = World("a", "b")
    world.show("a", RUNNING)
    world.show("b", RUNNING)
    world.feed(HostLost(host="a"))
    assert world.wake(SPLIT_AFTER) == []
    world.up("a", 1)
    assert world.wake(SPLIT_AFTER - 1) == []
    assert [change.kind for change in world.wake(1)] == ["split_brain"]


def test_replaced_or_forgotten_host_has_no_copies() -> None:
    world = World("a", "b")
    world.show("a", RUNNING)
    world.show("b", RUNNING)
    world.feed(HostReplaced(host="a", before=facts(1), after=facts(7)))
    assert world.wake(SPLIT_AFTER) == []
    world.show("b", LEFT)
    assert list(world.pairing.forget("b", Now(world.time, 0)).changes) == []
    assert world.show("a", RUNNING) == []


def test_nil_uuids_take_no_part() -> None:
    world = World("a", "b")
    nil = key_of(UUID(int=0))
    world.show("a", RUNNING, key=nil)
    world.show("b", RUNNING, key=nil)
    assert world.wake(SPLIT_AFTER) == []
    assert World("a", "b", uuids=(0, 0)).up("a", 0) == []


def test_second_name_of_a_host_is_told_once_and_takes_no_part() -> None:
    world = World("a")
    (duplicate,) = world.up("b", 1)
    assert isinstance(duplicate, DuplicateHost)
    assert (duplicate.host, duplicate.other) == ("b", "a")
    assert world.up("b", 1) == []
    assert world.up("a", 1) == []
    world.show("a", RUNNING)
    world.show("b", RUNNING)
    assert world.wake(SPLIT_AFTER) == []


def test_alias_is_no_duplicate_and_takes_no_part() -> None:
    world = World("vcenter", "esx", aliases={"esx": "vcenter"})
    world.show("vcenter", RUNNING)
    world.show("esx", RUNNING)
    assert world.wake(SPLIT_AFTER) == []
    assert world.up("esx", 1) == []


def test_other_changes_are_nothing() -> None:
    world = World("a")
    assert world.feed(DeviceAdded(host="a", key=KEY, device="net0")) == []


def test_target_that_still_waits_for_its_memory_when_the_source_has_left_is_no_half_yet() -> None:
    world = World("a", "b")
    world.show("a", RUNNING)
    world.show("a", LEFT)
    assert world.show("b", INCOMING) == []
    assert the_migration(world.show("b", running(RunningReason.MIGRATED))) == ("a", "b")
