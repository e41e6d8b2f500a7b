"""What verbs that last have in common: every host in its own task, an end in time, a reader that goes away."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import cast

import anyio

import avirt
from avirt.cli.codes import Reported, exit_code
from avirt.cli.connections import Cli, open_host, unique_names
from avirt.errors import AvirtError

__all__ = ["each_host", "until"]

Work = Callable[[avirt.Host], Awaitable[None]]


async def each_host(
    cli: Cli,
    work: Work,
    *,
    uris: Sequence[tuple[str, str]] | None = None,
    on_failure: Callable[[AvirtError, str], None] | None = None,
) -> int:
    """Run `work` on every host as soon as it is connected, until all have ended; the exit code.

    Args:
        uris: instead of the command line's.
        on_failure: told of a host that can't be reached while there are others, instead of stderr.

    Raises:
        AvirtError: the only host failed. Reported: all of several did.
    """
    wanted = cli.options.uris if uris is None else tuple(uris)
    if len(wanted) <= 1:
        name, uri = wanted[0] if wanted else ("", None)
        async with open_host(cli, name, uri) as host:
            await work(host)
        return 0
    names = unique_names(wanted)
    store = cli.store or avirt.Store()
    failed: list[AvirtError] = []

    async def one(name: str, uri: str, shown: str) -> None:
        try:
            async with open_host(cli, name, uri, store) as host:
                await work(host)
        except AvirtError as error:
            if on_failure is None:
                cli.out.failure(error, prefix=f"{shown}: ")
            else:
                on_failure(error, shown)
            failed.append(error)

    raised: Exception | None = None
    try:
        async with anyio.create_task_group() as tg:
            for (name, uri), shown in zip(wanted, names, strict=True):
                tg.start_soon(one, name, uri, shown)
    except ExceptionGroup as group:
        raised = first_of(group)
    if raised is not None:
        raise raised
    if len(failed) == len(wanted):
        raise Reported(exit_code(failed[0]))
    return exit_code(failed[0]) if failed else 0


def first_of(group: ExceptionGroup[Exception]) -> Exception:
    """The first exception of a group: the others follow from it."""
    first = group.exceptions[0]
    return first_of(cast("ExceptionGroup[Exception]", first)) if isinstance(first, ExceptionGroup) else first


@asynccontextmanager
async def until(timeout: float | None) -> AsyncGenerator[anyio.CancelScope]:
    """Cancel the body when the time is up, or when nobody reads stdout any more.

    Raises:
        BrokenPipeError: nobody does.
    """
    gone = False
    raised: Exception | None = None

    async def listen(scope: anyio.CancelScope, descriptor: int) -> None:
        nonlocal gone
        # a pipe's writing end becomes "readable" when its reader closes
        await anyio.wait_readable(descriptor)
        gone = True
        scope.cancel()

    with anyio.move_on_after(timeout) as timer:
        async with anyio.create_task_group() as tg:
            pipe = _pipe()
            if pipe is not None:
                tg.start_soon(listen, tg.cancel_scope, pipe)
            try:
                yield timer
            except Exception as error:  # noqa: BLE001 - comes out as itself, not in a group
                raised = error
            tg.cancel_scope.cancel()
    if raised is not None:
        raise raised
    if gone:
        raise BrokenPipeError


def _pipe() -> int | None:
    """stdout's descriptor if it is a pipe."""
    try:
        descriptor = sys.stdout.fileno()
        return descriptor if stat.S_ISFIFO(os.fstat(descriptor).st_mode) else None
    except (AttributeError, OSError, ValueError):
        return None  # closed, or no file at all
