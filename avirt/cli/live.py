"""The live view: of `avirt watch` on a terminal, and of `avirt run` (`make run`)."""

from __future__ import annotations

import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

import anyio
from anyio import to_thread

import avirt
from avirt.cli.codes import Reported
from avirt.cli.connections import Cli, connected, find
from avirt.cli.lasting import each_host, until
from avirt.cli.watch import Lines, can_draw
from avirt.cli.watch_text import clock, describe, subject
from avirt.errors import AvirtError

if TYPE_CHECKING:
    from avirt.cli.screen import Screen

__all__ = ["DEMO", "run", "show"]

DEMO: Final = "sim://demo"

_FASTEST: Final = 0.1
"""Seconds between two drawings; a storm of changes costs no more than ten a second."""
_SLOWEST: Final = 1.0
"""Drawn so often without any change: the next try's time may have come, the terminal may have another size."""


class _View:
    """Feeds a Screen from the hosts' streams and draws it."""

    def __init__(self, screen: Screen, domain: avirt.Domain | None = None, *, settle: float | None = None) -> None:
        self.screen = screen
        self._domain = domain
        self._settle = settle
        self._hosts: list[avirt.Host] = []
        self._dirty = anyio.Event()
        self.started = anyio.Event()

    async def follow(self, host: avirt.Host) -> None:
        """One host's stream, for ever."""
        self._hosts.append(host)
        domains = None if self._domain is None else (self._domain,)
        with host.watch(domains=domains, settle=self._settle) as stream:
            self.started.set()
            self._dirty.set()
            async for batch in stream.batches():
                for item in batch:
                    when = item.since if isinstance(item, avirt.Gap) else item.observed_at
                    self.tell(when, subject(item, several=self.screen.several), describe(item))

    def tell(self, when: float, who: str, what: str) -> None:
        """A line of the log."""
        self.screen.log.append((clock(when, today=datetime.now().astimezone()), who, what))
        self._dirty.set()

    def fail(self, error: AvirtError, who: str) -> None:
        """A host could not be reached."""
        self.screen.unreached.append((who, error.message))
        self.tell(time.time(), who, f"{error.message} ({error.hint})" if error.hint else error.message)

    async def draw(self) -> None:
        """Draw whenever something changed, for ever."""
        from rich.console import Console
        from rich.live import Live

        await self.started.wait()
        console = Console(highlight=False, markup=False, emoji=False)
        with Live(
            self.screen,
            console=console,
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        ) as live:
            while True:
                self._dirty = anyio.Event()
                self._look()
                live.refresh()
                await anyio.sleep(_FASTEST)
                with anyio.move_on_after(_SLOWEST):
                    await self._dirty.wait()

    async def resize(self) -> None:
        """Draw again when the terminal has another size."""
        with anyio.open_signal_receiver(signal.SIGWINCH) as signals:
            async for _ in signals:
                self._dirty.set()

    def _look(self) -> None:
        screen = self.screen
        screen.now = datetime.now().astimezone()
        screen.hosts = [host.status for host in self._hosts]
        views = {host.name: list(host.view.values()) for host in self._hosts}
        screen.counts = {name: (len(view), sum(record.active for record in view)) for name, view in views.items()}
        if self._domain is not None:
            screen.records = [self._domain.record]
        else:
            screen.records = [record for view in views.values() for record in view]


async def show(
    cli: Cli,
    *,
    domain: str | None = None,
    settle: float | None = None,
    uris: Sequence[tuple[str, str]] | None = None,
    notice: str = "",
) -> int:
    """The live view, until it is cancelled; the exit code.

    Raises:
        AvirtError, Reported: no host could be reached.
    """
    from avirt.cli.screen import Screen

    wanted = cli.options.uris if uris is None else uris
    screen = Screen(notice=notice, several=len(wanted) > 1)
    if domain is None:
        view = _View(screen, settle=settle)
        return await _drawn(view, lambda: each_host(cli, view.follow, uris=wanted, on_failure=view.fail))
    async with connected(cli) as hosts:
        found = find(hosts, domain)
        view = _View(screen, found, settle=settle)

        async def follow() -> int:
            await view.follow(found.host)
            return 0

        return await _drawn(view, follow)


async def _drawn(view: _View, work: Callable[[], Awaitable[int]]) -> int:
    code = 0
    raised: Exception | None = None
    async with anyio.create_task_group() as tg:
        tg.start_soon(view.draw)
        tg.start_soon(view.resize)
        try:
            code = await work()
        except Exception as error:  # noqa: BLE001 - comes out as itself, not in a group
            raised = error
        tg.cancel_scope.cancel()
    if raised is not None:
        raise raised
    return code


async def run(cli: Cli, *, plain: bool = False) -> int:
    """`avirt run`: what was found on this machine, or the demo where nothing is."""
    uris = list(cli.options.uris)
    if not uris:
        uris = [("", str(found.uri)) for found in await to_thread.run_sync(avirt.discover)]
    notice = ""
    if uris:
        try:
            return await _shown(cli, uris, plain=plain)
        except (AvirtError, Reported) as error:
            if cli.options.uris:
                raise
            if isinstance(error, AvirtError):
                cli.out.failure(error)
            notice = f"No hypervisor of this machine can be reached: this is {DEMO}, a simulated one."
    else:
        notice = f"No hypervisor was found on this machine: this is {DEMO}, a simulated one."
    cli.out.note(notice)
    return await _shown(cli, [("", DEMO)], plain=plain, notice=notice)


async def _shown(cli: Cli, uris: Sequence[tuple[str, str]], *, plain: bool, notice: str = "") -> int:
    code = 0
    async with until(None):
        if can_draw(cli) and not plain:
            code = await show(cli, uris=uris, notice=notice)
        else:
            code = await each_host(cli, Lines(cli, several=len(uris) > 1).follow, uris=uris)
    return code
