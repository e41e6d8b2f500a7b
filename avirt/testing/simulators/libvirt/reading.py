"""What a daemon answers about its domains: look-ups, lists, single reads, statistics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

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


def remote_of(domain: SimDomain) -> RemoteDomain:
    """A domain as the protocol passes it; its id is -1 when inactive."""
    return RemoteDomain(domain.name, domain.key, -1 if domain.id is None else domain.id)


def domain_of(peer: Peer, dom: RemoteDomain) -> SimDomain:
    """By uuid only, as a daemon finds it (reference/libvirt-wire.md §6)."""
    found = peer.daemon.world.domains.get(Key(dom.uuid))
    if found is None:
        raise _no_domain(peer, f"no domain with matching uuid ({dom.name})")
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


def _actives(peer: Peer) -> list[SimDomain]:
    return [domain for domain in peer.daemon.world.domains.values() if domain.active]


def _inactives(peer: Peer) -> list[SimDomain]:
    return [domain for domain in peer.daemon.world.domains.values() if not domain.active]


# ------------------------------------------------------------ single domains


def _get_info(peer: Peer, dom: RemoteDomain) -> Answer:
    domain = domain_of(peer, dom)
    memory = domain.config.memory_kib
    cpu_time = domain.cpu_time_ns if domain.active else 0
    return RemoteDomainGetInfoRet(int(domain.state), memory, memory, domain.config.vcpus, cpu_time)


def _get_state(peer: Peer, dom: RemoteDomain, flags: int) -> Answer:
    domain = domain_of(peer, dom)
    return RemoteDomainGetStateRet(int(domain.state), int(domain.reason))


def _get_xml(peer: Peer, dom: RemoteDomain, flags: int) -> Answer:
    return write_xml(domain_of(peer, dom), inactive=bool(flags & Xml.INACTIVE))


def _same(answer: Callable[[Peer], Answer]) -> Handler:
    """A read that every domain answers alike, if it is there."""

    def handle(peer: Peer, dom: RemoteDomain) -> Answer:
        domain_of(peer, dom)
        return answer(peer)

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
    Proc.CONNECT_NUM_OF_DOMAINS: lambda peer: len(_actives(peer)),
    Proc.CONNECT_NUM_OF_DEFINED_DOMAINS: lambda peer: len(_inactives(peer)),
    Proc.CONNECT_LIST_DOMAINS: lambda peer, room: tuple(each.id for each in _actives(peer))[:room],
    Proc.CONNECT_LIST_DEFINED_DOMAINS: lambda peer, room: tuple(each.name for each in _inactives(peer))[:room],
    Proc.DOMAIN_LOOKUP_BY_ID: lambda peer, number: _lookup(
        peer, lambda each: each.id == number, f"no domain with matching id {number}"
    ),
    Proc.DOMAIN_LOOKUP_BY_NAME: lambda peer, name: _lookup(
        peer, lambda each: each.name == name, f"no domain with matching name '{name}'"
    ),
    Proc.DOMAIN_LOOKUP_BY_UUID: lambda peer, uuid: _lookup(
        peer, lambda each: each.key == uuid, f"no domain with matching uuid '{uuid.hex()}'"
    ),
    Proc.CONNECT_GET_ALL_DOMAIN_STATS: _all_stats,
    Proc.DOMAIN_GET_STATE: _get_state,
    Proc.DOMAIN_GET_INFO: _get_info,
    Proc.DOMAIN_GET_XML_DESC: _get_xml,
    Proc.DOMAIN_GET_OS_TYPE: _same(lambda peer: peer.daemon.profile.os_type),
    Proc.DOMAIN_GET_SECURITY_LABEL: _same(lambda peer: RemoteDomainGetSecurityLabelRet(b"", 0)),
    Proc.DOMAIN_GET_MAX_MEMORY: lambda peer, dom: domain_of(peer, dom).config.memory_kib,
    Proc.DOMAIN_GET_MAX_VCPUS: lambda peer, dom: domain_of(peer, dom).config.vcpus,
    Proc.DOMAIN_GET_AUTOSTART: lambda peer, dom: int(domain_of(peer, dom).autostart),
    Proc.DOMAIN_HAS_MANAGED_SAVE_IMAGE: lambda peer, dom, flags: int(domain_of(peer, dom).image is not None),
    Proc.DOMAIN_IS_ACTIVE: lambda peer, dom: int(domain_of(peer, dom).active),
    Proc.DOMAIN_IS_PERSISTENT: lambda peer, dom: int(domain_of(peer, dom).persistent),
    Proc.DOMAIN_IS_UPDATED: _same(lambda peer: 0),
}
