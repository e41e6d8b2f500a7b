"""What a daemon answers about its domains: look-ups, lists, single reads, statistics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from avirt.drivers.base import StatsGroup
from avirt.drivers.libvirt.flags import Stats, Xml
from avirt.drivers.libvirt.generated.procedures import Proc
from avirt.drivers.libvirt.generated.types import (
    RemoteConnectListAllDomainsRet,
    RemoteDomain,
    RemoteDomainGetInfoRet,
    RemoteDomainGetSecurityLabelRet,
    RemoteDomainGetStateRet,
    RemoteDomainStatsRecord,
)
from avirt.drivers.libvirt.procedure import Procedure
from avirt.drivers.sim.capabilities import params_of
from avirt.drivers.sim.definition import write_xml
from avirt.drivers.sim.domain import SimDomain
from avirt.model.record import Key
from avirt.model.state import DomainState
from avirt.testing.simulators.libvirt.answers import Answer, Handler, Refusal
from avirt.testing.simulators.libvirt.errors import INVALID_ARG, NO_DOMAIN, remote_error
from avirt.testing.simulators.libvirt.events import typed_params

if TYPE_CHECKING:
    from avirt.testing.simulators.libvirt.peer import Peer

__all__ = ["READING", "domain_of", "remote_of"]

MAX_LISTED: Final = 16384
"""REMOTE_DOMAIN_LIST_MAX."""


def remote_of(domain: SimDomain) -> RemoteDomain:
    """A domain as the protocol passes it; its id is -1 when inactive."""
    return RemoteDomain(domain.name, domain.key, -1 if domain.id is None else domain.id)


def domain_of(peer: Peer, dom: RemoteDomain) -> SimDomain:
    """By uuid only, as a daemon finds it (reference/libvirt-wire.md §6)."""
    found = peer.daemon.world.domains.get(Key(dom.uuid))
    if found is None:
        raise _no_domain(peer, f"no domain with matching uuid '{UUID(bytes=dom.uuid)}' ({dom.name})")
    return found


def _no_domain(peer: Peer, text: str) -> Refusal:
    error_domain = peer.daemon.profile.error_domain
    return Refusal(remote_error(NO_DOMAIN, f"Domain not found: {text}", domain=error_domain))


# ------------------------------------------------------------ look-ups and lists


def _lookup(peer: Peer, holds: Callable[[SimDomain], bool], text: str) -> Answer:
    for domain in peer.daemon.world.domains.values():
        if holds(domain):
            return remote_of(domain)
    raise _no_domain(peer, text)


def _by_id(peer: Peer, number: int) -> Answer:
    return _lookup(peer, lambda each: each.id == number, f"no domain with matching id {number}")


def _by_name(peer: Peer, name: str) -> Answer:
    return _lookup(peer, lambda each: each.name == name, f"no domain with matching name '{name}'")


def _by_uuid(peer: Peer, uuid: bytes) -> Answer:
    return _lookup(peer, lambda each: each.key == uuid, f"no domain with matching uuid '{UUID(bytes=uuid)}'")


_FILTERS: Final[Sequence[Sequence[tuple[int, Callable[[SimDomain], bool]]]]] = (
    # virConnectListAllDomainsFlags: or-ed within a group, and-ed between groups
    ((1, lambda d: d.active), (2, lambda d: not d.active)),
    ((4, lambda d: d.persistent), (8, lambda d: not d.persistent)),
    (
        (16, lambda d: d.state is DomainState.RUNNING),
        (32, lambda d: d.state is DomainState.PAUSED),
        (64, lambda d: d.state is DomainState.SHUTOFF),
        (128, lambda d: d.state not in (DomainState.RUNNING, DomainState.PAUSED, DomainState.SHUTOFF)),
    ),
    ((256, lambda d: d.image is not None), (512, lambda d: d.image is None)),
    ((1024, lambda d: d.autostart), (2048, lambda d: not d.autostart)),
    ((4096, lambda d: False), (8192, lambda d: True)),
    ((16384, lambda d: False), (32768, lambda d: True)),
)

_KNOWN_FILTERS: Final = sum(bit for group in _FILTERS for bit, _ in group)


def _list_all(peer: Peer, need_results: int, flags: int) -> Answer:
    if unknown := flags & ~_KNOWN_FILTERS:
        text = f"unsupported flags ({unknown:#x}) in function virConnectListAllDomains"
        raise Refusal(remote_error(INVALID_ARG, text, domain=peer.daemon.profile.error_domain))
    found = list(peer.daemon.world.domains.values())
    for group in _FILTERS:
        wanted = [holds for bit, holds in group if flags & bit]
        if wanted:
            found = [domain for domain in found if any(holds(domain) for holds in wanted)]
    domains = tuple(map(remote_of, found)) if need_results else ()
    return RemoteConnectListAllDomainsRet(domains, len(found))


def _num_of_actives(peer: Peer) -> Answer:
    return len(_ids(peer, MAX_LISTED))


def _num_of_inactives(peer: Peer) -> Answer:
    return len(_names(peer, MAX_LISTED))


def _ids(peer: Peer, room: int) -> tuple[int, ...]:
    """Of those that are active."""
    return tuple(each.id for each in peer.daemon.world.domains.values() if each.id is not None)[:room]


def _names(peer: Peer, room: int) -> tuple[str, ...]:
    """Of those that are not."""
    return tuple(each.name for each in peer.daemon.world.domains.values() if not each.active)[:room]


# ------------------------------------------------------------ single domains


def _info(domain: SimDomain) -> Answer:
    memory = domain.config.memory_kib
    cpu_time = domain.cpu_time_ns if domain.active else 0
    return RemoteDomainGetInfoRet(int(domain.state), memory, memory, domain.config.vcpus, cpu_time)


def _os_type(peer: Peer, dom: RemoteDomain) -> Answer:
    domain_of(peer, dom)
    return peer.daemon.profile.os_type


def _get_xml(peer: Peer, dom: RemoteDomain, flags: int) -> Answer:
    return write_xml(domain_of(peer, dom), inactive=bool(flags & Xml.INACTIVE))


def _of(answer: Callable[[SimDomain], Answer]) -> Handler:
    """A read of one domain, whatever its flags."""

    def handle(peer: Peer, dom: RemoteDomain, flags: int = 0) -> Answer:
        return answer(domain_of(peer, dom))

    return handle


# ------------------------------------------------------------ statistics

_GROUPS: Final[Mapping[int, StatsGroup]] = {
    Stats.STATE: StatsGroup.STATE,
    Stats.CPU_TOTAL: StatsGroup.CPU_TOTAL,
    Stats.BALLOON: StatsGroup.BALLOON,
    Stats.VCPU: StatsGroup.VCPU,
    Stats.INTERFACE: StatsGroup.INTERFACE,
    Stats.BLOCK: StatsGroup.BLOCK,
    Stats.PERF: StatsGroup.PERF,
    Stats.IOTHREAD: StatsGroup.IOTHREAD,
    Stats.MEMORY: StatsGroup.MEMORY,
    Stats.DIRTYRATE: StatsGroup.DIRTYRATE,
    Stats.VM: StatsGroup.VM,
}


def _all_stats(peer: Peer, doms: Sequence[RemoteDomain], stats: int, flags: int) -> Answer:
    domains = [domain_of(peer, dom) for dom in doms] if doms else list(peer.daemon.world.domains.values())
    groups = frozenset(group for bit, group in _GROUPS.items() if stats & bit)
    return tuple(
        RemoteDomainStatsRecord(remote_of(domain), typed_params(params_of(domain, groups))) for domain in domains
    )


READING: Final[Mapping[Procedure[Any], Handler]] = {
    Proc.CONNECT_LIST_ALL_DOMAINS: _list_all,
    Proc.CONNECT_NUM_OF_DOMAINS: _num_of_actives,
    Proc.CONNECT_NUM_OF_DEFINED_DOMAINS: _num_of_inactives,
    Proc.CONNECT_LIST_DOMAINS: _ids,
    Proc.CONNECT_LIST_DEFINED_DOMAINS: _names,
    Proc.DOMAIN_LOOKUP_BY_ID: _by_id,
    Proc.DOMAIN_LOOKUP_BY_NAME: _by_name,
    Proc.DOMAIN_LOOKUP_BY_UUID: _by_uuid,
    Proc.CONNECT_GET_ALL_DOMAIN_STATS: _all_stats,
    Proc.DOMAIN_GET_STATE: _of(lambda domain: RemoteDomainGetStateRet(int(domain.state), int(domain.reason))),
    Proc.DOMAIN_GET_INFO: _of(_info),
    Proc.DOMAIN_GET_XML_DESC: _get_xml,
    Proc.DOMAIN_GET_OS_TYPE: _os_type,
    Proc.DOMAIN_GET_SECURITY_LABEL: _of(lambda _: RemoteDomainGetSecurityLabelRet(b"", 0)),
    Proc.DOMAIN_GET_MAX_MEMORY: _of(lambda domain: domain.config.memory_kib),
    Proc.DOMAIN_GET_MAX_VCPUS: _of(lambda domain: domain.config.vcpus),
    Proc.DOMAIN_GET_AUTOSTART: _of(lambda domain: int(domain.autostart)),
    Proc.DOMAIN_HAS_MANAGED_SAVE_IMAGE: _of(lambda domain: int(domain.image is not None)),
    Proc.DOMAIN_IS_ACTIVE: _of(lambda domain: int(domain.active)),
    Proc.DOMAIN_IS_PERSISTENT: _of(lambda domain: int(domain.persistent)),
    Proc.DOMAIN_IS_UPDATED: _of(lambda _: 0),
}
