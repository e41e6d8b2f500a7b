"""Every domain event of the protocol, in both registrations, becomes its typed Item."""

from __future__ import annotations

from typing import Any

import pytest

from avirt.drivers.libvirt import codec
from avirt.drivers.libvirt.generated import types as t
from avirt.drivers.libvirt.generated.procedures import DOMAIN_EVENTS
from avirt.drivers.libvirt.notices import items_of
from avirt.drivers.libvirt.procedure import DomainEventKind
from avirt.model import native_event as n
from avirt.model.change import DomainEvent
from avirt.model.native_event import NATIVE_EVENTS
from avirt.model.observation import NativeEvent, Overrun, Seen, Signal
from avirt.model.record import Key
from avirt.model.state import DomainState

KEY = Key(bytes(range(16)))
DOM = t.RemoteDomain("web1", KEY, 7)
PARAMS = (t.RemoteTypedParam("cpu", 4, 5), t.RemoteTypedParam("disk", 7, "vda"))
LOCAL, REMOTE = t.RemoteDomainEventGraphicsAddress(0, "::1", "5900"), t.RemoteDomainEventGraphicsAddress(9, "h", "1")


def event(kind: type[DomainEvent], **fields: Any) -> DomainEvent:
    return kind(host="", key=KEY, name="web1", **fields)


