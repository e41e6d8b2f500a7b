"""`avirt domstats`: the hypervisor's statistics by its own names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import avirt
from avirt.cli.connections import Cli, connected, find
from avirt.cli.host import state_filter
from avirt.cli.output import clean
from avirt.cli.parse import Format
from avirt.drivers.base import DomainStats, StatsGroup
from avirt.errors import AvirtError
from avirt.model.document import Json, plain
from avirt.model.native_event import Param
from avirt.model.record import DomainRecord

__all__ = ["domstats"]


async def domstats(
    cli: Cli,
    domains: tuple[str, ...] = (),
    *,
    state: bool = False,
    cpu_total: bool = False,
    balloon: bool = False,
    vcpu: bool = False,
    interface: bool = False,
    block: bool = False,
    perf: bool = False,
    iothread: bool = False,
    memory: bool = False,
    dirtyrate: bool = False,
    vm: bool = False,
    list_active: bool = False,
    list_inactive: bool = False,
    list_persistent: bool = False,
    list_transient: bool = False,
    list_running: bool = False,
    list_paused: bool = False,
    list_shutoff: bool = False,
    list_other: bool = False,
    raw: bool = False,  # noqa: ARG001 - virsh's option: avirt never changes a field
    nowait: bool = False,
) -> int:
    """`avirt domstats`."""
    chosen = {
        StatsGroup.STATE: state,
        StatsGroup.CPU_TOTAL: cpu_total,
        StatsGroup.BALLOON: balloon,
        StatsGroup.VCPU: vcpu,
        StatsGroup.INTERFACE: interface,
        StatsGroup.BLOCK: block,
        StatsGroup.PERF: perf,
        StatsGroup.IOTHREAD: iothread,
        StatsGroup.MEMORY: memory,
        StatsGroup.DIRTYRATE: dirtyrate,
        StatsGroup.VM: vm,
    }
    groups = frozenset(group for group, on in chosen.items() if on)
    of_state = state_filter(running=list_running, paused=list_paused, shutoff=list_shutoff, other=list_other)
    narrowed = list_active or list_inactive or list_persistent or list_transient
    narrowed = narrowed or list_running or list_paused or list_shutoff or list_other

    def is_wanted(record: DomainRecord) -> bool:
        return (
            of_state(record)
            and (list_active == list_inactive or record.active is list_active)
            and (list_persistent == list_transient or record.persistent is list_persistent)
        )

    found: list[tuple[str, DomainStats]] = []
    async with connected(cli) as hosts:
        code = hosts.code
        named = [find(hosts, name) for name in domains]
        for host in hosts.reached:
            wanted = _of_host(host, named, is_wanted if narrowed else None)
            if not wanted and (domains or narrowed):
                continue
            try:
                answer = await host.stats_once(
                    domains=wanted if domains or narrowed else (), groups=groups, nowait=nowait
                )
            except AvirtError as error:
                if not hosts.several:
                    raise
                cli.out.failure(error, prefix=f"{host.name}: ")
                code = code or 1
                continue
            found += [(host.name, stats) for stats in answer]
        _show(cli, found, several=hosts.several)
    return code


def _of_host(
    host: avirt.Host, named: Sequence[avirt.Domain], is_wanted: Callable[[DomainRecord], bool] | None
) -> list[avirt.Domain]:
    domains = [domain for domain in named if domain.host is host] if named else host.domains()
    return domains if is_wanted is None else [domain for domain in domains if is_wanted(domain.record)]


def _show(cli: Cli, found: Sequence[tuple[str, DomainStats]], *, several: bool) -> None:
    out = cli.out
    if out.format is Format.JSON:
        documents: list[Json] = [
            {
                "host": host,
                "name": stats.name,
                "uuid": str(avirt.DomainKey(host, stats.key).uuid),
                "stats": plain(stats.params),
            }
            for host, stats in found
        ]
        out.objects(documents)
        return
    for host, stats in found:
        name = f"{host}/{stats.name}" if several else stats.name
        if out.format is Format.NAME:
            out.line(name)
            continue
        out.line(f"Domain: '{clean(name)}'")
        out.lines(f"  {key}={_text(value)}" for key, value in stats.params.items())
        if not out.quiet:
            out.line()


_FLOAT: Final = "{:.6f}"


def _text(value: Param) -> str:
    """As virsh writes a typed parameter: yes and no, six places."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return _FLOAT.format(value) if isinstance(value, float) else clean(str(value))
