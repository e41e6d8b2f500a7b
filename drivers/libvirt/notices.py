"""Messages of domain events → the Items they stand for. Pure.

Lifecycle, reboot and control error bear on the lifecycle (`observe.py`); all others become the typed classes of
`avirt/model/native_event.py`, with libvirt's words (`events.py`). A message of either registration is understood: the
newer one wraps what the older one sends (reference/libvirt-wire.md §9).
"""

from __future__ import annotations

from collections.abc import Sequence

from avirt.drivers.libvirt.codec import typed_values
from avirt.drivers.libvirt.events import word
from avirt.drivers.libvirt.generated import types as t
from avirt.drivers.libvirt.observe import control_lost, lifecycle_item, rebooted
from avirt.model import native_event as n
from avirt.model.change import DomainEvent
from avirt.model.observation import Item, NativeEvent
from avirt.model.record import Key

__all__ = ["items_of"]


def items_of(message: object, asked: int) -> Sequence[Item]:
    """What an event's message says; nothing for the message of something else."""
    body: object = getattr(message, "msg", message)
    if isinstance(body, t.RemoteDomainEventLifecycleMsg):
        dom = body.dom
        return (lifecycle_item(dom.name, dom.uuid, dom.id, body.event, body.detail, asked),)
    if isinstance(body, t.RemoteDomainEventRebootMsg):
        return (rebooted((body.dom.name, body.dom.uuid, body.dom.id), asked),)
    event = _typed(message, body)
    if event is None:
        return ()
    if isinstance(body, t.RemoteDomainEventControlErrorMsg):
        dom = body.dom
        return (NativeEvent(event, asked), control_lost((dom.name, dom.uuid, dom.id), asked))
    return (NativeEvent(event, asked),)


