"""The table of QMP's events: each row of reference/drivers.md §1, each event that a real QEMU has, each typed one."""

from __future__ import annotations

from typing import Any

import pytest

from avirt.drivers.qemu.events import EVENTS, Data, Subject, flag, native_event, row_of, word
from avirt.model import native_event as n
from avirt.model.change import DomainEvent
from avirt.model.observation import Signal
from avirt.model.record import Key
from avirt.model.state import (
    CrashedReason,
    DomainState,
    NormalState,
    PMSuspendedReason,
    RunningReason,
    ShutdownReason,
    Transition,
)
from tests.drivers.qemu.golden import SCENES, SCHEMA

KEY = Key(bytes(range(16)))
WHO = Subject(KEY, "web1", frozenset({"agent0"}))
NEWER = {"GUEST_PVSHUTDOWN", "HV_BALLOON_STATUS_REPORT", "CPU_POLARIZATION_CHANGE", "VFIO_MIGRATION"}
NEWER_MEMBERS = {"BLOCK_IO_ERROR": {"qom-path"}}  # since 10.0


def made(kind: type[DomainEvent], **fields: Any) -> DomainEvent:
    return kind(host="", key=KEY, name="web1", **fields)


def test_events_are_those_of_a_real_qemu() -> None:
    """Every one of 7.2 has its row, and what came since."""
    assert EVENTS.keys() - NEWER == SCHEMA["events"].keys()


@pytest.mark.parametrize(
    ("event", "signal", "status"),
    [
        ("POWERDOWN", Signal.SHUTDOWN, NormalState(DomainState.SHUTDOWN, ShutdownReason.USER, Transition.STOPPING)),
        ("SHUTDOWN", Signal.SHUTDOWN, NormalState(DomainState.SHUTDOWN, ShutdownReason.UNKNOWN, Transition.STOPPING)),
        ("RESET", Signal.REBOOTED, None),
        ("STOP", Signal.SUSPENDED, None),
        ("RESUME", Signal.RESUMED, NormalState(DomainState.RUNNING, RunningReason.UNPAUSED)),
        ("SUSPEND", Signal.PMSUSPENDED, NormalState(DomainState.PMSUSPENDED, PMSuspendedReason.UNKNOWN)),
        ("WAKEUP", Signal.RESUMED, NormalState(DomainState.RUNNING, RunningReason.WAKEUP)),
        ("GUEST_PANICKED", Signal.CRASHED, NormalState(DomainState.CRASHED, CrashedReason.PANICKED)),
        ("GUEST_CRASHLOADED", Signal.CRASHED, NormalState(DomainState.RUNNING, RunningReason.CRASHED)),
    ],
)
def test_event_of_the_lifecycle_signals(event: str, signal: Signal, status: NormalState | None) -> None:
    """What it alone tells; None where its neighbours decide."""
    row = EVENTS[event]
    assert (row.signal, row.status, row.passes_through) == (signal, status, False)


def test_no_other_event_signals() -> None:
    """The lifecycle hears of nothing else."""
    signalling = {event for event, row in EVENTS.items() if row.signal is not None}
    assert signalling == {
        *("POWERDOWN", "SHUTDOWN", "RESET", "STOP", "RESUME", "SUSPEND", "WAKEUP"),
        *("GUEST_PANICKED", "GUEST_CRASHLOADED"),
    }


def test_events_that_say_why() -> None:
    """Neighbours of STOP, RESET and the end."""
    assert {event for event, row in EVENTS.items() if row.context} == {
        *("SHUTDOWN", "WAKEUP", "WATCHDOG", "GUEST_PANICKED", "MIGRATION", "JOB_STATUS_CHANGE", "BLOCK_IO_ERROR"),
    }


