"""What a daemon answers by itself or of its host: authentication, features, opening, events, the host's facts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from avirt.drivers.libvirt.generated.procedures import AuthType, Feature, Proc
from avirt.drivers.libvirt.generated.types import RemoteDomain, RemoteNodeGetInfoRet, RemoteNodeGetSecurityModelRet
from avirt.drivers.libvirt.procedure import Procedure
from avirt.drivers.sim.capabilities import NODE
from avirt.testing.simulators.libvirt.answers import Answer, Handler, Refusal
from avirt.testing.simulators.libvirt.errors import AUTH_FAILED, INTERNAL_ERROR, INVALID_ARG, NO_CONNECT, remote_error
from avirt.testing.simulators.libvirt.events import KINDS

if TYPE_CHECKING:
    from avirt.testing.simulators.libvirt.daemon import Daemon
    from avirt.testing.simulators.libvirt.peer import Peer

__all__ = ["BEFORE_AUTH", "BEFORE_OPEN", "OPENING"]

READ_ONLY: Final = 1
"""VIR_CONNECT_RO."""

# ------------------------------------------------------------ authentication, opening


def _auth_list(peer: Peer) -> Answer:
    offered = peer.offered()
    if offered is AuthType.NONE:
        peer.is_authenticated = True
    return (int(offered),)


def _auth_polkit(peer: Peer) -> Answer:
    if peer.offered() is not AuthType.POLKIT:
        raise Refusal(remote_error(AUTH_FAILED, "authentication failed"))
    if peer.is_refused():
        raise Refusal(remote_error(AUTH_FAILED, "authentication failed: access denied by policy"))
    peer.is_authenticated = True
    return 1


def _auth_sasl_init(peer: Peer) -> Answer:
    if peer.offered() is not AuthType.SASL:
        raise Refusal(remote_error(AUTH_FAILED, "authentication failed"))
    return "SCRAM-SHA-256"


def _supports_feature(peer: Peer, feature: int) -> Answer:
    if feature == Feature.PROGRAM_KEEPALIVE:
        peer.start_keepalive()
        return 1
    return int(feature in _FEATURES and feature not in peer.daemon.profile.missing_features)


_FEATURES: Final = frozenset({int(Feature.REMOTE_EVENT_CALLBACK), int(Feature.REMOTE_CLOSE_CALLBACK)})


def _open(peer: Peer, name: str | None, flags: int) -> Answer:
    if peer.is_open:
        raise Refusal(remote_error(INTERNAL_ERROR, "connection already open"))
    scheme = (name or "").partition(":")[0]
    if name and scheme != peer.daemon.profile.scheme:
        raise Refusal(remote_error(NO_CONNECT, f"no connection driver available for {name}"))
    peer.is_open = True
    peer.is_read_only = peer.is_read_only or bool(flags & READ_ONLY)
    return None


def _close(peer: Peer) -> Answer:
    peer.said_goodbye = True
    return None


# ------------------------------------------------------------ events


def _register(peer: Peer, event: int, uuid: bytes | None) -> None:
    if event not in KINDS or KINDS[event].name in peer.daemon.profile.missing_events:
        raise Refusal(remote_error(INTERNAL_ERROR, f"unsupported event ID {event}"))
    if peer.registered.has(event, uuid):
        peer.complain(f"event {event} is registered twice")
        text = f"event callback already tracked: {event}"
        raise Refusal(remote_error(INVALID_ARG, f"invalid argument: {text}"))


def _register_callback(peer: Peer, event: int, domain: RemoteDomain | None) -> Answer:
    uuid = None if domain is None else domain.uuid
    _register(peer, event, uuid)
    callback = peer.daemon.next_callback()
    peer.registered.callbacks[callback] = (event, uuid)
    peer.listens()
    return callback


def _deregister_callback(peer: Peer, callback: int) -> Answer:
    if peer.registered.callbacks.pop(callback, None) is None:
        raise Refusal(remote_error(INTERNAL_ERROR, f"domain event callback {callback} not registered"))
    peer.listens()
    return None


def _register_legacy(peer: Peer, event: int) -> Answer:
    if event in KINDS and KINDS[event].legacy is None:
        raise Refusal(remote_error(INTERNAL_ERROR, f"unsupported event ID {event}"))
    _register(peer, event, None)
    peer.registered.legacy.add(event)
    peer.listens()
    return None


def _deregister_legacy(peer: Peer, event: int) -> Answer:
    if event not in peer.registered.legacy:
        raise Refusal(remote_error(INTERNAL_ERROR, f"domain event {event} not registered"))
    peer.registered.legacy.discard(event)
    peer.listens()
    return None


def _register_first(peer: Peer) -> Answer:
    _register_legacy(peer, 0)
    return 1


def _deregister_first(peer: Peer) -> Answer:
    _deregister_legacy(peer, 0)
    return 0


def _register_close(peer: Peer) -> Answer:
    if peer.wants_close_event:
        peer.complain("the close callback is registered twice")
        raise Refusal(remote_error(INTERNAL_ERROR, "A close callback is already registered"))
    peer.wants_close_event = True
    return None


def _unregister_close(peer: Peer) -> Answer:
    peer.wants_close_event = False
    return None


# ------------------------------------------------------------ the host


def _capabilities(peer: Peer) -> Answer:
    world = peer.daemon.world
    return (
        f"<capabilities>\n  <host>\n    <uuid>{world.uuid}</uuid>\n    <cpu><arch>x86_64</arch></cpu>\n  </host>\n"
        f"  <guest>\n    <os_type>{peer.daemon.profile.os_type}</os_type>\n    <arch name='x86_64'>\n"
        f"      <domain type='{peer.daemon.profile.domain_type}'/>\n    </arch>\n  </guest>\n</capabilities>\n"
    )


def _node_info(peer: Peer) -> Answer:
    model = NODE.model.encode().ljust(32, b"\0")
    return RemoteNodeGetInfoRet(
        model, NODE.memory_kib, NODE.cpus, NODE.mhz, NODE.nodes, NODE.sockets, NODE.cores, NODE.threads
    )


def _said(answer: Callable[[Daemon], Answer]) -> Handler:
    """A read of what the daemon says of itself."""

    def handle(peer: Peer) -> Answer:
        return answer(peer.daemon)

    return handle


OPENING: Final[Mapping[Procedure[Any], Handler]] = {
    Proc.AUTH_LIST: _auth_list,
    Proc.AUTH_POLKIT: _auth_polkit,
    Proc.AUTH_SASL_INIT: _auth_sasl_init,
    Proc.CONNECT_SUPPORTS_FEATURE: _supports_feature,
    Proc.CONNECT_OPEN: _open,
    Proc.CONNECT_CLOSE: _close,
    Proc.CONNECT_REGISTER_CLOSE_CALLBACK: _register_close,
    Proc.CONNECT_UNREGISTER_CLOSE_CALLBACK: _unregister_close,
    Proc.CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY: _register_callback,
    Proc.CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY: _deregister_callback,
    Proc.CONNECT_DOMAIN_EVENT_REGISTER_ANY: _register_legacy,
    Proc.CONNECT_DOMAIN_EVENT_DEREGISTER_ANY: _deregister_legacy,
    Proc.CONNECT_DOMAIN_EVENT_REGISTER: _register_first,
    Proc.CONNECT_DOMAIN_EVENT_DEREGISTER: _deregister_first,
    Proc.CONNECT_GET_TYPE: _said(lambda daemon: daemon.profile.type),
    Proc.CONNECT_GET_HOSTNAME: _said(lambda daemon: daemon.world.name),
    Proc.CONNECT_GET_URI: _said(lambda daemon: f"{daemon.profile.scheme}://{daemon.profile.path}"),
    Proc.CONNECT_GET_VERSION: _said(lambda daemon: daemon.profile.version),
    Proc.CONNECT_GET_LIB_VERSION: _said(lambda daemon: daemon.profile.library),
    Proc.CONNECT_GET_CAPABILITIES: _capabilities,
    Proc.CONNECT_IS_SECURE: _said(lambda _: 1),
    Proc.NODE_GET_INFO: _node_info,
    Proc.NODE_GET_SECURITY_MODEL: _said(lambda _: RemoteNodeGetSecurityModelRet(b"none\0", b"0\0")),
}
"""Whatever the inner driver is."""

BEFORE_AUTH: Final = frozenset(
    {Proc.AUTH_LIST, Proc.AUTH_POLKIT, Proc.AUTH_SASL_INIT, Proc.AUTH_SASL_START, Proc.AUTH_SASL_STEP}
)
"""What an unauthenticated client may call; and the feature of keepalive (reference/libvirt-wire.md §4)."""

BEFORE_OPEN: Final = BEFORE_AUTH | {Proc.CONNECT_SUPPORTS_FEATURE, Proc.CONNECT_OPEN, Proc.CONNECT_CLOSE}
