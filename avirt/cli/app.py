"""The command `avirt`: from argv to an exit code. Options, signals and errors are dealt with here, verbs elsewhere.

Exit codes: 0 done, 1 refused by the hypervisor, 2 usage, 3 not found, 4 can't connect, 5 timed out, 130 interrupted.
Everything but the parser is imported when it is needed: a short verb should cost little more than virsh's.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from avirt.cli.parse import Command, Row, UsageError, parse
from avirt.cli.verbs import ROWS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from avirt.cli.output import Output

__all__ = ["main", "script"]


def main(argv: Sequence[str] | None = None, *, backend: str = "asyncio") -> int:
    """Run one command line; the exit code.

    Args:
        argv: without the program's name; sys.argv's by default.
        backend: the event loop of anyio, "asyncio" or "trio".
    """
    from avirt.cli.codes import INTERRUPTED
    from avirt.cli.output import Output

    out = Output()
    try:
        try:
            command = parse(sys.argv[1:] if argv is None else argv, ROWS)
            out.format, out.quiet = command.options.format, command.options.quiet
            return _dispatch(command, out, backend)
        except UsageError as error:
            out.error(error.message, error.hint)
            return 2
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                raise
            out.error(f"{error.filename or 'output'}: {error.strerror or error}")
            return 2 if error.filename else 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return 0  # whoever reads has seen enough


def script() -> NoReturn:
    """The entry point: `main`, then out, without the 20 ms that taking the interpreter apart would take."""
    import codecs
    import gc
    import os
    from io import TextIOWrapper

    gc.disable()  # a short verb ends before it would pay; a lasting one turns it on again
    codecs.register_error("avirt", _write_somehow)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="avirt")
    code = main()
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except BrokenPipeError:
        pass
    except OSError as error:
        if code == 0 and sys.stderr is not None:
            sys.stderr.write(f"error: output: {error.strerror}\n")
            code = 1
    os._exit(code)


def _write_somehow(error: UnicodeError) -> tuple[str | bytes, int]:
    """A name that is no UTF-8 goes out as it came in; what the terminal's encoding lacks is escaped."""
    import codecs

    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return codecs.lookup_error("backslashreplace")(error)


def _dispatch(command: Command, out: Output, backend: str) -> int:
    options, row = command.options, command.row
    if options.version:
        from avirt import __version__

        out.line(__version__)
        return 0
    if row is None or options.help or row.name == "help":
        return _help(command, out)
    return _run(command, row, out, backend)


def _help(command: Command, out: Output) -> int:
    from avirt.cli.help import overview, verb_help

    row = command.row
    wanted = command.arguments.get("verb")
    if row is not None and row.name == "help" and isinstance(wanted, str):
        row = ROWS.get(wanted)
        if row is None:
            raise UsageError(f"unknown verb '{wanted}'", "avirt --help lists the verbs")
    elif row is not None and row.name == "help" and not command.options.help:
        row = None
    if command.row is None and not command.options.help:
        out.error("no verb is given", "avirt --help lists the verbs; avirt list --all is a good start")
        return 2
    out.line(overview() if row is None else verb_help(row))
    return 0


def _run(command: Command, row: Row, out: Output, backend: str) -> int:
    import gc
    from functools import partial
    from importlib import import_module

    import anyio

    from avirt.cli.codes import Reported, exit_code
    from avirt.cli.connections import Cli
    from avirt.errors import AvirtError

    module, _, name = row.run.partition(":")
    function = getattr(import_module(module), name)
    cli = Cli(command.options, out)
    if row.lasting:
        gc.enable()
    uvloop = row.lasting and backend == "asyncio" and _has_uvloop()
    try:
        return anyio.run(
            _supervise,
            partial(function, cli, **command.arguments),
            row,
            backend=backend,
            backend_options={"use_uvloop": True} if uvloop else {},
        )
    except Reported as reported:
        return reported.code
    except AvirtError as error:
        out.failure(error)
        return exit_code(error)


async def _supervise(verb: Callable[[], Awaitable[int]], row: Row) -> int:
    """One verb, until it is done or a signal comes."""
    import signal

    import anyio

    from avirt.cli.codes import INTERRUPTED, TERMINATED

    stopped: list[signal.Signals] = []
    raised: Exception | None = None
    code = 0

    async def listen(scope: anyio.CancelScope) -> None:
        nonlocal stopped
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for number in signals:
                stopped.append(number)
                scope.cancel()
                return

    async with anyio.create_task_group() as tg:
        tg.start_soon(listen, tg.cancel_scope)
        try:
            code = await verb()
        except Exception as error:  # noqa: BLE001 - comes out as itself, not in a group
            raised = error
        tg.cancel_scope.cancel()
    if stopped:
        code = INTERRUPTED if stopped[0] == signal.SIGINT else TERMINATED
        return 0 if row.ends_quietly else code
    if raised is not None:
        raise raised
    return code


def _has_uvloop() -> bool:
    from importlib.util import find_spec

    return find_spec("uvloop") is not None