def test_throttled_events_and_what_tells_them_apart() -> None:
    """monitor/monitor.c, monitor_qapi_event_conf, as of 10.0."""
    assert {event: row.throttle_key for event, row in EVENTS.items() if row.throttled} == {
        "RTC_CHANGE": "",
        "BLOCK_IO_ERROR": "qom-path",
        "WATCHDOG": "",
        "BALLOON_CHANGE": "",
        "QUORUM_REPORT_BAD": "node-name",
        "QUORUM_FAILURE": "",
        "VSERPORT_CHANGE": "id",
        "MEMORY_DEVICE_SIZE_CHANGE": "qom-path",
        "HV_BALLOON_STATUS_REPORT": "",
    }


TYPED: list[tuple[str, Data, DomainEvent]] = [
    ("SUSPEND", {}, made(n.PMSuspend, reason=0)),
    ("SUSPEND_DISK", {}, made(n.PMSuspendDisk, reason=0)),
    ("WAKEUP", {}, made(n.PMWakeup, reason=0)),
    ("WATCHDOG", {"action": "pause"}, made(n.Watchdog, action="pause")),
    ("WATCHDOG", {"action": "inject-nmi"}, made(n.Watchdog, action="injectnmi")),
    ("MIGRATION_PASS", {"pass": 2}, made(n.MigrationIteration, iteration=2)),
    (
        "BLOCK_IO_ERROR",
        {"device": "d0", "node-name": "n0", "operation": "read", "action": "stop", "nospace": True, "reason": "full"},
        made(n.IOError, path="", device="d0", action="pause", reason="enospc"),
    ),
    (
        "BLOCK_IO_ERROR",
        {"device": "", "qom-path": "/machine/d", "operation": "read", "action": "ignore", "reason": "broken"},
        made(n.IOError, path="", device="/machine/d", action="none", reason="broken"),
    ),
    (
        "BLOCK_IO_ERROR",
        {
            "device": "",
            "node-name": "n0",
            "operation": "read",
            "action": "report",
            "nospace": False,
            "reason": "broken",
        },
        made(n.IOError, path="", device="n0", action="report", reason="broken"),
    ),
    (
        "BLOCK_JOB_COMPLETED",
        {"type": "mirror", "device": "j", "len": 1, "offset": 1, "speed": 0},
        made(n.BlockJob, disk="j", type="copy", status="completed"),
    ),
    (
        "BLOCK_JOB_COMPLETED",
        {"type": "stream", "device": "j", "len": 1, "offset": 1, "speed": 0, "error": "no space"},
        made(n.BlockJob, disk="j", type="pull", status="failed"),
    ),
    (
        "BLOCK_JOB_CANCELLED",
        {"type": "backup", "device": "j", "len": 1, "offset": 1, "speed": 0},
        made(n.BlockJob, disk="j", type="backup", status="canceled"),
    ),
    (
        "BLOCK_JOB_READY",
        {"type": "commit", "device": "j", "len": 1, "offset": 1, "speed": 0},
        made(n.BlockJob, disk="j", type="commit", status="ready"),
    ),
    (
        "BLOCK_WRITE_THRESHOLD",
        {"node-name": "n0", "amount-exceeded": 5, "write-threshold": 100},
        made(n.BlockThreshold, device="n0", path="", threshold=100, excess=5),
    ),
    (
        "DEVICE_TRAY_MOVED",
        {"device": "cd", "id": "ide0", "tray-open": True},
        made(n.TrayChange, device="ide0", reason="open"),
    ),
    (
        "DEVICE_TRAY_MOVED",
        {"device": "cd", "id": "", "tray-open": False},
        made(n.TrayChange, device="cd", reason="close"),
    ),
    ("DEVICE_DELETED", {"device": "k", "path": "/machine/peripheral/k"}, made(n.DeviceRemoved, device="k")),
    (
        "DEVICE_UNPLUG_GUEST_ERROR",
        {"device": "k", "path": "/machine/peripheral/k"},
        made(n.DeviceRemovalFailed, device="k"),
    ),
    ("DEVICE_UNPLUG_GUEST_ERROR", {"path": "/machine/p"}, made(n.DeviceRemovalFailed, device="/machine/p")),
    ("BALLOON_CHANGE", {"actual": 1 << 30}, made(n.BalloonChange, actual_kib=1 << 20)),
    (
        "MEMORY_DEVICE_SIZE_CHANGE",
        {"id": "vm0", "size": 2048, "qom-path": "/machine/m"},
        made(n.MemoryDeviceSizeChange, device="vm0", size_kib=2),
    ),
    (
        "MEMORY_DEVICE_SIZE_CHANGE",
        {"size": 2048, "qom-path": "/machine/m"},
        made(n.MemoryDeviceSizeChange, device="/machine/m", size_kib=2),
    ),
    ("RTC_CHANGE", {"offset": -7, "qom-path": "/machine/rtc"}, made(n.RTCChange, offset=-7)),
    (
        "DUMP_COMPLETED",
        {"result": {"total": 9, "status": "completed", "completed": 9}},
        made(n.JobCompleted, params={"operation": "dump", "total": 9, "status": "completed", "completed": 9}),
    ),
    (
        "DUMP_COMPLETED",
        {"result": {"total": 9, "status": "failed", "completed": 1}, "error": "disk full"},
        made(
            n.JobCompleted,
            params={"operation": "dump", "total": 9, "status": "failed", "completed": 1, "error": "disk full"},
        ),
    ),
    (
        "VSERPORT_CHANGE",
        {"id": "agent0", "open": True},
        made(n.AgentLifecycle, state="connected", reason="channel"),
    ),
    (
        "VSERPORT_CHANGE",
        {"id": "spice0", "open": False},
        made(n.ChannelLifecycle, channel="spice0", state="disconnected", reason="channel"),
    ),
    (
        "MEMORY_FAILURE",
        {"recipient": "guest", "action": "inject", "flags": {"action-required": True, "recursive": False}},
        made(n.MemoryFailure, recipient="guest", action="inject", flags=1),
    ),
    (
        "MEMORY_FAILURE",
        {"recipient": "hypervisor", "action": "fatal", "flags": {"action-required": True, "recursive": True}},
        made(n.MemoryFailure, recipient="hypervisor", action="fatal", flags=3),
    ),
    (
        "VNC_CONNECTED",
        {
            "server": {"auth": "sasl", "family": "ipv4", "service": "5900", "host": "127.0.0.1", "websocket": False},
            "client": {"family": "ipv4", "service": "40000", "host": "10.0.0.9", "websocket": False},
        },
        made(
            n.Graphics,
            phase="connect",
            local=n.GraphicsAddress("ipv4", "127.0.0.1", "5900"),
            remote=n.GraphicsAddress("ipv4", "10.0.0.9", "40000"),
            auth_scheme="sasl",
        ),
    ),
    (
        "VNC_INITIALIZED",
        {
            "server": {"auth": "sasl", "family": "ipv6", "service": "5900", "host": "::1"},
            "client": {"family": "ipv6", "service": "4", "host": "::1", "sasl_username": "ann", "x509_dname": "CN=a"},
        },
        made(
            n.Graphics,
            phase="initialize",
            local=n.GraphicsAddress("ipv6", "::1", "5900"),
            remote=n.GraphicsAddress("ipv6", "::1", "4"),
            auth_scheme="sasl",
            subject=(("x509dname", "CN=a"), ("saslUsername", "ann")),
        ),
    ),
    *(
        (
            event,
            {
                "server": {"auth": "spice", "family": "ipv4", "port": "5901", "host": "0.0.0.0"},
                "client": {"family": "ipv4", "port": "40001", "host": "10.0.0.9"},
            },
            made(
                n.Graphics,
                phase=phase,
                local=n.GraphicsAddress("ipv4", "0.0.0.0", "5901"),
                remote=n.GraphicsAddress("ipv4", "10.0.0.9", "40001"),
                auth_scheme="spice",
            ),
        )
        for event, phase in (
            ("VNC_DISCONNECTED", "disconnect"),
            ("SPICE_CONNECTED", "connect"),
            ("SPICE_INITIALIZED", "initialize"),
            ("SPICE_DISCONNECTED", "disconnect"),
        )
    ),
]


