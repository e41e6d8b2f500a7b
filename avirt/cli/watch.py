"""`avirt watch` and `avirt wait`."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from importlib.util import find_spec

from msgspec.structs import replace

import avirt
from avirt.cli.connections import Cli, connected, find
from avirt.cli.lasting import each_host, until
from avirt.cli.output import clean, counted
from avirt.cli.parse import Format, UsageError
from avirt.cli.progress import progress
from avirt.cli.watch_text import clock, describe, standing, subject
from avirt.cli.words import state_cell
from avirt.errors import OperationTimeout
from avirt.model.document import change_document, record_document, snapshot_document
from avirt.model.state import DomainState

__all__ = ["Lines", "can_draw", "wait", "watch"]


class Lines:
    """Prints a stream line by line, each flushed."""

    def __init__(self, cli: Cli, *, several: bool) -> None:
        self._out = cli.out
        self._several = several

    def snapshot(self, host: str, records: Sequence[avirt.DomainRecord], token: str) -> None:
        """What there is."""
        out = self._out
        if out.format is Format.JSON:
            out.object(snapshot_document(host, records, token))
        elif out.format is Format.TABLE and not out.quiet:
            out.line(clean(f"{host}: {counted(len(records), 'domain')}"))
            by_name = sorted(records, key=lambda record: record.name)
            out.lines(f"  {clean(record.name)}: {standing(record)}" for record in by_name)
        out.flush()

    def change(self, item: avirt.Change | avirt.Gap) -> None:
        """What happened."""
        out = self._out
        if out.format is Format.JSON:
            out.object(change_document(item))
        elif out.format is Format.NAME:
            if isinstance(item, avirt.DomainChange):
                out.line(clean(subject(item, several=self._several)))
        else:
            when = item.since if isinstance(item, avirt.Gap) else item.observed_at
            out.line(clean(f"{clock(when)}  {subject(item, several=self._several)}: {describe(item)}"))
        out.flush()

    async def follow(
        self,
        host: avirt.Host,
        domains: tuple[avirt.Domain, ...] | None = None,
        *,
        settle: float | None = None,
        since: str | None = None,
        durable: bool = False,
    ) -> None:
        """Print one host's stream, for ever."""
        with host.watch(domains=domains, settle=settle, since=since, durable=durable) as stream:
            if not stream.resumed:
                self.snapshot(host.name, stream.snapshot, stream.token)
            async for batch in stream.batches():
                for item in batch:
                    self.change(item)


def can_draw(cli: Cli) -> bool:
    """Whether a live view is wanted and possible: stdout is a terminal, rich (the extra `cli`) is here."""
    return cli.out.format is Format.TABLE and is_terminal() and find_spec("rich") is not None


def is_terminal() -> bool:
    """Whether stdout is one."""
    return sys.stdout is not None and sys.stdout.isatty()


@asynccontextmanager
async def journaled(cli: Cli, journal: str | None) -> AsyncGenerator[Cli]:
    """The same, with a journal in that file, if one is given."""
    if journal is None:
        yield cli
        return
    async with avirt.open_store(journal) as store:
        if store.journal is not None and store.journal.lost:
            cli.out.note(f"warning: no journal is kept in {journal}: {store.journal.lost}")
        yield replace(cli, store=store)


async def watch(
    cli: Cli,
    domain: str | None = None,
    *,
    plain: bool = False,
    settle: float | None = None,
    audit: float | None = None,
    journal: str | None = None,
    since: str | None = None,
    durable: bool = False,
    timeout: float | None = None,
) -> int:
    """`avirt watch`. Ends when the time is up, or by Ctrl-C."""
    if journal is None and (since is not None or durable):
        raise UsageError(f"watch: {'--durable' if durable else '--since'} needs --journal FILE")
    live = can_draw(cli) and not plain and since is None and not durable
    code = 0
    async with until(timeout), journaled(replace(cli, audit=audit), journal) as kept:
        if live:
            from avirt.cli.live import show

            return await show(kept, domain=domain, settle=settle)
        if domain is None:
            lines = Lines(kept, several=len(kept.options.uris) > 1)
            code = await each_host(kept, partial(lines.follow, settle=settle, since=since, durable=durable))
        else:
            async with connected(kept) as hosts:
                found = find(hosts, domain)
                lines = Lines(kept, several=hosts.several)
                await lines.follow(found.host, (found,), settle=settle, since=since, durable=durable)
    return code


async def wait(cli: Cli, domain: str, state: DomainState, *, timeout: float | None = None) -> int:
    """`avirt wait`."""
    async with connected(cli) as hosts:
        found = find(hosts, domain)
        async with progress(f"wait {found.name}", lambda: state_cell(found.record), quiet=cli.out.quiet):
            try:
                record = await found.wait_for(state, timeout=timeout)
            except OperationTimeout as error:
                if not error.hint:
                    error.hint = "a longer --timeout, or none"
                raise
    if cli.out.format is Format.JSON:
        cli.out.object(record_document(record))
    elif cli.out.format is Format.NAME:
        cli.out.line(record.name)
    else:
        cli.out.message(f"Domain '{record.name}' is {standing(record)}")
    return 0
