"""The host's own Changes, native events, timers."""

from __future__ import annotations

from uuid import UUID

from msgspec.structs import replace

from avirt.lifecycle import HostLifecycle, Now, Probe, Relist
from avirt.model.change import HostConnected, HostLost, HostReplaced, HostResynced, Origin
from avirt.model.native_event import DeviceAdded
from avirt.model.observation import Gone, LinkLost, NativeEvent, Observation, Overrun, ReadFailed, Scope, Seen, Signal
from avirt.model.record import Key
from avirt.model.state import Transition
from tests.avirt.lifecycle.lab import FACTS, KEY, OFF, OTHER, PAUSED, RUNNING, Lab, kinds


def test_first_connection_lists_and_is_resynced() -> None:
    assert HostLifecycle("h").facts is None
    lab = Lab(connected=False)
    (connected,) = lab.link_up()
    assert isinstance(connected, HostConnected)
    assert (connected.facts, lab.lifecycle.facts) == (FACTS, FACTS)
    added, resynced = lab.listing(lab.observe(OFF))
    assert (added.origin, resynced.origin) == (Origin.LIST, Origin.LIST)
    assert isinstance(resynced, HostResynced)
    assert resynced.domains == 1


def test_reconnect_tells_every_difference_and_then_resynced() -> None:
    lab = Lab()
    lab.listing(lab.observe(OFF), lab.observe(RUNNING, key=OTHER, name="db", id=2))
    assert kinds(lab.step(LinkLost("cut"))) == ["host_lost"]
    lab.link_up()
    changes = lab.listing(lab.observe(RUNNING, id=3), size=1)
    assert kinds(changes) == ["state_changed", "removed", "state_changed", "host_resynced"]
    assert [change.origin for change in changes] == [Origin.INFERRED, Origin.RESYNC, Origin.RESYNC, Origin.RESYNC]
    assert lab.listing(lab.observe(RUNNING, id=3)) == []


def test_loss_is_told_once_and_only_of_a_connection_that_stood() -> None:
    lab = Lab(connected=False)
    assert lab.step(LinkLost("refused", refused=True)) == []
    lab.link_up()
    (lost,) = lab.step(LinkLost("cut"))
    assert isinstance(lost, HostLost)
    assert (lost.why, lost.refused) == ("cut", False)
    assert lab.step(LinkLost("cannot connect")) == []


def test_records_stay_while_the_host_is_lost() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    record = lab.record
    lab.step(LinkLost("cut"))
    assert lab.record is record


def test_another_host_under_the_same_name_replaces_it_without_removals() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    lab.accepted(Transition.STOPPING, 9)
    lab.step(LinkLost("cut"))
    other = replace(FACTS, uuid=UUID(int=2))
    replaced, connected = lab.link_up(other)
    assert isinstance(replaced, HostReplaced)
    assert (replaced.before, replaced.after, connected.kind) == (FACTS, other, "host_connected")
    assert dict(lab.lifecycle.records) == {}
    assert lab.wake(9) == []
    added, _ = lab.listing(lab.observe(OFF))
    assert added.origin is Origin.LIST


def test_partial_listing_does_not_resync() -> None:
    lab = Lab(connected=False)
    lab.link_up()
    assert kinds(lab.listing(lab.observe(OFF), complete=False)) == ["added"]
    assert kinds(lab.listing(lab.observe(OFF))) == ["host_resynced"]


def test_counts_begin_anew_with_each_connection() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    lab.event(Signal.SUSPENDED, id=3, asked=900)
    lab.link_up()
    assert kinds(lab.listing(lab.observe(RUNNING, id=3, persistent=True), asked=0)) == [
        "state_changed",
        "host_resynced",
    ]


def test_native_event_is_stamped_and_passed_on_in_order() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    (change,) = lab.step(NativeEvent(DeviceAdded(host="", key=KEY, name="old", device="net0"), 1))
    assert isinstance(change, DeviceAdded)
    assert (change.host, change.name, change.device) == ("h", "web", "net0")
    assert lab.effects == []


def test_native_event_of_an_unknown_domain_is_passed_on_and_asks() -> None:
    lab = Lab()
    (change,) = lab.step(NativeEvent(DeviceAdded(host="", key=KEY, name="web", device="net0"), 1))
    assert isinstance(change, DeviceAdded)
    assert change.name == "web"
    assert lab.probes == [KEY]


def test_overrun_asks_for_a_listing() -> None:
    lab = Lab()
    assert lab.step(Overrun("queue full")) == []
    assert lab.effects == [Relist(Scope.ALL, "queue full")]


def test_all_other_items_reach_their_domain() -> None:
    lab = Lab()
    lab.have(RUNNING, id=3)
    assert kinds(lab.step(ReadFailed(KEY, "slow"))) == ["updated"]
    assert kinds(lab.accepted(Transition.STOPPING)) == ["state_changed"]
    assert kinds(lab.read(PAUSED, id=3)) == ["state_changed"]
    assert kinds(lab.step(Gone(KEY, lab.count))) == ["state_changed", "removed"]


def test_wake_without_a_timer_and_for_a_forgotten_domain_is_nothing() -> None:
    lab = Lab()
    assert lab.wake() == []
    lab.event(Signal.RENAMED_FROM)
    lab.link_up()
    assert lab.wake(2) == []
    assert lab.effects == []


def test_records_can_be_read_and_not_written() -> None:
    lifecycle = HostLifecycle("h")
    assert (dict(lifecycle.records), lifecycle.revision) == ({}, 0)
    assert not hasattr(lifecycle.records, "__setitem__")
    assert list(lifecycle.wake(Now(0, 0)).changes) == []


def test_timer_that_is_due_reaches_its_domain() -> None:
    lab = Lab()
    lab.event(Signal.RENAMED_FROM)
    lab.wake(2)
    assert lab.probes == [KEY]


def test_what_comes_together_is_taken_in_order_and_asks_for_one_read() -> None:
    """The same Changes as one by one."""
    single, together = Lab(), Lab()
    for lab in (single, together):
        lab.listing(lab.observe(RUNNING, id=3))
    told = [PAUSED, RUNNING, PAUSED]
    items = [
        Seen(
            Observation(
                key=KEY,
                name="web",
                status=status,
                active=True,
                id=3,
                signal=Signal.SUSPENDED if status is PAUSED else Signal.RESUMED,
                asked=count,
            )
        )
        for count, status in enumerate(told, single.count + 1)
    ]
    one_by_one = [change for item in items for change in single.lifecycle.step(item, single.now).changes]
    step = together.lifecycle.steps([*items, Overrun("more")], together.now)
    assert list(step.changes) == one_by_one
    assert len(one_by_one) == 3
    assert list(step.effects) == [Probe(KEY), Relist(Scope.ALL, "more")]


def test_a_read_is_overtaken_by_an_event_that_came_after_it_was_asked() -> None:
    key = Key(b"o" * 16)
    lifecycle = HostLifecycle("h")
    assert not lifecycle.is_overtaken(Gone(key, 1))
    lifecycle.step(Seen(Observation(key=key, name="o", signal=Signal.DEFINED, asked=5)), Now(0.0, 0.0))
    assert lifecycle.is_overtaken(Gone(key, 4))
    assert not lifecycle.is_overtaken(Seen(Observation(key=key, asked=5)))
