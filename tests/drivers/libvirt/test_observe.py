"""Observations from reads, listings and lifecycle events: activity from the state, ids as printed, evidence shared."""

from __future__ import annotations

import pytest

from avirt.drivers.libvirt.bulk import StateEntry
from avirt.drivers.libvirt.observe import Known, control_lost, lifecycle_item, listed, read, rebooted
from avirt.drivers.libvirt.states import table_of
from avirt.model.change import Origin
from avirt.model.observation import Observation, Overrun, Seen, Signal
from avirt.model.record import Key
from avirt.model.state import DomainState, RunningReason, ShutoffReason

QEMU, XEN = table_of("QEMU"), table_of("Xen")
A, B, C, D = (Key(bytes([n]) * 16) for n in range(1, 5))


def seen(name: str, key: Key, id: int, event: int, detail: int) -> Observation:
    item = lifecycle_item(name, key, id, event, detail, 9)
    assert isinstance(item, Seen)
    return item.observation


def test_a_read_of_a_running_domain_has_id_marker_and_evidence() -> None:
    """The marker is the id while it is active."""
    seen = read(QEMU, A, name="a", id=7, state=1, reason=1, persistent=True, autostart=False, asked=4)
    assert seen.status is not None
    assert (seen.status.state, seen.status.reason) == (DomainState.RUNNING, RunningReason.BOOTED)
    assert (seen.active, seen.id, seen.marker) == (True, 7, 7)
    assert seen.native == {"state": 1, "reason": 1, "id": 7}
    assert (seen.persistent, seen.autostart, seen.origin, seen.asked) == (True, False, Origin.POLL, 4)


def test_id_zero_is_an_active_id() -> None:
    """Xen's Domain-0 (§6)."""
    seen = read(XEN, A, name="Domain-0", id=0, state=1, reason=0)
    assert (seen.active, seen.id, seen.marker) == (True, 0, 0)


def test_a_stopped_domain_with_an_old_id_is_inactive_and_has_no_marker() -> None:
    """The id is passed on as printed, and means nothing."""
    seen = read(XEN, A, name="a", id=7, state=0, reason=0, active=False)
    assert seen.status is not None
    assert (seen.status.state, seen.active, seen.id, seen.marker) == (DomainState.SHUTOFF, False, 7, None)
    assert seen.native == {"state": 0, "reason": 0, "id": 7}


@pytest.mark.parametrize(("id", "printed", "native"), [(-1, None, {}), (3, 3, {"id": 3}), (None, None, {})])
def test_a_read_without_a_state_names_none(id: int | None, printed: int | None, native: dict[str, int]) -> None:
    """A domain whose own read failed is listed, without a state."""
    seen = read(QEMU, A, name="a", id=id, state=None, reason=None, active=None, persistent=True)
    assert (seen.status, seen.active, seen.id, seen.native) == (None, None, printed, native)
    assert seen.persistent is True


def test_an_image_of_a_stopped_domain_for_no_known_reason_means_saved() -> None:
    """§16 qemu: after a restart of the daemon the reason is lost, the image is not."""
    seen = read(QEMU, A, name="a", id=-1, state=5, reason=0, saved=True)
    assert seen.status is not None
    assert (seen.status.reason, seen.native["managed_save"]) == (ShutoffReason.SAVED, 1)
    for state, reason in ((5, 1), (1, 1)):
        other = read(QEMU, A, name="a", id=-1, state=state, reason=reason, saved=True)
        assert other.status is not None
        assert int(other.status.reason) == 1


def test_a_listing_knows_persistence_and_autostart_from_the_filtered_lists() -> None:
    """Whatever is not transient is persistent."""
    entries: list[StateEntry] = [("a", A, 3, 1, 1), ("b", B, -1, 5, 0), ("c", C, 4, 5, 1)]
    a, b, c = listed(QEMU, entries, Known(transient={A}, autostart={B}), 5)
    assert (a.persistent, a.autostart, a.id, a.marker, a.active) == (False, False, 3, 3, True)
    assert (b.persistent, b.autostart, b.id, b.marker, b.active) == (True, True, None, None, False)
    assert (c.id, c.marker, c.active) == (4, None, False)
    assert a.native == {"state": 1, "reason": 1, "id": 3}
    assert {x.asked for x in (a, b, c)} == {5}
    assert {x.origin for x in (a, b, c)} == {Origin.LIST}