def _typed(message: object, body: object) -> DomainEvent | None:
    dom: object = getattr(body, "dom", None)
    if not isinstance(dom, t.RemoteDomain):
        return None
    key, name = Key(dom.uuid), dom.name
    match body:
        case t.RemoteDomainEventRtcChangeMsg():
            return n.RTCChange(host="", key=key, name=name, offset=body.offset)
        case t.RemoteDomainEventWatchdogMsg():
            action = word("virDomainEventWatchdogAction", body.action)
            return n.Watchdog(host="", key=key, name=name, action=action)
        case t.RemoteDomainEventIoErrorMsg():
            action = word("virDomainEventIOErrorAction", body.action)
            return n.IOError(host="", key=key, name=name, path=body.src_path, device=body.dev_alias, action=action)
        case t.RemoteDomainEventIoErrorReasonMsg():
            action = word("virDomainEventIOErrorAction", body.action)
            return n.IOError(
                host="",
                key=key,
                name=name,
                path=body.src_path,
                device=body.dev_alias,
                action=action,
                reason=body.reason,
            )
        case t.RemoteDomainEventGraphicsMsg():
            return n.Graphics(
                host="",
                key=key,
                name=name,
                phase=word("virDomainEventGraphicsPhase", body.phase),
                local=_address(body.local),
                remote=_address(body.remote),
                auth_scheme=body.auth_scheme,
                subject=tuple((identity.type, identity.name) for identity in body.subject),
            )
        case t.RemoteDomainEventControlErrorMsg():
            return n.ControlError(host="", key=key, name=name)
        case t.RemoteDomainEventBlockJobMsg():
            return _block_job(key, name, body.path, body.type, body.status)
        case t.RemoteDomainEventBlockJob2Msg():
            return _block_job(key, name, body.dst, body.type, body.status)
        case t.RemoteDomainEventDiskChangeMsg():
            return n.DiskChange(
                host="",
                key=key,
                name=name,
                old_path=body.old_src_path or "",
                new_path=body.new_src_path or "",
                device=body.dev_alias,
                reason=word("virConnectDomainEventDiskChangeReason", body.reason),
            )
        case t.RemoteDomainEventTrayChangeMsg():
            reason = word("virDomainEventTrayChangeReason", body.reason)
            return n.TrayChange(host="", key=key, name=name, device=body.dev_alias, reason=reason)
        case t.RemoteDomainEventPmwakeupMsg():
            return n.PMWakeup(host="", key=key, name=name, reason=_pm_reason(message))
        case t.RemoteDomainEventPmsuspendMsg():
            return n.PMSuspend(host="", key=key, name=name, reason=_pm_reason(message))
        case t.RemoteDomainEventPmsuspendDiskMsg():
            return n.PMSuspendDisk(host="", key=key, name=name, reason=_pm_reason(message))
        case t.RemoteDomainEventBalloonChangeMsg():
            return n.BalloonChange(host="", key=key, name=name, actual_kib=body.actual_kib)
        case t.RemoteDomainEventDeviceRemovedMsg():
            return n.DeviceRemoved(host="", key=key, name=name, device=body.dev_alias)
        case t.RemoteDomainEventCallbackTunableMsg():
            return n.Tunable(host="", key=key, name=name, params=typed_values(body.params))
        case t.RemoteDomainEventCallbackAgentLifecycleMsg():
            return n.AgentLifecycle(
                host="",
                key=key,
                name=name,
                state=word("virConnectDomainEventAgentLifecycleState", body.state),
                reason=word("virConnectDomainEventAgentLifecycleReason", body.reason),
            )
        case t.RemoteDomainEventCallbackDeviceAddedMsg():
            return n.DeviceAdded(host="", key=key, name=name, device=body.dev_alias)
        case t.RemoteDomainEventCallbackMigrationIterationMsg():
            return n.MigrationIteration(host="", key=key, name=name, iteration=body.iteration)
        case t.RemoteDomainEventCallbackJobCompletedMsg():
            return n.JobCompleted(host="", key=key, name=name, params=typed_values(body.params))
        case t.RemoteDomainEventCallbackDeviceRemovalFailedMsg():
            return n.DeviceRemovalFailed(host="", key=key, name=name, device=body.dev_alias)
        case t.RemoteDomainEventCallbackMetadataChangeMsg():
            type = word("virDomainMetadataType", body.type)
            return n.MetadataChange(host="", key=key, name=name, type=type, uri=body.nsuri or "")
        case t.RemoteDomainEventBlockThresholdMsg():
            return n.BlockThreshold(
                host="",
                key=key,
                name=name,
                device=body.dev,
                path=body.path or "",
                threshold=body.threshold,
                excess=body.excess,
            )
        case t.RemoteDomainEventMemoryFailureMsg():
            return n.MemoryFailure(
                host="",
                key=key,
                name=name,
                recipient=word("virDomainMemoryFailureRecipientType", body.recipient),
                action=word("virDomainMemoryFailureActionType", body.action),
                flags=body.flags,
            )
        case t.RemoteDomainEventMemoryDeviceSizeChangeMsg():
            return n.MemoryDeviceSizeChange(host="", key=key, name=name, device=body.alias, size_kib=body.size_kib)
        case t.RemoteDomainEventNicMacChangeMsg():
            return n.NicMacChange(
                host="", key=key, name=name, device=body.alias, old_mac=body.old_mac, new_mac=body.new_mac
            )
        case t.RemoteDomainEventVcpuRemovedMsg():
            return n.VCPURemoved(host="", key=key, name=name, vcpu=body.vcpuid)
        case t.RemoteDomainEventCallbackChannelLifecycleMsg():
            return n.ChannelLifecycle(
                host="",
                key=key,
                name=name,
                channel=body.channel_name,
                state=word("virConnectDomainEventChannelLifecycleState", body.state),
                reason=word("virConnectDomainEventChannelLifecycleReason", body.reason),
            )
        case _:
            return None


def _pm_reason(message: object) -> int:
    """The older registration sends none."""
    reason: object = getattr(message, "reason", 0)
    return reason if isinstance(reason, int) else 0


def _block_job(key: Key, name: str, disk: str, type: int, status: int) -> n.BlockJob:
    return n.BlockJob(
        host="",
        key=key,
        name=name,
        disk=disk,
        type=word("virDomainBlockJobType", type),
        status=word("virConnectDomainEventBlockJobStatus", status),
    )


def _address(address: t.RemoteDomainEventGraphicsAddress) -> n.GraphicsAddress:
    family = word("virDomainEventGraphicsAddressType", address.family)
    return n.GraphicsAddress(family, address.node, address.service)
