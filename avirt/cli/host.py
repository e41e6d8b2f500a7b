"""Verbs about hosts: list, hostname, uri, version, nodeinfo, hosts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from anyio import to_thread

import avirt
from avirt.cli.connections import Cli, connected
from avirt.cli.parse import Format, UsageError
from avirt.cli.words import id_cell, state_cell
from avirt.errors import AvirtError
from avirt.model.document import Document, Json, facts_document, plain, record_document
from avirt.model.record import DomainRecord
from avirt.model.state import DomainState

__all__ = ["hostname", "hosts", "list_domains", "nodeinfo", "uri", "version"]

_NAMED: Final = {
    "running": DomainState.RUNNING,
    "paused": DomainState.PAUSED,
    "shutoff": DomainState.SHUTOFF,
}
"""States that virsh's --state-… name; the others are "other"."""


def state_filter(*, running: bool, paused: bool, shutoff: bool, other: bool) -> Callable[[DomainRecord], bool]:
    """The filter of --state-running and its like; none given: everything."""
    wanted = {_NAMED[name] for name, on in (("running", running), ("paused", paused), ("shutoff", shutoff)) if on}
    if not wanted and not other:
        return lambda _: True
    named = set(_NAMED.values())
    return lambda record: record.state in wanted or (other and record.state not in named)


def in_virsh_order(record: DomainRecord) -> tuple[bool, int, str, bytes]:
    """Active ones by id, then the others by name."""
    return (record.id is None, record.id or 0, record.name.casefold() if record.id is None else "", record.key)


async def list_domains(
    cli: Cli,
    *,
    everything: bool = False,
    inactive: bool = False,
    state_running: bool = False,
    state_paused: bool = False,
    state_shutoff: bool = False,
    state_other: bool = False,
    persistent: bool = False,
    transient: bool = False,
    autostart: bool = False,
    no_autostart: bool = False,
    uuid: bool = False,
    id: bool = False,
    names: bool = False,
    table: bool = False,
) -> int:
    """`avirt list`. As in virsh, --state-shutoff asks for inactive ones."""
    if table and (uuid or id or names):
        raise UsageError("list: --table goes with none of --uuid, --id and --name")
    of_state = state_filter(running=state_running, paused=state_paused, shutoff=state_shutoff, other=state_other)
    wants_active = everything or (not inactive and (not state_shutoff or state_running or state_paused or state_other))
    wants_inactive = everything or inactive or state_shutoff

    def is_wanted(record: DomainRecord) -> bool:
        return (
            (wants_active if record.active else wants_inactive)
            and of_state(record)
            and (persistent == transient or record.persistent is persistent)
            and (autostart == no_autostart or record.autostart is autostart)
        )

    async with connected(cli) as hosts:
        records = [
            record
            for host in hosts.reached
            for record in sorted(filter(is_wanted, host.view.values()), key=in_virsh_order)
        ]
        code = hosts.code
    out = cli.out
    if out.format is Format.JSON:
        out.objects([record_document(record) for record in records])
    elif out.format is Format.NAME and not (uuid or id or names):
        out.lines(_bare(record, name=True, host=hosts.several) for record in records)
    elif uuid or id or names:
        shown = records if uuid or names else [record for record in records if record.id is not None]
        out.lines(_bare(record, uuid=uuid, id=id, name=names) for record in shown)
    elif hosts.several:
        rows = [(record.host, id_cell(record), record.name, state_cell(record)) for record in records]
        out.table(("Host", "Id", "Name", "State"), rows)
    else:
        out.table(("Id", "Name", "State"), [(id_cell(record), record.name, state_cell(record)) for record in records])
    return code


def _bare(record: DomainRecord, *, uuid: bool = False, id: bool = False, name: bool = False, host: bool = False) -> str:
    words = [str(record.uuid)] if uuid else []
    words += [id_cell(record)] if id else []
    words += [f"{record.host}/{record.name}" if host else record.name] if name else []
    return " ".join(words)


