"""The design's case table (section 4), row by row."""

from __future__ import annotations

from uuid import UUID

import pytest

from avirt.lifecycle import Now, Pairing, slices
from avirt.model.change import (
    Added,
    HostConnected,
    Migrated,
    Origin,
    Rebooted,
    Removed,
    Renamed,
    SplitBrain,
    StateChanged,
    Updated,
)
from avirt.model.observation import Item, LinkUp, Listing, Observation, Scope, Seen, Signal
from avirt.model.record import Certainty, HostFacts
from avirt.model.state import (
    CrashedReason,
    DomainState,
    NormalState,
    NostateReason,
    PausedReason,
    RunningReason,
    ShutoffReason,
    Transition,
)
from tests.avirt.lifecycle.lab import (
    CRASHED,
    FACTS,
    KEY,
    OFF,
    OTHER,
    PAUSED,
    RUNNING,
    Lab,
    kinds,
    off,
    paused,
    running,
    state_of,
)

# ---------------------------------------------------------------- no state, old id


@pytest.mark.parametrize("how", ["listing", "probe", "probe of a running one"])
def test_inactive_domain_without_state_letters_and_with_its_old_id_is_shutoff_with_id_none(how: str) -> None:
    """xend: {status: 0, domid: 7} without state letters. A test of the id alone once made NOSTATE of it."""
    lab = Lab()
    evidence = Observation(
        key=KEY, name="web", status=None, active=False, id=7, persistent=True, native={"status": 0, "domid": 7}, asked=9
    )
    if how == "listing":
        (change,) = lab.listing(evidence, asked=9)
    else:
        if how == "probe of a running one":
            lab.have(RUNNING, id=7)
        (change,) = lab.step(Seen(evidence))
    assert isinstance(change, StateChanged if how == "probe of a running one" else Added)
    record = lab.record
    assert (record.state, record.id, record.active) == (DomainState.SHUTOFF, None, False)
    assert record.native == {"status": 0, "domid": 7}
    assert record.certainty is Certainty.LIVE


def test_active_domain_without_state_letters_is_running_for_an_unknown_reason() -> None:
    lab = Lab()
    lab.read(active=True, id=7, native={"status": 1, "domid": 7})
    assert state_of(lab.record) == (DomainState.RUNNING, RunningReason.UNKNOWN)
    assert lab.record.id == 7


def test_neither_state_nor_status_is_unknown_and_asks_for_a_probe() -> None:
    lab = Lab()
    lab.read(id=7, native={"domid": 7})
    assert state_of(lab.record) == (DomainState.NOSTATE, NostateReason.UNKNOWN)
    assert (lab.record.certainty, lab.record.id) == (Certainty.UNKNOWN, None)
    assert lab.probes == [KEY]


# ---------------------------------------------------------------- start


def test_resumed_before_started_is_one_change_to_running_and_started_sets_the_reason() -> None:
    lab = Lab()
    lab.have(OFF)
    (opened,) = lab.event(Signal.RESUMED, id=3)
    assert isinstance(opened, StateChanged)
    assert state_of(lab.record) == (DomainState.RUNNING, RunningReason.UNPAUSED)
    (reason,) = lab.event(Signal.STARTED, id=3)
    assert isinstance(reason, Updated)
    assert state_of(lab.record) == (DomainState.RUNNING, RunningReason.BOOTED)
    assert lab.record.id == 3


def test_booted_beats_unpaused_in_either_order() -> None:
    lab = Lab()
    lab.have(OFF)
    lab.event(Signal.STARTED, id=3)
    assert lab.event(Signal.RESUMED, id=3) == []
    assert lab.record.reason is RunningReason.BOOTED


@pytest.mark.parametrize("known", [True, False])
def test_started_as_migrated_restored_or_from_a_snapshot_takes_its_state_from_the_probe(known: bool) -> None:
    lab = Lab()
    if known:
        lab.have(OFF)
    assert lab.event(Signal.STARTED, told=False, id=4) == []
    assert lab.probes == [KEY]
    (change,) = lab.read(PAUSED, id=4)
    assert isinstance(change, StateChanged if known else Added)
    assert (lab.record.state, lab.record.id) == (DomainState.PAUSED, 4)


# ---------------------------------------------------------------- reboot


def test_native_reboot_event_is_rebooted() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    (change,) = lab.event(Signal.REBOOTED, id=3)
    assert isinstance(change, Rebooted)
    assert change.origin is Origin.EVENT
    assert lab.probes == [KEY]


