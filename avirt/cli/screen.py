"""What the live view draws: hosts, a table of domains, a log of changes; as a rich renderable of the terminal's size.

The only module that imports rich: `live.py` loads it when a terminal is there to draw on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from heapq import nsmallest
from typing import Final

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from avirt.cli.output import clean, counted
from avirt.cli.watch_text import clock
from avirt.cli.words import reason_words, state_words
from avirt.model.record import Certainty, DomainRecord, HostState, HostStatus
from avirt.model.state import DomainState

__all__ = ["LOG_LINES", "Entry", "Screen"]

LOG_LINES: Final = 500
"""More lines than any terminal has."""

_STATE_STYLES: Final = {
    DomainState.RUNNING: "green",
    DomainState.BLOCKED: "green",
    DomainState.PAUSED: "yellow",
    DomainState.PMSUSPENDED: "yellow",
    DomainState.SHUTDOWN: "cyan",
    DomainState.SHUTOFF: "dim",
    DomainState.CRASHED: "bold red",
}
_CERTAINTY_STYLES: Final = {Certainty.LIVE: "dim", Certainty.STALE: "yellow", Certainty.UNKNOWN: "red"}
_HOST_STYLES: Final = {
    HostState.LIVE: "green",
    HostState.CONNECTING: "cyan",
    HostState.LOST: "bold red",
    HostState.REFUSED: "bold red",
    HostState.CLOSED: "dim",
}

Entry = tuple[str, str, str]
"""A line of the log: time, whom it is about, what happened."""


class Screen:
    """Drawn anew each time, from what it holds then.

    Attributes:
        notice: one line at the top, or "".
        hosts, records: what there is.
        counts: domains of each host, and how many of them are active.
        unreached: hosts that could not be connected, and why.
        log: what happened, the newest last.
    """

    def __init__(self, *, notice: str = "", several: bool = False) -> None:
        self.notice = notice
        self.several = several
        self.hosts: Sequence[HostStatus] = ()
        self.records: Sequence[DomainRecord] = ()
        self.counts: Mapping[str, tuple[int, int]] = {}
        self.unreached: list[tuple[str, str]] = []
        self.log: deque[Entry] = deque(maxlen=LOG_LINES)
        self.now = datetime.now().astimezone()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, height = options.size
        options = options.update(width=width, height=None, no_wrap=True, overflow="ellipsis")
        lines = list(self._head(console, options))
        room = max(height - len(lines), 1)
        table_room = min(len(self.records) + 2, max(room * 3 // 5, room - len(self.log) - 2))
        lines += self._table(console, options, table_room)
        lines += self._log(console, options, height - len(lines))
        # exactly a screenful: one line more would scroll it
        lines = lines[:height] + [[Segment(" " * width)]] * (height - len(lines))
        for index, line in enumerate(lines):
            yield from Segment.adjust_line_length(line, width)
            if index < height - 1:
                yield Segment.line()

    def _head(self, console: Console, options: ConsoleOptions) -> Iterable[list[Segment]]:
        if self.notice:
            yield from console.render_lines(Text(self.notice, style="bold yellow"), options)
        for status in self.hosts:
            text = Text.assemble(
                ("● ", _HOST_STYLES[status.state]),
                (clean(status.name), "bold"),
                f"  {status.state}",
            )
            if status.facts is not None:
                version = "" if status.facts.version is None else " " + ".".join(map(str, status.facts.version))
                text.append(f"  {clean(status.facts.product)}{version}", "dim")
            if status.state is HostState.LIVE:
                domains, active = self.counts.get(status.name, (0, 0))
                text.append(f"  {counted(domains, 'domain')}, {active} active", "dim")
            elif status.why:
                again = f"; next try {clock(status.next_try, today=self.now)}" if status.next_try else ""
                text.append(f"  {clean(status.why)}{again}", "yellow")
            yield from console.render_lines(text, options)

        for name, why in self.unreached:
            text = Text.assemble(("● ", "bold red"), (clean(name), "bold"), ("  not reached  ", "red"), clean(why))
            yield from console.render_lines(text, options)

    def _table(self, console: Console, options: ConsoleOptions, room: int) -> Iterable[list[Segment]]:
        table = Table(box=None, expand=True, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
        if self.several:
            table.add_column("Host", ratio=2, no_wrap=True)
        table.add_column("Name", ratio=3, no_wrap=True)
        # "paused, snapshotting" fits
        table.add_column("State", ratio=2, width=20 if options.max_width >= 80 else None, no_wrap=True)
        table.add_column("Reason", ratio=2, no_wrap=True)
        table.add_column("Since", width=19 if self._any_old() else 8, no_wrap=True)
        table.add_column("Certainty", width=9, no_wrap=True)
        fits = max(room - 2, 0) if len(self.records) > room - 1 else len(self.records)
        for record in nsmallest(fits, self.records, key=_order):
            state = state_words(record.state)
            style = _STATE_STYLES.get(record.state, "")
            cells = [Text(clean(record.name)), Text(state, style)]
            if record.transition is not None:
                cells[1].append(f", {record.transition}", "cyan")
            cells.append(Text(reason_words(record.reason), "dim"))
            cells.append(Text(clock(record.since, today=self.now)))
            cells.append(Text(str(record.certainty), _CERTAINTY_STYLES[record.certainty]))
            if self.several:
                cells.insert(0, Text(clean(record.host), "dim"))
            table.add_row(*cells)
        yield from console.render_lines(table, options)
        if fits < len(self.records):
            more = f"… {len(self.records) - fits} more: a larger window, or avirt list --all"
            yield from console.render_lines(Text(more, "dim"), options)

    def _any_old(self) -> bool:
        today = self.now.date()
        return any(
            record.since is not None and datetime.fromtimestamp(record.since, self.now.tzinfo).date() != today
            for record in self.records
        )

    def _log(self, console: Console, options: ConsoleOptions, room: int) -> Iterable[list[Segment]]:
        if room < 2:
            return
        yield from console.render_lines(Text("─ changes " + "─" * max(options.max_width - 10, 0), "dim"), options)
        for when, who, what in list(self.log)[-(room - 1) :]:
            text = Text.assemble((f"{when}  ", "dim"), (clean(who), "bold"), f": {clean(what)}")
            yield from console.render_lines(text, options)


def _order(record: DomainRecord) -> tuple[bool, str, str]:
    """Active ones first, so that they stay in sight where not all fit."""
    return (not record.active, record.host, record.name)
