"""The hypervisor's events as `virsh event` (9.0.0) prints them. Pure.

virsh's words stand here where they are not libvirt's names in lower case, which is what avirt's Changes carry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from avirt.model import native_event as native
from avirt.model.change import DomainEvent
from avirt.model.document import Document, plain
from avirt.model.native_event import Param
from avirt.model.observation import Item, NativeEvent, Seen
from avirt.model.record import DomainKey, Key

__all__ = ["EVENTS", "Told", "told"]

EVENTS: Final = native.EVENT_NAMES
"""Types of events: the names and the order of `virsh event --list`, then those of newer libvirt."""

_WORDS: Final[dict[str, str]] = {
    "injectnmi": "inject-nmi",
    "ipv4": "IPv4",
    "ipv6": "IPv6",
    "pull": "Block Pull",
    "copy": "Block Copy",
    "commit": "Block Commit",
    "active_commit": "Active Block Commit",
    "backup": "Backup",
    "change_missing_on_start": "changed",
    "drop_missing_on_start": "dropped",
    "open": "opened",
    "close": "closed",
    "domain_started": "domain started",
    "channel": "channel event",
}


def _say(word: str) -> str:
    return _WORDS.get(word, word)


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One event.

    Attributes:
        event: its type's name.
        name: the domain's, None where the event did not say.
        rest: what follows "event 'type' for domain 'name'"; may have more lines.
        fields: the same for JSON.
    """

    event: str
    key: Key
    name: str | None
    rest: str
    fields: Document

    def text(self, name: str) -> str:
        """As virsh prints it."""
        return f"event '{self.event}' for domain '{name}'{self.rest}"

    def document(self, host: str, name: str, observed_at: float) -> Document:
        """As JSON."""
        return {
            "event": self.event,
            "host": host,
            "uuid": str(DomainKey(host, self.key).uuid),
            "name": name,
            "observed_at": observed_at,
            **self.fields,
        }


def _graphics(event: native.Graphics) -> str:
    ends = " ".join(
        f"{side}[{_say(end.family)} {end.node} {end.service}]"
        for side, end in (("local", event.local), ("remote", event.remote))
    )
    subject = "".join(f"\n\t{kind}={name}" for kind, name in event.subject)
    return f": {event.phase} {ends} {event.auth_scheme}{subject}"


def _params(params: Mapping[str, Param]) -> str:
    return ":" + "".join(f"\n\t{name}: {value}" for name, value in params.items())


def _memory_failure(event: native.MemoryFailure) -> str:
    # virDomainMemoryFailureFlags: 1 action required, 2 recursive
    flags = f"\n\taction required: {event.flags & 1}\n\trecursive: {event.flags >> 1 & 1}"
    return f":\nrecipient: {event.recipient}\naction: {event.action}\nflags:{flags}"


def _io_error(event: native.IOError) -> str:
    due = f" due to {event.reason}" if event.reason else ""
    return f": {event.path} ({event.device}) {event.action}{due}"


def _bare(_event: DomainEvent) -> str:
    return ""


Row = tuple[str, Callable[[Any], str]]

_TEXTS: Final[dict[type[DomainEvent], Row]] = {
    native.RTCChange: ("rtc-change", lambda event: f": {event.offset}"),
    native.Watchdog: ("watchdog", lambda event: f": {_say(event.action)}"),
    native.IOError: ("io-error", _io_error),
    native.Graphics: ("graphics", _graphics),
    native.ControlError: ("control-error", _bare),
    native.BlockJob: ("block-job", lambda event: f": {_say(event.type)} for {event.disk} {event.status}"),
    native.DiskChange: (
        "disk-change",
        lambda event: f" disk {event.device}: {event.old_path} -> {event.new_path}: {_say(event.reason)}",
    ),
    native.TrayChange: ("tray-change", lambda event: f" disk {event.device}: {_say(event.reason)}"),
    native.PMWakeup: ("pm-wakeup", _bare),
    native.PMSuspend: ("pm-suspend", _bare),
    native.BalloonChange: ("balloon-change", lambda event: f": {event.actual_kib}KiB"),
    native.PMSuspendDisk: ("pm-suspend-disk", _bare),
    native.DeviceRemoved: ("device-removed", lambda event: f": {event.device}"),
    native.Tunable: ("tunable", lambda event: _params(event.params)),
    native.AgentLifecycle: (
        "agent-lifecycle",
        lambda event: f": state: '{_say(event.state)}' reason: '{_say(event.reason)}'",
    ),
    native.DeviceAdded: ("device-added", lambda event: f": {event.device}"),
    native.MigrationIteration: ("migration-iteration", lambda event: f": iteration: '{event.iteration}'"),
    native.JobCompleted: ("job-completed", lambda event: _params(event.params)),
    native.DeviceRemovalFailed: ("device-removal-failed", lambda event: f": {event.device}"),
    native.MetadataChange: ("metadata-change", lambda event: f": type {event.type}, uri {event.uri}"),
    native.BlockThreshold: (
        "block-threshold",
        lambda event: f": dev: {event.device}({event.path}) {event.threshold} {event.excess}",
    ),
    native.MemoryFailure: ("memory-failure", _memory_failure),
    native.MemoryDeviceSizeChange: (
        "memory-device-size-change",
        lambda event: f":\nalias: {event.device}\nsize: {event.size_kib}",
    ),
    native.NicMacChange: (
        "nic-mac-change",
        lambda event: f": alias: {event.device} old: {event.old_mac} new: {event.new_mac}",
    ),
    native.VCPURemoved: ("vcpu-removed", lambda event: f": {event.vcpu}"),
    native.ChannelLifecycle: (
        "channel-lifecycle",
        lambda event: f": channel: '{event.channel}' state: '{_say(event.state)}' reason: '{_say(event.reason)}'",
    ),
}
"""Every class of `native_event.py`: its name, and what virsh prints after the domain's."""

_HEAD: Final = frozenset({"host", "origin", "observed_at", "revision", "seq", "key", "name", "merged"})


def told(item: Item) -> Told | None:
    """What an Item tells as an event; None for a read, and for what is about the link."""
    if isinstance(item, NativeEvent):
        return _native(item.event)
    if isinstance(item, Seen) and item.observation.cause is not None:
        seen, cause = item.observation, item.observation.cause
        words = " ".join(word for word in (cause.type, cause.detail) if word)
        fields: Document = {"type": cause.type or None, "detail": cause.detail or None}
        return Told(
            event=cause.event,
            key=seen.key,
            name=seen.name,
            rest=f": {words}" if words else "",
            fields=fields if cause.event == "lifecycle" else {},
        )
    return None


def _native(event: DomainEvent) -> Told | None:
    row = _TEXTS.get(type(event))
    if row is None:
        return None
    name, text = row
    if isinstance(event, native.IOError) and event.reason:
        name = "io-error-reason"
    elif isinstance(event, native.BlockJob) and "/" not in event.disk:
        name = "block-job-2"  # the newer event names the target ("vda"), the older one the path
    fields = {field: plain(getattr(event, field)) for field in event.__struct_fields__ if field not in _HEAD}
    return Told(event=name, key=event.key, name=event.name or None, rest=text(event), fields=fields)