def test_a_listing_without_those_lists_does_not_say() -> None:
    """Not supported is not "no"."""
    (a,) = listed(QEMU, [("a", A, 3, 1, 1)], Known(), 5)
    assert (a.persistent, a.autostart) == (None, None)


def test_a_listing_with_both_lists_leaves_open_what_is_in_neither() -> None:
    """It came between the two."""
    entries: list[StateEntry] = [("a", A, 1, 1, 0), ("b", B, 2, 1, 0), ("c", C, 3, 1, 0)]
    found = listed(QEMU, entries, Known(transient={A}, persistent={B}), 5)
    assert [x.persistent for x in found] == [False, True, None]


def test_inactive_domains_share_their_evidence() -> None:
    """A mapping each would cost 230 bytes a domain."""
    a, b = listed(QEMU, [("a", A, -1, 5, 0), ("b", B, -1, 5, 0)], Known(), 1)
    assert a.native is b.native


def test_a_listing_asks_the_other_source_where_the_state_does_not_say() -> None:
    """CRASHED, no state, a saved image, a state not said, a number of the future."""
    entries: list[StateEntry] = [
        ("a", A, 1, 6, 1),
        ("b", B, -1, 0, 0),
        ("c", C, -1, 5, 0),
        ("d", D, -1, None, None),
        ("e", A, 2, 9, 9),
    ]
    known = Known(active={A: True, B: False}, saved={C})
    a, b, c, d, e = listed(QEMU, entries, known, 1)
    assert (a.active, a.marker) == (True, 1)
    assert b.status is not None
    assert (b.status.state, b.active) == (DomainState.SHUTOFF, False)
    assert c.status is not None
    assert c.status.reason is ShutoffReason.SAVED
    assert (d.status, d.active) == (None, None)
    assert e.status is not None
    assert (int(e.status.state), e.active) == (9, True)


def test_normal_start_keeps_the_order_of_its_events() -> None:
    """§10: RESUMED comes before STARTED; the last one only says why."""
    resumed, started = seen("a", A, 7, 4, 0), seen("a", A, 7, 2, 0)
    assert (resumed.signal, started.signal) == (Signal.RESUMED, Signal.STARTED)
    for item in (resumed, started):
        assert item.status is not None
        assert (item.status.state, item.active, item.id, item.marker) == (DomainState.RUNNING, True, 7, 7)
        assert (item.origin, item.asked) == (Origin.EVENT, 9)
    assert started.status is not None
    assert started.status.reason is RunningReason.BOOTED
    assert started.cause is not None
    assert (started.cause.type, started.cause.detail) == ("Started", "Booted")


def test_start_from_an_image_leaves_the_state_to_a_read() -> None:
    """§10: STARTED/restored, then RESUMED/from-snapshot; it may have been restored paused."""
    started = seen("a", A, 7, 2, 2)
    assert (started.status, started.active, started.native) == (None, True, {})


@pytest.mark.parametrize("id", [-1, 7])
def test_a_stop_is_inactive_whatever_id_it_carries(id: int) -> None:
    """§10: the old id comes with some stops."""
    stopped = seen("a", A, id, 5, 1)
    assert (stopped.active, stopped.marker) == (False, None)
    assert stopped.id == (7 if id == 7 else None)
    assert stopped.native == {"event": 5, "detail": 1}


def test_a_rename_names_the_new_name() -> None:
    """UNDEFINED/renamed carries the old one."""
    old, new = seen("a", A, -1, 1, 1), seen("b", A, -1, 0, 2)
    assert (old.signal, old.name, new.signal, new.name) == (Signal.RENAMED_FROM, "a", Signal.RENAMED, "b")
    assert old.persistent is None


def test_an_event_of_the_future_asks_for_a_listing() -> None:
    """Nobody knows what it did."""
    assert isinstance(lifecycle_item("a", A, 1, 12, 0, 3), Overrun)


def test_reboot_and_control_error_are_signals_without_a_state() -> None:
    """They say that something happened, not what the state is."""
    for item, signal in (
        (rebooted(("a", A, 7), 3), Signal.REBOOTED),
        (control_lost(("a", A, -1), 3), Signal.CONTROL_LOST),
    ):
        found = item.observation
        assert (found.signal, found.status, found.active, found.marker) == (signal, None, None, None)
        assert found.native == {}