async def _each(
    cli: Cli,
    read: Callable[[avirt.Host], Awaitable[Document]],
    show: Callable[[Document], list[tuple[str, str]] | str],
    name: str,
    column: int = 0,
) -> int:
    """One read of every host: one object, some lines, or a name each."""
    async with connected(cli) as hosts:
        code = hosts.code
        for index, host in enumerate(hosts.reached):
            try:
                document = {"host": host.name, **await read(host)}
            except AvirtError as error:
                if not hosts.several:
                    raise
                cli.out.failure(error, prefix=f"{host.name}: ")
                code = code or 1
                continue
            if cli.out.format is Format.JSON:
                cli.out.object(document)
                continue
            shown = str(document[name]) if cli.out.format is Format.NAME else show(document)
            if isinstance(shown, str):
                cli.out.line(f"{host.name}: {shown}" if hosts.several and cli.out.format is Format.TABLE else shown)
            else:
                cli.out.lines([""] if index else [])
                cli.out.pairs([("Host", host.name), *shown] if hosts.several else shown, column)
    return code


async def hostname(cli: Cli) -> int:
    """`avirt hostname`."""

    async def read(host: avirt.Host) -> Document:
        return {"hostname": await host.hostname()}

    return await _each(cli, read, lambda document: str(document["hostname"]), "hostname")


async def uri(cli: Cli) -> int:
    """`avirt uri`."""

    async def read(host: avirt.Host) -> Document:
        return {"uri": await host.native_uri()}

    return await _each(cli, read, lambda document: str(document["uri"]), "uri")


async def version(cli: Cli, *, daemon: bool = False) -> int:  # noqa: ARG001 - virsh's option, always on
    """`avirt version`."""

    async def read(host: avirt.Host) -> Document:
        return {"avirt": avirt.__version__, **facts_document(host.facts)}

    def show(document: Document) -> list[tuple[str, str]]:
        server = document["driver_version"]
        return [
            ("Using avirt", str(document["avirt"])),
            ("Using driver", str(document["driver"])),
            *([("Running against daemon", str(server))] if server else []),
            ("Running hypervisor", f"{document['product']} {document['version'] or ''}".strip()),
        ]

    return await _each(cli, read, show, "product", column=0)


async def nodeinfo(cli: Cli) -> int:
    """`avirt nodeinfo`."""

    async def read(host: avirt.Host) -> Document:
        info = plain(await host.node_info())
        assert isinstance(info, dict)
        return info

    def show(document: Document) -> list[tuple[str, str]]:
        return [
            ("CPU model", str(document["model"])),
            ("CPU(s)", str(document["cpus"])),
            ("CPU frequency", f"{document['mhz']} MHz"),
            ("CPU socket(s)", str(document["sockets"])),
            ("Core(s) per socket", str(document["cores"])),
            ("Thread(s) per core", str(document["threads"])),
            ("NUMA cell(s)", str(document["nodes"])),
            ("Memory size", f"{document['memory_kib']} KiB"),
        ]

    return await _each(cli, read, show, "model", column=20)


async def hosts(cli: Cli) -> int:
    """`avirt hosts`: what was found, the default first. Finds only; `avirt doctor URI` tries."""
    found = await to_thread.run_sync(avirt.discover)
    out = cli.out
    if out.format is Format.JSON:
        documents: list[Json] = [
            {"uri": str(each.uri), "source": each.source, "socket": each.path or None, "default": index == 0}
            for index, each in enumerate(found)
        ]
        out.objects(documents)
    elif out.format is Format.NAME:
        out.lines(str(each.uri) for each in found)
    elif found:
        rows = [
            ("*" if index == 0 else "", str(each.uri), each.path or f"({each.source})")
            for index, each in enumerate(found)
        ]
        out.table(("", "URI", "Found at"), rows)
    if not found:
        out.note("no hypervisor was found on this machine; `avirt doctor` says where avirt looked")
    return 0
