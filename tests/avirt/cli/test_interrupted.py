"""Every verb, interrupted at each of its checkpoints in turn, as Ctrl-C does: nothing is left behind, and nothing said
but what the verb says by itself."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Final
from uuid import UUID

import anyio
import pytest

from avirt.cli.codes import Reported
from avirt.cli.connections import Cli
from avirt.cli.output import Output
from avirt.cli.parse import parse
from avirt.cli.verbs import ROWS
from avirt.errors import AvirtError, InternalError
from avirt.testing.checkpoints import Canceller, cancelled_at, cancelled_at_each_checkpoint
from avirt.testing.endurance import held, until_held

pytestmark = pytest.mark.anyio

SIM: Final = "sim://quiet?domains=3"
"""A new world for each connection: vm1 and vm2 run, vm3 is off."""

LINES: Final = {
    "list": "list --all",
    "dominfo": "dominfo vm1",
    "domstate": "domstate vm1 --reason",
    "domid": "domid vm1",
    "domuuid": "domuuid vm1",
    "domname": "domname vm1",
    "domstats": "domstats",
    "dumpxml": "dumpxml vm1",
    "start": "start vm3",
    "shutdown": "shutdown vm1 --no-wait",
    "destroy": "destroy vm1",
    "reboot": "reboot vm1 --no-wait",
    "reset": "reset vm1",
    "suspend": "suspend vm1",
    "resume": "resume vm1",
    "save": "save vm1 /image",
    "restore": "restore /image",
    "managedsave": "managedsave vm1",
    "managedsave-remove": "managedsave-remove vm1",
    "define": "define {xml}",
    "create": "create {xml}",
    "undefine": "undefine vm3",
    "domrename": "domrename vm3 other",
    "autostart": "autostart vm1",
    "watch": "watch --plain --timeout 0.01",
    "wait": "wait vm1 running",
    "event": "event --timeout 0.01",
    "record": "record {file} --force --timeout 0.01",
    "replay": "replay {recording}",
    "hostname": "hostname",
    "uri": "uri",
    "version": "version",
    "nodeinfo": "nodeinfo",
    "hosts": "hosts",
    "doctor": "doctor",
}


def test_every_verb_has_its_line() -> None:
    assert set(ROWS) - set(LINES) == {"help", "run"}


async def verb(line: str) -> None:
    """Run it, as `avirt.cli.app` does; how it ends is its own affair."""
    command = parse(["-c", SIM, *line.split()], ROWS)
    assert command.row is not None
    module, _, name = command.row.run.partition(":")
    function = getattr(import_module(module), name)
    try:
        await function(Cli(command.options, Output()), **command.arguments)
    except InternalError:
        raise
    except (AvirtError, Reported):
        pass  # the user is told of it


@pytest.mark.slow
@pytest.mark.parametrize("name", LINES)
async def test_verb_interrupted_at_each_checkpoint(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    xml = tmp_path / "new.xml"
    xml.write_text(f"<domain type='sim'><name>new</name><uuid>{UUID(int=77)}</uuid><memory>65536</memory></domain>")
    line = LINES[name].format(xml=xml, file=tmp_path / "recording", recording=tmp_path / "short")
    await verb(f"record {tmp_path}/short --timeout 0.01")
    call = partial(verb, line)
    await call()
    said = capsys.readouterr().err
    at_rest = await held()
    times = await cancelled_at_each_checkpoint(call, by=[Canceller.SCOPE], patience=10)
    assert times > 0
    await until_held(at_rest)
    assert set(capsys.readouterr().err.splitlines()) <= set(said.splitlines())


@pytest.mark.slow
async def test_run_interrupted_at_its_first_checkpoints(capsys: pytest.CaptureFixture[str]) -> None:
    """It has no end of its own: that there is another checkpoint shows in time."""
    call = partial(verb, "run --plain")
    with anyio.move_on_after(0.05):
        await call()
    at_rest = await held()
    for checkpoint in range(80):
        with anyio.move_on_after(0.3) as patience:
            assert not await cancelled_at(call, checkpoint)
        if patience.cancelled_caught:
            break
    assert checkpoint > 10
    await until_held(at_rest)
    assert capsys.readouterr().err == ""
