"""From what the simulated world tells to libvirt's event messages, and who asked for which.

An event is one of virDomainEventID and the fields of its message behind the domain; the same fields go into the message
of either way of registering (reference/libvirt-wire.md §9).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from avirt.drivers.libvirt import codec
from avirt.drivers.libvirt.events import WORDS
from avirt.drivers.libvirt.generated.layouts import LAYOUTS
from avirt.drivers.libvirt.generated.procedures import DOMAIN_EVENTS
from avirt.drivers.libvirt.generated.types import (
    CLASSES,
    RemoteDomain,
    RemoteDomainEventGraphicsAddress,
    RemoteDomainEventGraphicsIdentity,
    RemoteTypedParam,
)
from avirt.drivers.libvirt.procedure import DomainEventKind, Procedure
from avirt.drivers.libvirt.protocol import Message, MessageType
from avirt.drivers.sim.moments import Moment, WorldEvent
from avirt.model import native_event as n
from avirt.model.change import DomainEvent

__all__ = ["KINDS", "Registrations", "Told", "default_fields", "messages_of", "told_of", "typed_params"]

KINDS: Final[Mapping[int, DomainEventKind]] = {kind.id: kind for kind in DOMAIN_EVENTS}
"""By virDomainEventID."""

SERIAL: Final = 1
"""Of every event, on the wire (reference/libvirt-wire.md §3)."""


class Told(msgspec.Struct, frozen=True):
    """One event as libvirt tells it.

    Attributes:
        event: virDomainEventID.
        fields: of its message, behind the domain.
        reason: of the three PM events, whose newer messages carry one.
    """

    event: int
    domain: RemoteDomain
    fields: tuple[object, ...] = ()
    reason: int = 0


# ------------------------------------------------------------ the world's events → libvirt's


def _number(enum: str, word: str) -> int:
    return WORDS[enum].index(word)


def typed_params(values: Mapping[str, n.Param]) -> tuple[RemoteTypedParam, ...]:
    """Named values as typed parameters."""
    return tuple(RemoteTypedParam(name, _tag(name, value), value) for name, value in values.items())


_INTS: Final = frozenset({"state.state", "state.reason", "operation"})
_UINTS: Final = frozenset({"vcpu.current", "vcpu.maximum", "net.count", "block.count"})
"""As libvirt 9.0 tags them (tests/golden/libvirt/qemu.json); every other number is unsigned and long, or negative."""


def _tag(name: str, value: n.Param) -> int:
    """The tag of a typed parameter (reference/libvirt-wire.md §1)."""
    if isinstance(value, bool):
        return 6
    if isinstance(value, int):
        return 1 if name in _INTS else 2 if name in _UINTS else 4 if value >= 0 else 3
    return 5 if isinstance(value, float) else 7


def _address(address: n.GraphicsAddress) -> RemoteDomainEventGraphicsAddress:
    family = _number("virDomainEventGraphicsAddressType", address.family)
    return RemoteDomainEventGraphicsAddress(family, address.node, address.service)


Fields = Callable[[Any], tuple[object, ...]]

NATIVE: Final[Mapping[type[DomainEvent], Sequence[tuple[int, Fields]]]] = {
    # each with the ids under which libvirt tells it; some are told under two
    n.RTCChange: [(2, lambda e: (e.offset,))],
    n.Watchdog: [(3, lambda e: (_number("virDomainEventWatchdogAction", e.action),))],
    n.IOError: [
        (4, lambda e: (e.path, e.device, _number("virDomainEventIOErrorAction", e.action))),
        (6, lambda e: (e.path, e.device, _number("virDomainEventIOErrorAction", e.action), e.reason)),
    ],
    n.Graphics: [
        (
            5,
            lambda e: (
                _number("virDomainEventGraphicsPhase", e.phase),
                _address(e.local),
                _address(e.remote),
                e.auth_scheme,
                tuple(RemoteDomainEventGraphicsIdentity(type, name) for type, name in e.subject),
            ),
        )
    ],
    n.ControlError: [(7, lambda e: ())],
    n.BlockJob: [
        (
            id,
            lambda e: (
                e.disk,
                _number("virDomainBlockJobType", e.type),
                _number("virConnectDomainEventBlockJobStatus", e.status),
            ),
        )
        for id in (8, 16)
    ],
    n.DiskChange: [
        (
            9,
            lambda e: (
                e.old_path,
                e.new_path,
                e.device,
                _number("virConnectDomainEventDiskChangeReason", e.reason),
            ),
        )
    ],
    n.TrayChange: [(10, lambda e: (e.device, _number("virDomainEventTrayChangeReason", e.reason)))],
    n.PMWakeup: [(11, lambda e: ())],
    n.PMSuspend: [(12, lambda e: ())],
    n.BalloonChange: [(13, lambda e: (e.actual_kib,))],
    n.PMSuspendDisk: [(14, lambda e: ())],
    n.DeviceRemoved: [(15, lambda e: (e.device,))],
    n.Tunable: [(17, lambda e: (typed_params(e.params),))],
    n.AgentLifecycle: [
        (
            18,
            lambda e: (
                _number("virConnectDomainEventAgentLifecycleState", e.state),
                _number("virConnectDomainEventAgentLifecycleReason", e.reason),
            ),
        )
    ],
    n.DeviceAdded: [(19, lambda e: (e.device,))],
    n.MigrationIteration: [(20, lambda e: (e.iteration,))],
    n.JobCompleted: [(21, lambda e: (typed_params(e.params),))],
    n.DeviceRemovalFailed: [(22, lambda e: (e.device,))],
    n.MetadataChange: [(23, lambda e: (_number("virDomainMetadataType", e.type), e.uri))],
    n.BlockThreshold: [(24, lambda e: (e.device, e.path, e.threshold, e.excess))],
    n.MemoryFailure: [
        (
            25,
            lambda e: (
                _number("virDomainMemoryFailureRecipientType", e.recipient),
                _number("virDomainMemoryFailureActionType", e.action),
                e.flags,
            ),
        )
    ],
    n.MemoryDeviceSizeChange: [(26, lambda e: (e.device, e.size_kib))],
    n.NicMacChange: [(27, lambda e: (e.device, e.old_mac, e.new_mac))],
    n.VCPURemoved: [(28, lambda e: (e.vcpu,))],
    n.ChannelLifecycle: [
        (
            29,
            lambda e: (
                e.channel,
                _number("virConnectDomainEventChannelLifecycleState", e.state),
                _number("virConnectDomainEventChannelLifecycleReason", e.reason),
            ),
        )
    ],
}
"""Every event of `avirt.model.native_event` and how libvirt tells it."""


def told_of(event: WorldEvent | DomainEvent, id: int) -> list[Told]:
    """The libvirt events of one of the world's. `id`: of the domain of a `DomainEvent`, now."""
    if isinstance(event, WorldEvent):
        domain = RemoteDomain(event.name, event.key, event.id)
        moment = event.moment
        if moment in (Moment.REBOOT, Moment.CONTROL_ERROR):
            return [Told(moment.detail, domain)]
        return [Told(0, domain, (moment.type, moment.detail))]
    domain = RemoteDomain(event.name, event.key, id)
    reason = getattr(event, "reason", 0)
    return [
        Told(number, domain, fields(event), reason if isinstance(reason, int) else 0)
        for number, fields in NATIVE[type(event)]
    ]