# id → (body of both registrations or None, message of the newer one, what it becomes)
CASES: dict[int, tuple[object, object, DomainEvent]] = {
    2: (
        body := t.RemoteDomainEventRtcChangeMsg(DOM, -3600),
        t.RemoteDomainEventCallbackRtcChangeMsg(1, body),
        event(n.RTCChange, offset=-3600),
    ),
    3: (
        watchdog := t.RemoteDomainEventWatchdogMsg(DOM, 1),
        t.RemoteDomainEventCallbackWatchdogMsg(1, watchdog),
        event(n.Watchdog, action="pause"),
    ),
    4: (
        io := t.RemoteDomainEventIoErrorMsg(DOM, "/a", "virtio0", 2),
        t.RemoteDomainEventCallbackIoErrorMsg(1, io),
        event(n.IOError, path="/a", device="virtio0", action="report"),
    ),
    5: (
        graphics := t.RemoteDomainEventGraphicsMsg(
            DOM, 0, LOCAL, REMOTE, "sasl", (t.RemoteDomainEventGraphicsIdentity("saslUsername", "joe"),)
        ),
        t.RemoteDomainEventCallbackGraphicsMsg(1, graphics),
        event(
            n.Graphics,
            phase="connect",
            local=n.GraphicsAddress("ipv4", "::1", "5900"),
            remote=n.GraphicsAddress("unknown_9", "h", "1"),
            auth_scheme="sasl",
            subject=(("saslUsername", "joe"),),
        ),
    ),
    6: (
        why := t.RemoteDomainEventIoErrorReasonMsg(DOM, "/a", "virtio0", 1, "enospc"),
        t.RemoteDomainEventCallbackIoErrorReasonMsg(1, why),
        event(n.IOError, path="/a", device="virtio0", action="pause", reason="enospc"),
    ),
    8: (
        job := t.RemoteDomainEventBlockJobMsg(DOM, "/a", 1, 0),
        t.RemoteDomainEventCallbackBlockJobMsg(1, job),
        event(n.BlockJob, disk="/a", type="pull", status="completed"),
    ),
    9: (
        disk := t.RemoteDomainEventDiskChangeMsg(DOM, "/a", None, "ide0", 0),
        t.RemoteDomainEventCallbackDiskChangeMsg(1, disk),
        event(n.DiskChange, old_path="/a", new_path="", device="ide0", reason="change_missing_on_start"),
    ),
    10: (
        tray := t.RemoteDomainEventTrayChangeMsg(DOM, "ide0", 1),
        t.RemoteDomainEventCallbackTrayChangeMsg(1, tray),
        event(n.TrayChange, device="ide0", reason="close"),
    ),
    11: (
        None,
        t.RemoteDomainEventCallbackPmwakeupMsg(1, 3, t.RemoteDomainEventPmwakeupMsg(DOM)),
        event(n.PMWakeup, reason=3),
    ),
    12: (
        None,
        t.RemoteDomainEventCallbackPmsuspendMsg(1, 3, t.RemoteDomainEventPmsuspendMsg(DOM)),
        event(n.PMSuspend, reason=3),
    ),
    13: (
        balloon := t.RemoteDomainEventBalloonChangeMsg(DOM, 2048),
        t.RemoteDomainEventCallbackBalloonChangeMsg(1, balloon),
        event(n.BalloonChange, actual_kib=2048),
    ),
    14: (
        None,
        t.RemoteDomainEventCallbackPmsuspendDiskMsg(1, 3, t.RemoteDomainEventPmsuspendDiskMsg(DOM)),
        event(n.PMSuspendDisk, reason=3),
    ),
    15: (
        removed := t.RemoteDomainEventDeviceRemovedMsg(DOM, "net0"),
        t.RemoteDomainEventCallbackDeviceRemovedMsg(1, removed),
        event(n.DeviceRemoved, device="net0"),
    ),
    16: (
        None,
        t.RemoteDomainEventBlockJob2Msg(1, DOM, "vda", 4, 3),
        event(n.BlockJob, disk="vda", type="active_commit", status="ready"),
    ),
    17: (
        None,
        t.RemoteDomainEventCallbackTunableMsg(1, DOM, PARAMS),
        event(n.Tunable, params={"cpu": 5, "disk": "vda"}),
    ),
    18: (
        None,
        t.RemoteDomainEventCallbackAgentLifecycleMsg(1, DOM, 1, 1),
        event(n.AgentLifecycle, state="connected", reason="domain_started"),
    ),
    19: (None, t.RemoteDomainEventCallbackDeviceAddedMsg(1, DOM, "net0"), event(n.DeviceAdded, device="net0")),
    20: (None, t.RemoteDomainEventCallbackMigrationIterationMsg(1, DOM, 3), event(n.MigrationIteration, iteration=3)),
    21: (
        None,
        t.RemoteDomainEventCallbackJobCompletedMsg(1, DOM, PARAMS),
        event(n.JobCompleted, params={"cpu": 5, "disk": "vda"}),
    ),
    22: (
        None,
        t.RemoteDomainEventCallbackDeviceRemovalFailedMsg(1, DOM, "net0"),
        event(n.DeviceRemovalFailed, device="net0"),
    ),
    23: (
        None,
        t.RemoteDomainEventCallbackMetadataChangeMsg(1, DOM, 2, None),
        event(n.MetadataChange, type="element", uri=""),
    ),
    24: (
        None,
        t.RemoteDomainEventBlockThresholdMsg(1, DOM, "vda", None, 10, 3),
        event(n.BlockThreshold, device="vda", path="", threshold=10, excess=3),
    ),
    25: (
        None,
        t.RemoteDomainEventMemoryFailureMsg(1, DOM, 1, 3, 2),
        event(n.MemoryFailure, recipient="guest", action="reset", flags=2),
    ),
    26: (
        None,
        t.RemoteDomainEventMemoryDeviceSizeChangeMsg(1, DOM, "dimm0", 1024),
        event(n.MemoryDeviceSizeChange, device="dimm0", size_kib=1024),
    ),
    27: (
        None,
        t.RemoteDomainEventNicMacChangeMsg(1, DOM, "net0", "a", "b"),
        event(n.NicMacChange, device="net0", old_mac="a", new_mac="b"),
    ),
    28: (None, t.RemoteDomainEventVcpuRemovedMsg(1, DOM, 2), event(n.VCPURemoved, vcpu=2)),
    29: (
        None,
        t.RemoteDomainEventCallbackChannelLifecycleMsg(1, DOM, "org.qemu", 2, 2),
        event(n.ChannelLifecycle, channel="org.qemu", state="disconnected", reason="channel"),
    ),
}


