"""The state tables: total over every driver and number, and the rows of reference/libvirt-wire.md §16."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from avirt.drivers.libvirt import states
from avirt.drivers.libvirt.states import TABLES, Row, table_of
from avirt.model.state import (
    REASONS,
    BlockedReason,
    CrashedReason,
    DomainState,
    NostateReason,
    PausedReason,
    PMSuspendedReason,
    Reason,
    RunningReason,
    ShutdownReason,
    ShutoffReason,
    Transition,
)

PROTOCOL = json.loads((Path(states.__file__).parent / "protocol.json").read_bytes())
ENUMS = PROTOCOL["public"]["enums"]
REASON_ENUMS = {
    0: "virDomainNostateReason",
    1: "virDomainRunningReason",
    2: "virDomainBlockedReason",
    3: "virDomainPausedReason",
    4: "virDomainShutdownReason",
    5: "virDomainShutoffReason",
    6: "virDomainCrashedReason",
    7: "virDomainPMSuspendedReason",
}
DRIVERS = ["QEMU", "Xen", "LXC", "Test", "VBOX", "BHYVE", "vz", "Parallels", "ESX", "Hyper-V", "OpenVZ", "VMware", "CH"]


def seen(driver: str, state: int, reason: int, active: bool | None = None) -> Row:
    return table_of(driver).read(state, reason).with_activity(active)


@pytest.mark.parametrize("driver", [*DRIVERS, "phyp", "UML", "network", "a driver of the future"])
@pytest.mark.parametrize("active", [True, False, None])
def test_every_number_of_every_driver_has_a_state(driver: str, active: bool | None) -> None:
    """Total: all known numbers, those of the future, negative ones; inactive is SHUTOFF, CRASHED or not known."""
    for state in range(-2, 12):
        for reason in range(-1, 40):
            row = seen(driver, state, reason, active)
            assert row.native == {"state": state, "reason": reason}
            assert all(type(value) is int for value in row.native.values())
            if row.status is None:
                assert (state, active) == (0, None)
                continue
            if row.active is False:
                assert row.status.state in (DomainState.SHUTOFF, DomainState.CRASHED)
            if row.status.state is DomainState.SHUTOFF:
                assert row.active is False
            if active is not None and driver in ("QEMU", "Xen", "LXC", "VBOX"):
                assert row.active is not None


def test_known_reasons_are_those_of_the_protocol() -> None:
    """Each reason that libvirt's table names has a row of its own."""
    for state, name in REASON_ENUMS.items():
        for number in ENUMS[name].values():
            assert (state, number) in TABLES["qemu"].rows, (name, number)
    assert {int(state) for state in REASONS} == {v for k, v in ENUMS["virDomainState"].items()}


@pytest.mark.parametrize(
    ("state", "reason", "status", "why", "transition"),
    [
        (1, 1, DomainState.RUNNING, RunningReason.BOOTED, None),
        (1, 9, DomainState.RUNNING, RunningReason.CRASHED, None),
        (1, 10, DomainState.RUNNING, RunningReason.POSTCOPY, Transition.MIGRATING),
        (1, 11, DomainState.RUNNING, RunningReason.POSTCOPY_FAILED, None),
        (3, 1, DomainState.PAUSED, PausedReason.USER, None),
        (3, 2, DomainState.PAUSED, PausedReason.MIGRATION, Transition.MIGRATING),
        (3, 3, DomainState.PAUSED, PausedReason.SAVE, Transition.SAVING),
        (3, 5, DomainState.PAUSED, PausedReason.IOERROR, None),
        (3, 8, DomainState.PAUSED, PausedReason.SHUTTING_DOWN, Transition.STOPPING),
        (3, 9, DomainState.PAUSED, PausedReason.SNAPSHOT, Transition.SNAPSHOTTING),
        (3, 10, DomainState.CRASHED, CrashedReason.PANICKED, None),
        (3, 11, DomainState.PAUSED, PausedReason.STARTING_UP, Transition.STARTING),
        (3, 12, DomainState.PAUSED, PausedReason.POSTCOPY, Transition.MIGRATING),
        (4, 0, DomainState.SHUTDOWN, ShutdownReason.UNKNOWN, Transition.STOPPING),
        (4, 1, DomainState.SHUTDOWN, ShutdownReason.USER, Transition.STOPPING),
        (5, 5, DomainState.SHUTOFF, ShutoffReason.SAVED, None),
        (5, 3, DomainState.SHUTOFF, ShutoffReason.CRASHED, None),
        (7, 0, DomainState.PMSUSPENDED, PMSuspendedReason.UNKNOWN, None),
    ],
)
def test_common_states_have_their_transition(
    state: int, reason: int, status: DomainState, why: Reason, transition: Transition | None
) -> None:
    """§10 and the qemu rows of §16."""
    row = seen("QEMU", state, reason)
    assert row.status is not None
    assert (row.status.state, row.status.reason, row.status.transition) == (status, why, transition)
    assert row.active is (status is not DomainState.SHUTOFF)


def test_blocked_is_running_and_idle_except_on_vbox() -> None:
    """§16, rule 3; VirtualBox's BLOCKED is Stuck: hung."""
    for driver in ("QEMU", "Xen", "LXC", "Test"):
        row = seen(driver, 2, 0)
        assert row.status is not None
        assert (row.status.state, row.status.idle, row.active) == (DomainState.RUNNING, True, True)
    stuck = seen("VBOX", 2, 0)
    assert stuck.status is not None
    assert (stuck.status.state, stuck.status.reason, stuck.active) == (
        DomainState.BLOCKED,
        BlockedReason.UNKNOWN,
        True,
    )
    assert not stuck.status.idle