# ------------------------------------------------------------ libvirt's events → messages


def messages_of(told: Told, registered: Registrations) -> list[Message]:
    """The messages of one event for one client: one for each registration that fits."""
    kind = KINDS[told.event]
    messages = [_pack(kind.message, told, callback) for callback in registered.callbacks_for(told)]
    if told.event in registered.legacy and kind.legacy is not None:
        messages.append(_pack(kind.legacy, told, None))
    return messages


def _pack(procedure: Procedure[Any], told: Told, callback: int | None) -> Message:
    assert procedure.msg is not None
    payload = codec.pack_event(procedure, _body(procedure.msg, told, callback))
    return Message(procedure.program, procedure.number, MessageType.MESSAGE, SERIAL, payload=payload)


def _body(layout: str, told: Told, callback: int | None) -> object:
    """The struct of a layout: callback id, reason and an inner message where it has them, then domain and fields."""
    made: list[object] = []
    rest = [told.domain, *told.fields]
    for name, inner in LAYOUTS[layout][1]:
        if name == "callback_id":
            made.append(callback)
        elif name == "reason" and layout.startswith(("remote_domain_event_callback_pm",)):
            made.append(told.reason)
        elif name == "msg":
            made.append(_body(inner, told, None))
        else:
            made.append(rest.pop(0))
    return CLASSES[layout](*made)


def default_fields(kind: DomainEventKind) -> tuple[object, ...]:
    """Harmless fields for the message of an event, behind the domain."""
    layout = kind.message.msg
    assert layout is not None
    return tuple(_default(inner) for name, inner in _fields(layout) if name not in ("callback_id", "dom"))


def _fields(layout: str) -> Sequence[tuple[str, Any]]:
    fields = list(LAYOUTS[layout][1])
    if fields[-1][0] == "msg":
        return _fields(fields[-1][1])
    return fields


def _default(layout: Any) -> object:
    if isinstance(layout, str) and layout in LAYOUTS:
        kind, inner = LAYOUTS[layout][0], LAYOUTS[layout][1]
        if kind == "struct":
            return CLASSES[layout](*(_default(each) for _, each in inner))
        return _default(inner)
    if isinstance(layout, str):
        return 0
    return {"string": "", "optional": None}.get(layout[0], ())


class Registrations:
    """What one client asked for."""

    def __init__(self) -> None:
        self.callbacks: dict[int, tuple[int, bytes | None]] = {}
        """By callback id: event and the domain's uuid, None for all domains."""
        self.legacy: set[int] = set()
        """Events asked for by the older ways, which have no callback id."""

    @property
    def is_any(self) -> bool:
        """Whether it is told of anything."""
        return bool(self.callbacks or self.legacy)

    def has(self, event: int, uuid: bytes | None) -> bool:
        """Whether just this is registered, by any of the ways."""
        return (event, uuid) in self.callbacks.values() or (uuid is None and event in self.legacy)

    def callbacks_for(self, told: Told) -> list[int]:
        """The callback ids that an event is told under."""
        return [
            callback
            for callback, (event, uuid) in self.callbacks.items()
            if event == told.event and (uuid is None or uuid == told.domain.uuid)
        ]