def test_changed_marker_while_running_is_a_reboot_that_is_inferred() -> None:
    lab = Lab()
    lab.read(RUNNING, id=3, marker=100)
    (change,) = lab.read(RUNNING, id=4, marker=200)
    assert isinstance(change, Rebooted)
    assert change.origin is Origin.INFERRED
    assert (change.before and change.before.id, change.after and change.after.id) == (3, 4)


def test_reboot_told_twice_within_two_seconds_with_the_same_id_is_one() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    assert kinds(lab.event(Signal.REBOOTED, id=3)) == ["rebooted"]
    lab.time += 1.9
    assert lab.event(Signal.REBOOTED, id=3) == []
    lab.time += 0.2
    assert kinds(lab.event(Signal.REBOOTED, id=3)) == ["rebooted"]


def test_reboot_event_and_the_marker_read_after_it_are_one() -> None:
    lab = Lab()
    lab.read(RUNNING, id=3, marker=100)
    assert kinds(lab.event(Signal.REBOOTED, id=3)) == ["rebooted"]
    lab.time += 5
    assert kinds(lab.read(RUNNING, id=3, marker=200)) == ["updated"]
    assert kinds(lab.read(RUNNING, id=3, marker=300)) == ["rebooted"]


def test_marker_read_before_the_reboot_event_are_one() -> None:
    lab = Lab()
    lab.read(RUNNING, id=3, marker=100)
    assert kinds(lab.read(RUNNING, id=3, marker=200)) == ["rebooted"]
    lab.time += 1
    assert lab.event(Signal.REBOOTED, id=3) == []


def test_stop_of_a_reboot_is_sent_at_once_and_rebooted_closes_it() -> None:
    """Xen, bhyve, LXC; libvirt's STOPPED/recreated."""
    lab = Lab()
    lab.have(RUNNING, id=3, persistent=False)
    (stop,) = lab.event(Signal.STOPPED, off(ShutoffReason.UNKNOWN, Transition.REBOOTING), active=False)
    assert isinstance(stop, StateChanged)
    assert (lab.record.state, lab.record.transition) == (DomainState.SHUTOFF, Transition.REBOOTING)
    assert lab.read(off(ShutoffReason.UNKNOWN)) == []  # not started again yet
    (start,) = lab.event(Signal.STARTED, id=4)
    assert isinstance(start, Rebooted)
    assert state_of(lab.record) == (DomainState.RUNNING, RunningReason.BOOTED)
    assert (lab.record.id, lab.record.transition) == (4, None)


def test_stop_of_a_reboot_that_does_not_start_again_is_a_stop() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    lab.event(Signal.STOPPED, off(ShutoffReason.UNKNOWN, Transition.REBOOTING), active=False)
    assert lab.wakes == [30]
    (change,) = lab.wake(30)
    assert isinstance(change, StateChanged)
    assert (lab.record.state, lab.record.transition) == (DomainState.SHUTOFF, None)
    assert lab.probes == [KEY]


# ---------------------------------------------------------------- persistence, names, identity


def test_transient_domain_stops_and_is_removed() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3, persistent=False)
    stopped, removed = lab.event(Signal.STOPPED)
    assert isinstance(stopped, StateChanged)
    assert isinstance(removed, Removed)
    assert stopped.after is not None
    assert removed.before is stopped.after
    assert lab.effects == []


def test_domain_of_unknown_persistence_stops_is_probed_and_not_found_is_removed() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3, persistent=None)
    assert kinds(lab.event(Signal.STOPPED)) == ["state_changed"]
    assert lab.probes == [KEY]
    assert kinds(lab.gone()) == ["removed"]


def test_domain_of_unknown_persistence_stops_is_probed_and_found_stays() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3, persistent=None)
    lab.event(Signal.STOPPED)
    assert kinds(lab.read(OFF, persistent=True)) == ["updated"]


def test_undefined_while_running_is_updated_never_removed() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    (change,) = lab.event(Signal.UNDEFINED)
    assert isinstance(change, Updated)
    assert (lab.record.persistent, lab.record.state) == (False, DomainState.RUNNING)
    assert kinds(lab.event(Signal.STOPPED)) == ["state_changed", "removed"]


def test_undefined_while_inactive_is_removed() -> None:
    lab = Lab()
    lab.have(OFF)
    assert kinds(lab.event(Signal.UNDEFINED)) == ["removed"]
    assert lab.effects == []


def test_rename_is_renamed_once_and_its_first_half_changes_nothing() -> None:
    lab = Lab()
    lab.have(OFF)
    assert lab.event(Signal.RENAMED_FROM) == []
    (change,) = lab.event(Signal.RENAMED, name="www")
    assert isinstance(change, Renamed)
    assert (change.old, change.new, change.name, lab.record.name) == ("web", "www", "www", "www")
    assert lab.wake(2) == []
    assert lab.probes == []