def test_blocked_for_a_future_reason_stays_running() -> None:
    """BLOCKED's reasons are not RUNNING's: the number is kept in the evidence only."""
    row = seen("QEMU", 2, 7)
    assert row.status is not None
    assert (row.status.state, row.status.reason) == (DomainState.RUNNING, RunningReason.UNKNOWN)
    vbox = seen("VBOX", 2, 7)
    assert vbox.status is not None
    assert vbox.status.reason.name == "UNKNOWN_7"


def test_no_state_on_xen_is_decided_by_the_other_source() -> None:
    """Inactive without a state is SHUTOFF, active is running and idle, else unknown: never decided by the id."""
    off, up, open_ = seen("Xen", 0, 0, False), seen("Xen", 0, 0, True), seen("Xen", 0, 0)
    assert off.status is not None
    assert up.status is not None
    assert (off.status.state, off.active) == (DomainState.SHUTOFF, False)
    assert (up.status.state, up.status.reason, up.status.idle, up.active) == (
        DomainState.RUNNING,
        RunningReason.UNKNOWN,
        True,
        True,
    )
    assert open_.status is None
    assert open_.active is None


def test_no_state_elsewhere_is_off_or_unknown() -> None:
    """§16, rule 2."""
    off, up = seen("QEMU", 0, 0, False), seen("QEMU", 0, 0, True)
    assert off.status is not None
    assert up.status is not None
    assert (off.status.state, up.status.state) == (DomainState.SHUTOFF, DomainState.NOSTATE)
    assert up.status.reason is NostateReason.UNKNOWN


def test_no_state_on_vbox_is_running_if_online() -> None:
    """§16 vbox: Starting, Saving and the like show as NOSTATE with an id."""
    row = seen("VBOX", 0, 0, True)
    assert row.status is not None
    assert (row.status.state, row.status.idle) == (DomainState.RUNNING, False)
    off = seen("VBOX", 0, 0, False)
    assert off.status is not None
    assert off.status.state is DomainState.SHUTOFF


@pytest.mark.parametrize("driver", ["Hyper-V", "vz", "Parallels", "ESX", "phyp"])
@pytest.mark.parametrize("active", [True, False, None])
def test_no_state_where_the_driver_does_not_know_stays_unknown(driver: str, active: bool | None) -> None:
    """§16 hyperv: unknown is counted inactive there, and yet is nothing that could be started."""
    row = seen(driver, 0, 0, active)
    assert row.status is not None
    assert (row.status.state, row.active) == (DomainState.NOSTATE, None)


@pytest.mark.parametrize("reason", range(20))
def test_suspended_on_esx_is_saved(reason: int) -> None:
    """§16 esx: to disk, no CPU, no memory; libvirt says PAUSED with an active id."""
    row = seen("ESX", 3, reason)
    assert row.status is not None
    assert (row.status.state, row.status.reason, row.active) == (DomainState.SHUTOFF, ShutoffReason.SAVED, False)


def test_crashed_is_active_or_not_as_another_source_says() -> None:
    """§16, rule 6; VirtualBox's Aborted never is."""
    for active in (True, False, None):
        row = seen("QEMU", 6, 1, active)
        assert row.status is not None
        assert (row.status.state, row.status.reason, row.active) == (
            DomainState.CRASHED,
            CrashedReason.PANICKED,
            active,
        )
    assert seen("VBOX", 6, 0, True).active is False


def test_future_reason_of_crashed_is_kept_whatever_the_activity() -> None:
    """A reason nobody knew, in a row with two halves."""
    row = seen("QEMU", 6, 5, True)
    assert row.status is not None
    assert (row.status.reason.name, row.active) == ("UNKNOWN_5", True)


def test_future_state_is_kept_and_off_when_inactive() -> None:
    """An unknown number is a state of its own; inactive it is SHUTOFF."""
    up, off, open_ = seen("QEMU", 8, 3, True), seen("QEMU", 8, 3, False), seen("QEMU", 8, 3)
    assert up.status is not None
    assert off.status is not None
    assert open_.status is not None
    assert (up.status.state.name, up.active) == ("UNKNOWN_8", True)
    assert (off.status.state, off.active) == (DomainState.SHUTOFF, False)
    assert (int(open_.status.state), open_.active) == (8, None)


def test_activity_of_a_certain_row_is_not_overruled() -> None:
    """The state source wins: RUNNING is active whatever a list said."""
    assert seen("QEMU", 1, 1, False).active is True
    assert seen("QEMU", 5, 1, True).active is False


def test_driver_words_are_compared_without_case_and_signs() -> None:
    """`connect_get_type` says "Hyper-V", "QEMU", "Test" or "TEST"."""
    assert table_of("Hyper-V") is TABLES["hyperv"]
    assert table_of("TEST") is table_of("test")
    assert table_of("vz").name == table_of("Parallels").name == "vz"
    assert table_of("").name == "common"


def test_evidence_is_shared() -> None:
    """One mapping a state, for all domains that have no id."""
    assert seen("QEMU", 5, 0).native == {"state": 5, "reason": 0}
    assert seen("QEMU", 5, 0).native is seen("QEMU", 5, 0).native