@pytest.mark.parametrize(("event", "data", "expected"), TYPED)
def test_event_becomes_a_typed_one(event: str, data: Data, expected: DomainEvent) -> None:
    """With libvirt's words and units."""
    assert native_event(event, WHO, data) == expected


def test_typed_events_are_tested_each_and_have_the_members_of_a_real_qemu() -> None:
    """The samples above have every member that 7.2 always sends, and none that no QEMU has."""
    assert {event for event, _, _ in TYPED} == {event for event, row in EVENTS.items() if row.make is not None}
    for event, data, _ in TYPED:
        members = SCHEMA["events"][event]
        assert data.keys() <= members.keys() | NEWER_MEMBERS.get(event, set()), event
        assert data.keys() >= {member for member, optional in members.items() if not optional}, event


def test_device_without_an_id_that_goes_is_a_part_of_another() -> None:
    """A child of what was unplugged: nobody could name it."""
    assert native_event("DEVICE_DELETED", WHO, {"path": "/machine/peripheral/n/virtio-backend"}) is None


@pytest.mark.parametrize(
    "event",
    [
        *("NIC_RX_FILTER_CHANGED", "QUORUM_FAILURE", "QUORUM_REPORT_BAD", "UNPLUG_PRIMARY", "MEM_UNPLUG_ERROR"),
        *("BLOCK_JOB_ERROR", "BLOCK_JOB_PENDING", "BLOCK_IMAGE_CORRUPTED", "BLOCK_EXPORT_DELETED"),
        *("GUEST_PVSHUTDOWN", "SPICE_MIGRATE_COMPLETED", "FROM_THE_FUTURE"),
    ],
)
def test_event_is_passed_through(event: str) -> None:
    """Whoever reads the monitor's own events gets it; so one that nobody knew yet."""
    assert row_of(event).passes_through
    assert native_event(event, WHO, {}) is None


