"""The hypervisor's other events, one class a kind, in the stream's order. Numbers and words are libvirt's.

Kinds follow virDomainEventID (libvirt-domain.h); LIFECYCLE and REBOOT are not here: the lifecycle concludes from them.
Enumerations are kept as libvirt's lower-case words, unknown numbers as "unknown_<n>".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from avirt.model.change import DomainEvent

__all__ = [
    "EVENT_NAMES",
    "NATIVE_EVENTS",
    "AgentLifecycle",
    "BalloonChange",
    "BlockJob",
    "BlockThreshold",
    "ChannelLifecycle",
    "ControlError",
    "DeviceAdded",
    "DeviceRemovalFailed",
    "DeviceRemoved",
    "DiskChange",
    "Graphics",
    "GraphicsAddress",
    "IOError",
    "JobCompleted",
    "MemoryDeviceSizeChange",
    "MemoryFailure",
    "MetadataChange",
    "MigrationIteration",
    "NicMacChange",
    "PMSuspend",
    "PMSuspendDisk",
    "PMWakeup",
    "Param",
    "RTCChange",
    "TrayChange",
    "Tunable",
    "VCPURemoved",
    "Watchdog",
]

Param = int | float | bool | str
"""The value of a typed parameter."""


class RTCChange(DomainEvent, frozen=True, kw_only=True):
    """The guest set its clock; `offset` seconds from the host's."""

    offset: int


class Watchdog(DomainEvent, frozen=True, kw_only=True):
    """The guest's watchdog fired."""

    action: str


class IOError(DomainEvent, frozen=True, kw_only=True):
    """A disk failed; `action`: none, pause or report; `reason` e.g. "enospc"."""

    path: str
    device: str
    action: str
    reason: str = ""


class GraphicsAddress(msgspec.Struct, frozen=True):
    """One end of a graphics connection."""

    family: str
    node: str
    service: str


class Graphics(DomainEvent, frozen=True, kw_only=True):
    """A graphics client: connect, initialize or disconnect."""

    phase: str
    local: GraphicsAddress
    remote: GraphicsAddress
    auth_scheme: str
    subject: tuple[tuple[str, str], ...] = ()


class ControlError(DomainEvent, frozen=True, kw_only=True):
    """The hypervisor lost control over the domain's process."""


class BlockJob(DomainEvent, frozen=True, kw_only=True):
    """A block job ended, failed or became ready. `disk` is a path or a target such as "vda"."""

    disk: str
    type: str
    status: str


class DiskChange(DomainEvent, frozen=True, kw_only=True):
    """The source of a disk changed at start."""

    old_path: str
    new_path: str
    device: str
    reason: str


class TrayChange(DomainEvent, frozen=True, kw_only=True):
    """A removable drive was opened or closed."""

    device: str
    reason: str


class PMWakeup(DomainEvent, frozen=True, kw_only=True):
    """The guest woke up."""

    reason: int


class PMSuspend(DomainEvent, frozen=True, kw_only=True):
    """The guest went to sleep, memory kept."""

    reason: int


class PMSuspendDisk(DomainEvent, frozen=True, kw_only=True):
    """The guest hibernated."""

    reason: int


class BalloonChange(DomainEvent, frozen=True, kw_only=True):
    """The guest's memory is `actual_kib` now."""

    actual_kib: int


class DeviceRemoved(DomainEvent, frozen=True, kw_only=True):
    """A device is out."""

    device: str


class Tunable(DomainEvent, frozen=True, kw_only=True):
    """Scheduler or block limits changed."""

    params: Mapping[str, Param]


class AgentLifecycle(DomainEvent, frozen=True, kw_only=True):
    """The guest agent connected or disconnected."""

    state: str
    reason: str


class DeviceAdded(DomainEvent, frozen=True, kw_only=True):
    """A device is in."""

    device: str


class MigrationIteration(DomainEvent, frozen=True, kw_only=True):
    """A new round of memory transfer began."""

    iteration: int


class JobCompleted(DomainEvent, frozen=True, kw_only=True):
    """A job ended; its statistics."""

    params: Mapping[str, Param]


class DeviceRemovalFailed(DomainEvent, frozen=True, kw_only=True):
    """The guest refused to let a device go."""

    device: str


class MetadataChange(DomainEvent, frozen=True, kw_only=True):
    """Metadata of the domain changed."""

    type: str
    uri: str


class BlockThreshold(DomainEvent, frozen=True, kw_only=True):
    """A disk's write threshold (bytes) was exceeded."""

    device: str
    path: str
    threshold: int
    excess: int


class MemoryFailure(DomainEvent, frozen=True, kw_only=True):
    """The hardware reported broken memory."""

    recipient: str
    action: str
    flags: int


class MemoryDeviceSizeChange(DomainEvent, frozen=True, kw_only=True):
    """A memory device has `size_kib` now."""

    device: str
    size_kib: int


class NicMacChange(DomainEvent, frozen=True, kw_only=True):
    """The guest set another MAC address."""

    device: str
    old_mac: str
    new_mac: str


class VCPURemoved(DomainEvent, frozen=True, kw_only=True):
    """A virtual CPU is out."""

    vcpu: int


class ChannelLifecycle(DomainEvent, frozen=True, kw_only=True):
    """A channel of the guest was opened or closed."""

    channel: str
    state: str
    reason: str


NATIVE_EVENTS: Final[tuple[type[DomainEvent], ...]] = (
    RTCChange,
    Watchdog,
    IOError,
    Graphics,
    ControlError,
    BlockJob,
    DiskChange,
    TrayChange,
    PMWakeup,
    PMSuspend,
    BalloonChange,
    PMSuspendDisk,
    DeviceRemoved,
    Tunable,
    AgentLifecycle,
    DeviceAdded,
    MigrationIteration,
    JobCompleted,
    DeviceRemovalFailed,
    MetadataChange,
    BlockThreshold,
    MemoryFailure,
    MemoryDeviceSizeChange,
    NicMacChange,
    VCPURemoved,
    ChannelLifecycle,
)

EVENT_NAMES: Final[tuple[str, ...]] = (
    "lifecycle",
    "reboot",
    "rtc-change",
    "watchdog",
    "io-error",
    "graphics",
    "io-error-reason",
    "control-error",
    "block-job",
    "disk-change",
    "tray-change",
    "pm-wakeup",
    "pm-suspend",
    "balloon-change",
    "pm-suspend-disk",
    "device-removed",
    "block-job-2",
    "tunable",
    "agent-lifecycle",
    "device-added",
    "migration-iteration",
    "job-completed",
    "device-removal-failed",
    "metadata-change",
    "block-threshold",
    "memory-failure",
    "memory-device-size-change",
    "nic-mac-change",
    "vcpu-removed",
    "channel-lifecycle",
)
"""virDomainEventID in order, by virsh's names (`virsh event --list`, and those of newer libvirt)."""
