"""What QMP's events are for: the table, and the typed events they become. Pure.

An event that bears on the lifecycle says what happened (`signal`) and, where it alone tells, the state; what came
before decides the rest (`observe.py`). Others become the classes of `avirt/model/native_event.py`, whose words are
libvirt's. What has neither is passed through: to whoever reads this monitor's own events, and to nobody else. So is an
event that nobody knew yet. Rows follow reference/drivers.md §1, "Watch"; members are those of QEMU's qapi/*.json.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from avirt.drivers.qemu.states import STATES, RunState
from avirt.model import native_event as n
from avirt.model.change import DomainEvent
from avirt.model.native_event import Param
from avirt.model.observation import Signal
from avirt.model.record import Key
from avirt.model.state import (
    CrashedReason,
    DomainState,
    NormalState,
    RunningReason,
    ShutdownReason,
    Transition,
)

__all__ = ["EVENTS", "Data", "EventRow", "Subject", "flag", "native_event", "part", "row_of", "word"]

Data = Mapping[str, object]
"""An event's `data`, or an empty mapping."""


class Subject(msgspec.Struct, frozen=True):
    """Whose event it is.

    Attributes:
        agents: ids of the ports (`-device virtserialport,id=…`) that the guest agent listens on.
    """

    key: Key
    name: str
    agents: frozenset[str] = frozenset()


Make = Callable[[Subject, Data], DomainEvent | None]


class EventRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one event is for.

    Attributes:
        signal: what happened, where it bears on the lifecycle by itself.
        status: the state that it alone tells; None: what came before decides, or a read.
        context: it says why, or what comes next, of the events around it.
        make: the typed event that it becomes, or None of this one.
        throttled: QEMU holds back what follows within a second: the last of a burst comes late, the ones in between
            never. Late ones are not yet in an earlier reply of `query-status`, or have long been.
        throttle_key: the member whose values are throttled each by itself; "": all together.
    """

    signal: Signal | None = None
    status: NormalState | None = None
    context: bool = False
    make: Make | None = None
    throttled: bool = False
    throttle_key: str = ""

    @property
    def passes_through(self) -> bool:
        """Nothing of it goes into the stream of Changes."""
        return self.signal is None and self.make is None


def word(data: Data, member: str) -> str:
    """A member that is text; "" if it is not there."""
    value = data.get(member)
    return value if isinstance(value, str) else ""


def flag(data: Data, member: str) -> bool | None:
    """A member that is true or false; None if it is not there."""
    value = data.get(member)
    return value if isinstance(value, bool) else None


def _number(data: Data, member: str) -> int:
    value = data.get(member)
    return value if isinstance(value, int) else 0


def part(data: Data, member: str) -> Data:
    """A member that is an object; an empty one if it is not there."""
    value = data.get(member)
    return value if isinstance(value, dict) else {}


# ------------------------------------------------------------ typed events

_WATCHDOG_ACTIONS: Final = {"inject-nmi": "injectnmi"}
_IO_ACTIONS: Final = {"ignore": "none", "stop": "pause"}
_BLOCK_JOBS: Final = {"stream": "pull", "mirror": "copy"}
_MEMORY_FAILURE_FLAGS: Final = {"action-required": 1, "recursive": 2}  # virDomainMemoryFailureFlags


def _watchdog(who: Subject, data: Data) -> n.Watchdog:
    action = word(data, "action")
    return n.Watchdog(host="", key=who.key, name=who.name, action=_WATCHDOG_ACTIONS.get(action, action))


def _io_error(who: Subject, data: Data) -> n.IOError:
    action = word(data, "action")
    return n.IOError(
        host="",
        key=who.key,
        name=who.name,
        path="",  # not told: what the node stands for is asked by query-named-block-nodes
        device=word(data, "device") or word(data, "qom-path") or word(data, "node-name"),
        action=_IO_ACTIONS.get(action, action),
        reason="enospc" if flag(data, "nospace") else word(data, "reason"),
    )


def _block_job(status: str) -> Make:
    def make(who: Subject, data: Data) -> n.BlockJob:
        type = word(data, "type")
        return n.BlockJob(
            host="",
            key=who.key,
            name=who.name,
            disk=word(data, "device"),  # the job's id where it has one
            type=_BLOCK_JOBS.get(type, type),
            status="failed" if "error" in data else status,
        )

    return make


def _graphics(phase: str) -> Make:
    def make(who: Subject, data: Data) -> n.Graphics:
        server, client = part(data, "server"), part(data, "client")
        subject = (("x509dname", word(client, "x509_dname")), ("saslUsername", word(client, "sasl_username")))
        return n.Graphics(
            host="",
            key=who.key,
            name=who.name,
            phase=phase,
            local=_address(server),
            remote=_address(client),
            auth_scheme=word(server, "auth"),
            subject=tuple((type, name) for type, name in subject if name),
        )

    return make


def _address(end: Data) -> n.GraphicsAddress:
    # VNC says "service", SPICE "port"
    return n.GraphicsAddress(word(end, "family"), word(end, "host"), word(end, "service") or word(end, "port"))


def _device_removed(who: Subject, data: Data) -> n.DeviceRemoved | None:
    device = word(data, "device")
    if not device:  # a part of another one, which has no id of its own
        return None
    return n.DeviceRemoved(host="", key=who.key, name=who.name, device=device)


def _removal_failed(who: Subject, data: Data) -> n.DeviceRemovalFailed:
    device = word(data, "device") or word(data, "path")
    return n.DeviceRemovalFailed(host="", key=who.key, name=who.name, device=device)


def _port(who: Subject, data: Data) -> n.AgentLifecycle | n.ChannelLifecycle:
    port, state = word(data, "id"), "connected" if flag(data, "open") else "disconnected"
    if port in who.agents:
        return n.AgentLifecycle(host="", key=who.key, name=who.name, state=state, reason="channel")
    return n.ChannelLifecycle(host="", key=who.key, name=who.name, channel=port, state=state, reason="channel")


def _dump(who: Subject, data: Data) -> n.JobCompleted:
    result = part(data, "result")
    params: dict[str, Param] = {"operation": "dump"}
    params |= {name: value for name, value in result.items() if isinstance(value, int | str)}
    if error := word(data, "error"):
        params["error"] = error
    return n.JobCompleted(host="", key=who.key, name=who.name, params=params)


def _memory_failure(who: Subject, data: Data) -> n.MemoryFailure:
    flags = part(data, "flags")
    return n.MemoryFailure(
        host="",
        key=who.key,
        name=who.name,
        recipient=word(data, "recipient"),
        action=word(data, "action"),
        flags=sum(bit for name, bit in _MEMORY_FAILURE_FLAGS.items() if flag(flags, name)),
    )


def _threshold(who: Subject, data: Data) -> n.BlockThreshold:
    return n.BlockThreshold(
        host="",
        key=who.key,
        name=who.name,
        device=word(data, "node-name"),
        path="",
        threshold=_number(data, "write-threshold"),
        excess=_number(data, "amount-exceeded"),
    )


def _tray(who: Subject, data: Data) -> n.TrayChange:
    reason = "open" if flag(data, "tray-open") else "close"
    return n.TrayChange(
        host="", key=who.key, name=who.name, device=word(data, "id") or word(data, "device"), reason=reason
    )


def _balloon(who: Subject, data: Data) -> n.BalloonChange:
    return n.BalloonChange(host="", key=who.key, name=who.name, actual_kib=_number(data, "actual") // 1024)


def _memory_device(who: Subject, data: Data) -> n.MemoryDeviceSizeChange:
    device = word(data, "id") or word(data, "qom-path")
    size_kib = _number(data, "size") // 1024
    return n.MemoryDeviceSizeChange(host="", key=who.key, name=who.name, device=device, size_kib=size_kib)


def _clock(who: Subject, data: Data) -> n.RTCChange:
    return n.RTCChange(host="", key=who.key, name=who.name, offset=_number(data, "offset"))


def _iteration(who: Subject, data: Data) -> n.MigrationIteration:
    return n.MigrationIteration(host="", key=who.key, name=who.name, iteration=_number(data, "pass"))


def _pm(kind: type[n.PMSuspend | n.PMSuspendDisk | n.PMWakeup]) -> Make:
    def make(who: Subject, _: Data) -> DomainEvent:
        return kind(host="", key=who.key, name=who.name, reason=0)

    return make


# ------------------------------------------------------------ the table

_CONTEXT: Final = EventRow(context=True)
_PASS: Final = EventRow()

EVENTS: Final[Mapping[str, EventRow]] = {
    # qapi/run-state.json
    "POWERDOWN": EventRow(  # the button was pressed: the guest may ignore it
        signal=Signal.SHUTDOWN,
        status=NormalState(DomainState.SHUTDOWN, ShutdownReason.USER, Transition.STOPPING),
    ),
    "SHUTDOWN": EventRow(signal=Signal.SHUTDOWN, status=STATES[RunState.SHUTDOWN], context=True),
    "RESET": EventRow(signal=Signal.REBOOTED),
    "STOP": EventRow(signal=Signal.SUSPENDED),
    "RESUME": EventRow(signal=Signal.RESUMED, status=NormalState(DomainState.RUNNING, RunningReason.UNPAUSED)),
    "SUSPEND": EventRow(signal=Signal.PMSUSPENDED, status=STATES[RunState.SUSPENDED], make=_pm(n.PMSuspend)),
    "SUSPEND_DISK": EventRow(make=_pm(n.PMSuspendDisk)),  # SHUTDOWN follows at once
    "WAKEUP": EventRow(
        signal=Signal.RESUMED,
        status=NormalState(DomainState.RUNNING, RunningReason.WAKEUP),
        context=True,
        make=_pm(n.PMWakeup),
    ),
    "WATCHDOG": EventRow(context=True, make=_watchdog, throttled=True),
    "GUEST_PANICKED": EventRow(
        signal=Signal.CRASHED, status=NormalState(DomainState.CRASHED, CrashedReason.PANICKED), context=True
    ),
    "GUEST_CRASHLOADED": EventRow(  # the guest runs its crash kernel
        signal=Signal.CRASHED, status=NormalState(DomainState.RUNNING, RunningReason.CRASHED)
    ),
    "GUEST_PVSHUTDOWN": _PASS,  # since 9.1; SHUTDOWN follows
    "MEMORY_FAILURE": EventRow(make=_memory_failure),
    # qapi/migration.json: both only where the capability "events" was turned on
    "MIGRATION": _CONTEXT,
    "MIGRATION_PASS": EventRow(make=_iteration),
    "UNPLUG_PRIMARY": _PASS,
    # qapi/job.json
    "JOB_STATUS_CHANGE": _CONTEXT,
    # qapi/block-core.json, block.json, block-export.json
    "BLOCK_IO_ERROR": EventRow(  # since 10.0; never with the action stop
        context=True, make=_io_error, throttled=True, throttle_key="qom-path"
    ),
    "BLOCK_JOB_COMPLETED": EventRow(make=_block_job("completed")),
    "BLOCK_JOB_CANCELLED": EventRow(make=_block_job("canceled")),
    "BLOCK_JOB_READY": EventRow(make=_block_job("ready")),
    "BLOCK_JOB_ERROR": _PASS,  # it goes on, or ends with one of the above
    "BLOCK_JOB_PENDING": _PASS,
    "BLOCK_WRITE_THRESHOLD": EventRow(make=_threshold),
    "BLOCK_IMAGE_CORRUPTED": _PASS,
    "BLOCK_EXPORT_DELETED": _PASS,
    "DEVICE_TRAY_MOVED": EventRow(make=_tray),
    "PR_MANAGER_STATUS_CHANGED": _PASS,
    "QUORUM_FAILURE": EventRow(throttled=True),
    "QUORUM_REPORT_BAD": EventRow(throttled=True, throttle_key="node-name"),
    # qapi/qdev.json, acpi.json, machine.json
    "DEVICE_DELETED": EventRow(make=_device_removed),
    "DEVICE_UNPLUG_GUEST_ERROR": EventRow(make=_removal_failed),
    "MEM_UNPLUG_ERROR": _PASS,  # DEVICE_UNPLUG_GUEST_ERROR says the same since 6.2
    "ACPI_DEVICE_OST": _PASS,
    "BALLOON_CHANGE": EventRow(make=_balloon, throttled=True),
    "HV_BALLOON_STATUS_REPORT": EventRow(throttled=True),  # since 8.2
    "MEMORY_DEVICE_SIZE_CHANGE": EventRow(make=_memory_device, throttled=True, throttle_key="qom-path"),
    "CPU_POLARIZATION_CHANGE": _PASS,  # since 8.2
    # qapi/misc.json, dump.json, char.json
    "RTC_CHANGE": EventRow(make=_clock, throttled=True),
    "DUMP_COMPLETED": EventRow(make=_dump),
    "VSERPORT_CHANGE": EventRow(make=_port, throttled=True, throttle_key="id"),
    "VFU_CLIENT_HANGUP": _PASS,
    # qapi/net.json, rdma.json, vfio.json
    "NIC_RX_FILTER_CHANGED": _PASS,  # what changed is asked by query-rx-filter
    "FAILOVER_NEGOTIATED": _PASS,
    "NETDEV_STREAM_CONNECTED": _PASS,
    "NETDEV_STREAM_DISCONNECTED": _PASS,
    "RDMA_GID_STATUS_CHANGED": _PASS,
    "VFIO_MIGRATION": _PASS,  # since 9.1
    "COLO_EXIT": _PASS,
    # qapi/ui.json
    "VNC_CONNECTED": EventRow(make=_graphics("connect")),
    "VNC_INITIALIZED": EventRow(make=_graphics("initialize")),
    "VNC_DISCONNECTED": EventRow(make=_graphics("disconnect")),
    "SPICE_CONNECTED": EventRow(make=_graphics("connect")),
    "SPICE_INITIALIZED": EventRow(make=_graphics("initialize")),
    "SPICE_DISCONNECTED": EventRow(make=_graphics("disconnect")),
    "SPICE_MIGRATE_COMPLETED": _PASS,
}


def row_of(event: str) -> EventRow:
    """The row of any event."""
    return EVENTS.get(event, _PASS)


def native_event(event: str, who: Subject, data: Data) -> DomainEvent | None:
    """The typed event that it becomes; None if it becomes none."""
    make = row_of(event).make
    return None if make is None else make(who, data)