def test_rename_with_only_its_second_half_is_renamed() -> None:
    lab = Lab()
    lab.have(OFF)
    assert kinds(lab.event(Signal.RENAMED, name="www")) == ["renamed"]


def test_rename_with_only_its_first_half_is_probed_after_two_seconds() -> None:
    lab = Lab()
    lab.have(OFF)
    lab.event(Signal.RENAMED_FROM)
    assert lab.wakes == [2]
    assert (lab.wake(1.9), lab.probes) == ([], [])
    assert (lab.wake(0.1), lab.probes) == ([], [KEY])
    (change,) = lab.read(OFF, name="www")
    assert isinstance(change, Renamed)


def test_two_names_can_be_swapped() -> None:
    lab = Lab()
    lab.have(OFF)
    lab.read(OFF, key=OTHER, name="db")
    lab.all.clear()
    for key, old, new in ((KEY, "web", "tmp"), (OTHER, "db", "web"), (KEY, "tmp", "db")):
        lab.event(Signal.RENAMED_FROM, key=key, name=old)
        lab.event(Signal.RENAMED, key=key, name=new)
    assert kinds(lab.all) == ["renamed"] * 3
    assert [lab.view[key].name for key in (KEY, OTHER)] == ["db", "web"]


def test_two_names_swapped_between_two_listings_are_two_renames() -> None:
    lab = Lab()
    lab.listing(lab.observe(OFF), lab.observe(OFF, key=OTHER, name="db"))
    assert kinds(lab.listing(lab.observe(OFF, name="db"), lab.observe(OFF, key=OTHER, name="web"))) == ["renamed"] * 2


@pytest.mark.parametrize("size", [1, 512])
def test_same_name_with_a_new_uuid_is_removed_and_added_in_that_order(size: int) -> None:
    lab = Lab()
    lab.listing(lab.observe(OFF))
    removed, added = lab.listing(lab.observe(OFF, key=OTHER), size=size)
    assert isinstance(removed, Removed)
    assert isinstance(added, Added)
    assert (removed.key, added.key, removed.name, added.name) == (KEY, OTHER, "web", "web")


def test_id_in_a_stopped_event_is_never_stored() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    lab.event(Signal.STOPPED, id=3)
    assert lab.record.id is None


# ---------------------------------------------------------------- trouble


def test_killed_emulator_is_read_again_after_a_while_four_times() -> None:
    """libvirt goes on saying RUNNING for over a second."""
    lab = Lab()
    lab.have(RUNNING, id=3)
    began = lab.time
    assert lab.event(Signal.CONTROL_LOST) == []
    read_at: list[float] = []
    while lab.wakes:
        lab.wake(lab.wakes[0])
        assert lab.probes == [KEY]
        read_at.append(round(lab.time - began, 6))
    assert read_at == [0.2, 0.5, 1.0, 2.0]


def test_killed_emulator_that_was_told_first_is_not_raised_by_reads_that_know_less() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    lab.event(Signal.CONTROL_LOST)
    assert kinds(lab.event(Signal.STOPPED, off(ShutoffReason.FAILED))) == ["state_changed"]
    lab.time += 1.5
    assert lab.read(RUNNING, id=3) == []
    lab.time += 0.5
    assert kinds(lab.read(RUNNING, id=3)) == ["state_changed"]  # it insists: so be it
    assert lab.record.state is DomainState.RUNNING


def test_crashed_is_active_or_not_as_the_hypervisor_says() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    lab.event(Signal.CRASHED, id=3)
    assert (lab.record.state, lab.record.active, lab.record.id) == (DomainState.CRASHED, True, 3)
    assert lab.record.reason is CrashedReason.PANICKED
    lab.read(CRASHED, active=False, id=3)
    assert (lab.record.state, lab.record.active, lab.record.id) == (DomainState.CRASHED, False, None)


def test_idle_is_shown_beside_running() -> None:
    """Blocked, or Xen's "no flag"."""
    lab = Lab()
    lab.have(RUNNING, id=3)
    (change,) = lab.read(NormalState(DomainState.RUNNING, RunningReason.BOOTED, idle=True), id=3)
    assert isinstance(change, Updated)
    assert lab.record.idle


def test_saved_to_disk_is_shutoff_and_saved_in_ram_is_paused() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    lab.event(Signal.SUSPENDED, id=3)
    assert state_of(lab.record) == (DomainState.PAUSED, PausedReason.USER)
    lab.event(Signal.STOPPED, off(ShutoffReason.SAVED))
    assert state_of(lab.record) == (DomainState.SHUTOFF, ShutoffReason.SAVED)