@pytest.mark.parametrize("kind", DOMAIN_EVENTS, ids=lambda kind: kind.name)
def test_every_event_of_the_protocol_is_understood(kind: DomainEventKind) -> None:
    """As bytes on the wire, by the newer registration and, where there is one, by the older."""
    if kind.id not in CASES:
        assert kind.name in ("LIFECYCLE", "REBOOT", "CONTROL_ERROR")
        return
    body, message, expected = CASES[kind.id]
    wire = codec.pack_event(kind.message, message)
    assert list(items_of(codec.unpack_event(kind.message, wire), 5)) == [NativeEvent(expected, 5)]
    if kind.legacy is not None and body is not None:
        wire = codec.pack_event(kind.legacy, body)
        assert list(items_of(codec.unpack_event(kind.legacy, wire), 5)) == [NativeEvent(expected, 5)]


def test_every_typed_event_is_made_from_something() -> None:
    """No class of the model is left without a source."""
    assert {type(expected) for _, _, expected in CASES.values()} | {n.ControlError} == set(NATIVE_EVENTS)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (t.RemoteDomainEventPmwakeupMsg(DOM), n.PMWakeup),
        (t.RemoteDomainEventPmsuspendMsg(DOM), n.PMSuspend),
        (t.RemoteDomainEventPmsuspendDiskMsg(DOM), n.PMSuspendDisk),
    ],
)
def test_the_older_power_events_have_no_reason(body: object, kind: type[DomainEvent]) -> None:
    """Only the newer registration adds one."""
    assert list(items_of(body, 1)) == [NativeEvent(event(kind, reason=0), 1)]


@pytest.mark.parametrize("wrapped", [True, False])
def test_lifecycle_events_become_observations(wrapped: bool) -> None:
    """Started/booted."""
    body = t.RemoteDomainEventLifecycleMsg(DOM, 2, 0)
    (item,) = items_of(t.RemoteDomainEventCallbackLifecycleMsg(1, body) if wrapped else body, 9)
    assert isinstance(item, Seen)
    seen = item.observation
    assert (seen.key, seen.name, seen.id, seen.asked, seen.signal) == (KEY, "web1", 7, 9, Signal.STARTED)
    assert seen.status is not None
    assert seen.status.state is DomainState.RUNNING


def test_unknown_lifecycle_events_ask_for_a_listing() -> None:
    """From a newer server."""
    (item,) = items_of(t.RemoteDomainEventLifecycleMsg(DOM, 77, 0), 9)
    assert isinstance(item, Overrun)


def test_reboot_is_a_signal() -> None:
    """It bears on the lifecycle only."""
    (item,) = items_of(t.RemoteDomainEventCallbackRebootMsg(1, t.RemoteDomainEventRebootMsg(DOM)), 9)
    assert isinstance(item, Seen)
    assert item.observation.signal is Signal.REBOOTED


def test_control_error_is_passed_on_and_is_a_signal() -> None:
    """The stream shows it, and the lifecycle reads the domain again."""
    first, second = items_of(t.RemoteDomainEventCallbackControlErrorMsg(1, t.RemoteDomainEventControlErrorMsg(DOM)), 9)
    assert first == NativeEvent(event(n.ControlError), 9)
    assert isinstance(second, Seen)
    assert second.observation.signal is Signal.CONTROL_LOST


@pytest.mark.parametrize(
    "message", [object(), t.RemoteConnectEventConnectionClosedMsg(1), t.RemoteDomainSnapshot("s", DOM)]
)
def test_messages_of_something_else_say_nothing(message: object) -> None:
    """Not a domain event."""
    assert list(items_of(message, 1)) == []
