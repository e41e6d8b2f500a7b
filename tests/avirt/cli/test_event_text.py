"""Events read as `virsh event` prints them (9.0.0; its format strings are in tools/virsh-domain-event.c)."""

from __future__ import annotations

from typing import Any

import pytest

from avirt.cli.event_text import EVENTS, told
from avirt.model import native_event as native
from avirt.model.change import DomainEvent
from avirt.model.observation import Cause, Gone, LinkLost, NativeEvent, Observation, Seen
from avirt.model.record import key_of

UUID_TEXT = "6695eb01-f6a4-8304-79aa-97f2502e193f"
KEY = key_of(UUID_TEXT)
WHO: Any = {"host": "h", "key": KEY, "name": "vm"}
ADDRESS = native.GraphicsAddress("ipv4", "127.0.0.1", "5900")

SAMPLES: list[tuple[DomainEvent, str]] = [
    (native.RTCChange(**WHO, offset=3600), "event 'rtc-change' for domain 'vm': 3600"),
    (native.Watchdog(**WHO, action="injectnmi"), "event 'watchdog' for domain 'vm': inject-nmi"),
    (
        native.IOError(**WHO, path="/d", device="vda", action="pause"),
        "event 'io-error' for domain 'vm': /d (vda) pause",
    ),
    (
        native.IOError(**WHO, path="/d", device="vda", action="pause", reason="enospc"),
        "event 'io-error-reason' for domain 'vm': /d (vda) pause due to enospc",
    ),
    (
        native.Graphics(
            **WHO, phase="connect", local=ADDRESS, remote=ADDRESS, auth_scheme="none", subject=(("dn", "me"),)
        ),
        (
            "event 'graphics' for domain 'vm': connect local[IPv4 127.0.0.1 5900] remote[IPv4 127.0.0.1 5900] none"
            "\n\tdn=me"
        ),
    ),
    (native.ControlError(**WHO), "event 'control-error' for domain 'vm'"),
    (
        native.BlockJob(**WHO, disk="/d.qcow2", type="active_commit", status="ready"),
        "event 'block-job' for domain 'vm': Active Block Commit for /d.qcow2 ready",
    ),
    (
        native.BlockJob(**WHO, disk="vda", type="pull", status="completed"),
        "event 'block-job-2' for domain 'vm': Block Pull for vda completed",
    ),
    (
        native.DiskChange(**WHO, old_path="/a", new_path="/b", device="hdc", reason="change_missing_on_start"),
        "event 'disk-change' for domain 'vm' disk hdc: /a -> /b: changed",
    ),
    (native.TrayChange(**WHO, device="hdc", reason="open"), "event 'tray-change' for domain 'vm' disk hdc: opened"),
    (native.PMWakeup(**WHO, reason=0), "event 'pm-wakeup' for domain 'vm'"),
    (native.PMSuspend(**WHO, reason=0), "event 'pm-suspend' for domain 'vm'"),
    (native.PMSuspendDisk(**WHO, reason=0), "event 'pm-suspend-disk' for domain 'vm'"),
    (native.BalloonChange(**WHO, actual_kib=1024), "event 'balloon-change' for domain 'vm': 1024KiB"),
    (native.DeviceRemoved(**WHO, device="net0"), "event 'device-removed' for domain 'vm': net0"),
    (native.Tunable(**WHO, params={"a": 1, "b": "x"}), "event 'tunable' for domain 'vm':\n\ta: 1\n\tb: x"),
    (
        native.AgentLifecycle(**WHO, state="connected", reason="channel"),
        "event 'agent-lifecycle' for domain 'vm': state: 'connected' reason: 'channel event'",
    ),
    (native.DeviceAdded(**WHO, device="net0"), "event 'device-added' for domain 'vm': net0"),
    (
        native.MigrationIteration(**WHO, iteration=3),
        "event 'migration-iteration' for domain 'vm': iteration: '3'",
    ),
    (native.JobCompleted(**WHO, params={"t": 5}), "event 'job-completed' for domain 'vm':\n\tt: 5"),
    (native.DeviceRemovalFailed(**WHO, device="net0"), "event 'device-removal-failed' for domain 'vm': net0"),
    (
        native.MetadataChange(**WHO, type="element", uri="http://x"),
        "event 'metadata-change' for domain 'vm': type element, uri http://x",
    ),
    (
        native.BlockThreshold(**WHO, device="vda", path="/d", threshold=10, excess=2),
        "event 'block-threshold' for domain 'vm': dev: vda(/d) 10 2",
    ),
    (
        native.MemoryFailure(**WHO, recipient="guest", action="inject", flags=2),
        (
            "event 'memory-failure' for domain 'vm':\nrecipient: guest\naction: inject\nflags:\n"
            "\taction required: 0\n\trecursive: 1"
        ),
    ),
    (
        native.MemoryDeviceSizeChange(**WHO, device="virtiomem0", size_kib=4),
        "event 'memory-device-size-change' for domain 'vm':\nalias: virtiomem0\nsize: 4",
    ),
    (
        native.NicMacChange(**WHO, device="net0", old_mac="a", new_mac="b"),
        "event 'nic-mac-change' for domain 'vm': alias: net0 old: a new: b",
    ),
    (native.VCPURemoved(**WHO, vcpu=2), "event 'vcpu-removed' for domain 'vm': 2"),
    (
        native.ChannelLifecycle(**WHO, channel="org.q", state="connected", reason="domain_started"),
        "event 'channel-lifecycle' for domain 'vm': channel: 'org.q' state: 'connected' reason: 'domain started'",
    ),
]


