"""`avirt record` and `avirt replay`."""

from __future__ import annotations

import math

import anyio

import avirt
from avirt.cli.connections import Cli, open_host
from avirt.cli.lasting import until
from avirt.cli.output import clean, counted
from avirt.cli.parse import Format, UsageError
from avirt.cli.watch import Lines
from avirt.errors import InvalidArgument
from avirt.recording.replay import Replayed, ReplayFrom
from avirt.recording.replay import replay as play

__all__ = ["record", "replay"]


async def record(cli: Cli, file: str, *, force: bool = False, timeout: float | None = None) -> int:
    """`avirt record`. Ends when the time is up, or by Ctrl-C."""
    uris = cli.options.uris
    if len(uris) > 1:
        raise UsageError("record: several hosts are given", "give one -c: a file is the recording of one connection")
    name, uri = uris[0] if uris else ("", None)
    recorder = avirt.Recorder(file, overwrite=force)
    began = False
    try:
        async with recorder:
            began = True
            async with until(timeout), open_host(cli, name, uri, recorder=recorder) as host:
                if not cli.out.quiet:
                    cli.out.note(f"recording {host.name} into {file}" + ("" if timeout else "; Ctrl-C ends it"))
                await anyio.sleep_forever()
    except InvalidArgument as error:
        if began:
            raise
        raise UsageError(error.message, error.hint) from error
    finally:
        if began:
            _tell(cli, file, recorder)
    return 0


def _tell(cli: Cli, file: str, recorder: avirt.Recorder) -> None:
    """What is in the file now."""
    lost = recorder.writer.lost
    if cli.out.format is Format.JSON:
        cli.out.object({"file": file, "changes": recorder.changes, "lines": recorder.writer.written, "lost": lost})
    else:
        missing = f", {counted(lost, 'line')} lost: the disk is too slow" if lost else ""
        cli.out.message(f"{counted(recorder.changes, 'change')} recorded into {file}{missing}")


async def replay(cli: Cli, file: str, *, speed: float | None = None, items: bool = False) -> int:
    """`avirt replay`."""
    try:
        played = await play(file, source=ReplayFrom.ITEMS if items else None)
    except InvalidArgument as error:
        raise UsageError(error.message, error.hint) from error
    for note in played.notes:
        cli.out.note(f"note: {note}")
    async with until(None):
        await _show(cli, played, speed or math.inf)
    for difference in played.differences:
        cli.out.error(clean(difference))
    if played.differences:
        return 1
    if not cli.out.quiet:
        header = played.recording.header
        cli.out.note(
            f"as recorded by avirt {header.avirt}, from its {played.source}: {counted(len(played.changes), 'change')}"
        )
    return 0


async def _show(cli: Cli, played: Replayed, speed: float) -> None:
    """Print what `watch` prints, in the recording's time."""
    lines = Lines(cli, several=False)
    lines.snapshot(played.recording.header.host, (), "replay:0")
    at = played.recording.header.wall
    for change in played.changes:
        pause = max(0.0, change.observed_at - at) / speed
        at = max(at, change.observed_at)
        if pause:
            await anyio.sleep(pause)
        lines.change(change)