@pytest.mark.parametrize("event", sorted(event for event, row in EVENTS.items() if row.make is not None))
@pytest.mark.parametrize("value", [None, 7, "x", [], {}, True])
def test_event_with_members_of_other_types_is_no_error(event: str, value: object) -> None:
    """A peer may send anything: what is not what it should be is not there."""
    members = ["device", "id", "path", "action", "type", "flags", "result", "server", "client", "open", "size", "pass"]
    for data in ({}, dict.fromkeys(members, value)):
        native_event(event, WHO, data)


def test_members_are_read_by_their_type() -> None:
    """True is no text, and 1 is not true."""
    assert (word({"a": "b"}, "a"), word({"a": True}, "a"), word({}, "a")) == ("b", "", "")
    assert (flag({"a": False}, "a"), flag({"a": 1}, "a"), flag({}, "a")) == (False, None, None)


def test_events_of_real_recordings_become_typed_ones() -> None:
    """Jobs, an unplug and a dump of 7.2."""
    got = [
        event
        for name in ("job_create", "device_del", "dump")
        for line in SCENES[name].lines
        if line.got and (event := native_event(line.got.get("event", ""), WHO, line.got.get("data", {})))
    ]
    assert got[:-2] == [
        made(n.BlockJob, disk="jb", type="backup", status="completed"),
        made(n.BlockJob, disk="jm", type="copy", status="ready"),
        made(n.BlockJob, disk="jm", type="copy", status="completed"),
        made(n.BlockJob, disk="jm2", type="copy", status="ready"),
        made(n.BlockJob, disk="jm2", type="copy", status="completed"),  # cancelling what is ready completes it
        made(n.DeviceRemoved, device="k"),
    ]
    assert [type(event) for event in got[-2:]] == [n.JobCompleted, n.JobCompleted]