# ---------------------------------------------------------------- several hosts


class Fleet:
    """Two hosts and what is concluded of both."""

    def __init__(self) -> None:
        self.pairing = Pairing()
        self.time = 0.0
        self.hosts: dict[str, Lab] = {}
        self.seen: list[str] = []
        self.concluded: list[object] = []
        for number, name in enumerate(("h1", "h2"), 1):
            lab = self.hosts[name] = Lab(connected=False)
            lab.lifecycle = type(lab.lifecycle)(name)
            self.feed(name, HostFacts(uuid=UUID(int=number), hostname=name, product="TEST", driver="test"))

    def feed(self, name: str, what: HostFacts | Observation) -> None:
        items: list[Item]
        if isinstance(what, HostFacts):
            items = [LinkUp(what), *slices(Listing(Scope.ALL, True, 0, []))]
        else:
            items = [Seen(what)]
        now = Now(self.time, self.time)
        for item in items:
            for change in self.hosts[name].lifecycle.step(item, now).changes:
                self.seen.append(f"{name} {change.kind}")
                self.concluded += self.pairing.step(change, now).changes

    def told(self, name: str, signal: Signal, status: NormalState | None, *, id: int = 5) -> None:
        self.hosts[name].count += 1
        active = status is None or status.state is not DomainState.SHUTOFF
        self.feed(
            name,
            Observation(
                key=KEY,
                name="web",
                status=status,
                active=active,
                persistent=False,
                id=id if active else None,
                signal=signal,
                asked=self.hosts[name].count,
            ),
        )

    def wake(self, after: float) -> None:
        self.time += after
        self.concluded += self.pairing.wake(Now(self.time, self.time)).changes


LEAVING = paused(PausedReason.MIGRATION, Transition.MIGRATING)


def test_migration_sends_both_halves_and_then_migrated() -> None:
    fleet = Fleet()
    fleet.told("h1", Signal.STARTED, RUNNING)
    fleet.seen.clear()
    fleet.told("h2", Signal.STARTED, None)
    fleet.told("h1", Signal.SUSPENDED, LEAVING)
    fleet.told("h2", Signal.RESUMED, running(RunningReason.MIGRATED))
    fleet.told("h1", Signal.STOPPED, off(ShutoffReason.MIGRATED))
    assert fleet.seen == ["h1 state_changed", "h2 added", "h1 state_changed", "h1 removed"]
    (migrated,) = fleet.concluded
    assert isinstance(migrated, Migrated)
    assert (migrated.source, migrated.target, migrated.host, migrated.key) == ("h1", "h2", "h2", KEY)


def test_suspended_for_migration_and_resumed_is_no_migration() -> None:
    fleet = Fleet()
    fleet.told("h1", Signal.STARTED, RUNNING)
    fleet.told("h1", Signal.SUSPENDED, LEAVING)
    fleet.told("h2", Signal.STARTED, None)
    fleet.told("h1", Signal.RESUMED, running(RunningReason.MIGRATED))
    fleet.told("h2", Signal.STOPPED, off(ShutoffReason.FAILED))
    assert fleet.concluded == []


def test_two_copies_running_for_thirty_seconds_on_live_hosts_are_split_brain() -> None:
    fleet = Fleet()
    fleet.told("h1", Signal.STARTED, RUNNING)
    fleet.told("h2", Signal.STARTED, RUNNING)
    fleet.wake(29.9)
    assert fleet.concluded == []
    fleet.wake(0.1)
    (split,) = fleet.concluded
    assert isinstance(split, SplitBrain)
    assert set(split.hosts) == {"h1", "h2"}


def test_same_host_under_two_names_is_a_duplicate_host() -> None:
    pairing = Pairing()
    (first,) = pairing.step(HostConnected(host="a", facts=FACTS), Now(0, 0)).changes or (None,)
    assert first is None
    (change,) = pairing.step(HostConnected(host="b", facts=FACTS), Now(0, 0)).changes
    assert (change.kind, change.host) == ("duplicate_host", "b")


# ---------------------------------------------------------------- clocks


def test_order_is_by_revision_even_when_the_wall_clock_goes_back() -> None:
    lab = Lab()
    lab.have(OFF)
    first = lab.lifecycle.revision
    lab.event(Signal.STARTED, id=3)
    lab.time -= 3600
    lab.event(Signal.SUSPENDED, id=3)
    assert [change.revision for change in lab.all] == [first + 1, first + 2]
    assert lab.all[0].observed_at > lab.all[1].observed_at
