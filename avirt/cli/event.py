"""`avirt event`: the hypervisor's events, as virsh prints them."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import avirt
from avirt.cli.codes import Reported
from avirt.cli.connections import Cli, connected, find
from avirt.cli.event_text import EVENTS, Told, told
from avirt.cli.lasting import each_host, until
from avirt.cli.output import clean
from avirt.cli.parse import Format, UsageError
from avirt.errors import AvirtError
from avirt.model.record import Key

__all__ = ["event"]


class _Enough(Exception):
    pass


class _Printer:
    """Counts and prints what is wanted."""

    def __init__(self, cli: Cli, *, event: str | None, key: Key | None, loop: bool, timestamp: bool) -> None:
        self._out = cli.out
        self._several = len(cli.options.uris) > 1
        self._event = event
        self._key = key
        self._loop = loop
        self._timestamp = timestamp
        self.received = 0

    async def follow(self, host: avirt.Host) -> None:
        """Print one host's events, for ever, or to the first."""
        async with host.native_items() as items:
            async for item in items:
                one = told(item)
                if one is None or (self._event or one.event) != one.event or (self._key or one.key) != one.key:
                    continue
                self.received += 1
                self._print(host, one)
                if not self._loop:
                    raise _Enough

    def _print(self, host: avirt.Host, one: Told) -> None:
        known = host.view.get(one.key)
        name = one.name or (known.name if known is not None else str(avirt.DomainKey(host.name, one.key).uuid))
        now = time.time()
        if self._out.format is Format.JSON:
            self._out.object(one.document(host.name, name, now))
        elif self._out.format is Format.NAME:
            self._out.line(clean(name))
        else:
            shown = clean(f"{host.name}/{name}" if self._several else name)
            stamp = f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3] + "+0000: "
            first, *more = one.text(shown).split("\n")
            self._out.lines([(stamp if self._timestamp else "") + clean(first), *(_indented(line) for line in more)])
        self._out.flush()


def _indented(line: str) -> str:
    return "\t" + clean(line[1:]) if line.startswith("\t") else clean(line)


async def event(
    cli: Cli,
    domain: str | None = None,
    *,
    event: str | None = None,
    everything: bool = False,
    loop: bool = False,
    timeout: float | None = None,
    listing: bool = False,
    timestamp: bool = False,
) -> int:
    """`avirt event`."""
    if listing:
        if cli.out.format is Format.JSON:
            cli.out.objects(list(EVENTS))
        else:
            cli.out.lines(EVENTS)
        return 0
    if event is not None and everything:
        raise UsageError("event: --event and --all exclude one another", "avirt event --help")
    printer: _Printer | None = None
    why = "event loop interrupted"
    try:
        async with until(timeout) as timer:
            if domain is None:
                printer = _Printer(cli, event=event, key=None, loop=loop, timestamp=timestamp)
                await each_host(cli, printer.follow)
            else:
                async with connected(cli) as hosts:
                    found = find(hosts, domain)
                    printer = _Printer(cli, event=event, key=found.key, loop=loop, timestamp=timestamp)
                    await printer.follow(found.host)
        if timer.cancelled_caught:
            why = "event loop timed out"
    except _Enough:
        why = ""
    except (AvirtError, Reported, UsageError, OSError):
        printer = None
        raise
    finally:
        if printer is not None and cli.out.format is Format.TABLE and not cli.out.quiet:
            cli.out.lines([*([why] if why else []), f"events received: {printer.received}", ""])
    return 0 if printer is not None and printer.received else 5