@pytest.mark.parametrize(("event", "text"), SAMPLES, ids=lambda value: getattr(value, "kind", ""))
def test_an_event_reads_as_virsh_prints_it(event: DomainEvent, text: str) -> None:
    one = told(NativeEvent(event))
    assert one is not None
    assert one.text("vm") == text
    assert one.event in EVENTS
    assert (one.key, one.name) == (KEY, "vm")


def test_every_class_of_event_has_a_text() -> None:
    assert {type(event) for event, _ in SAMPLES} == set(native.NATIVE_EVENTS)


def test_a_lifecycle_event_reads_as_virsh_prints_it() -> None:
    one = told(Seen(Observation(key=KEY, name="vm", cause=Cause("lifecycle", "Started", "Booted"))))
    assert one is not None
    assert one.text("vm") == "event 'lifecycle' for domain 'vm': Started Booted"
    assert one.document("h", "vm", 1.5) == {
        "event": "lifecycle",
        "host": "h",
        "uuid": UUID_TEXT,
        "name": "vm",
        "observed_at": 1.5,
        "type": "Started",
        "detail": "Booted",
    }


def test_a_bare_event_has_no_words_behind_the_domain() -> None:
    one = told(Seen(Observation(key=KEY, cause=Cause("reboot"))))
    assert one is not None
    assert (one.name, one.text("vm")) == (None, "event 'reboot' for domain 'vm'")
    assert one.document("h", "vm", 1.5).keys() == {"event", "host", "uuid", "name", "observed_at"}


def test_an_events_own_fields_are_in_its_document() -> None:
    one = told(NativeEvent(native.AgentLifecycle(**WHO, state="connected", reason="channel")))
    assert one is not None
    document = one.document("h", "vm", 1.5)
    assert (document["event"], document["state"], document["reason"]) == ("agent-lifecycle", "connected", "channel")


def test_reads_and_the_link_tell_no_event() -> None:
    assert told(Seen(Observation(key=KEY))) is None
    assert told(Gone(KEY)) is None
    assert told(LinkLost("why")) is None


def test_an_event_of_a_class_that_is_not_known_is_passed_over() -> None:
    assert told(NativeEvent(DomainEvent(host="h", key=KEY))) is None
