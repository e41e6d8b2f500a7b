"""Every generated method makes its own call, with its arguments in the protocol's order."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TypeVar, cast

import pytest

from avirt.drivers.libvirt.caller import RemoteStream
from avirt.drivers.libvirt.generated.procedures import PROCEDURES, LxcProc, Proc, QemuProc
from avirt.drivers.libvirt.procedure import Fds, Procedure, StreamKind
from avirt.drivers.libvirt.remote import Remote
from tests.drivers.libvirt.values import places

R = TypeVar("R")

STREAM = cast("RemoteStream", object())
CALLS = [row for row in PROCEDURES.values() if not row.is_event]
PREFIXES = {
    Proc.CONNECT_OPEN.program: "",
    QemuProc.DOMAIN_ATTACH.program: "qemu_",
    LxcProc.DOMAIN_OPEN_NAMESPACE.program: "lxc_",
}


class Recorder(Remote):
    """Remembers what was called; answers with a word."""

    def __init__(self) -> None:
        self.calls: list[tuple[Procedure[object], tuple[object, ...], str]] = []
        self.fds: list[int] = []

    async def _call(self, procedure: Procedure[R], *args: object) -> R:
        self.calls.append((procedure, args, "call"))
        return cast("R", "answer")

    async def _call_with_fds(self, procedure: Procedure[R], *args: object, fds: Sequence[int]) -> tuple[R, list[int]]:
        self.calls.append((procedure, args, "fds"))
        self.fds += fds
        return cast("R", "answer"), [7]

    async def _open_stream(self, procedure: Procedure[R], *args: object) -> tuple[R, RemoteStream]:
        self.calls.append((procedure, args, "stream"))
        return cast("R", "answer"), STREAM


def way_of(row: Procedure[object]) -> str:
    if row.fds is not Fds.NONE:
        return "fds"
    return "call" if row.stream is StreamKind.NONE else "stream"


def wanted(row: Procedure[object]) -> object:
    """What a method gives to its caller."""
    answer = "answer" if row.ret else None
    if row.fds is Fds.OUT:
        return [7]
    if row.fds is Fds.BOTH:
        return ("answer", [7])
    if row.stream is not StreamKind.NONE:
        return ("answer", STREAM) if row.ret else STREAM
    return answer


@pytest.mark.anyio
async def test_remote_every_method_makes_its_call_with_its_arguments_in_order() -> None:
    """One argument a field of the layout; descriptors apart; flags may be left out where they are last."""
    for row in CALLS:
        remote = Recorder()
        method = getattr(remote, PREFIXES[row.program] + row.name)
        args = [f"argument {i}" for i in range(len(places(row.args)) if row.args else 0)]
        takes_fds = row.fds in {Fds.IN, Fds.BOTH}
        answer = await (method(*args, fds=[3, 4]) if takes_fds else method(*args))
        assert remote.calls == [(row, tuple(args), way_of(row))]
        assert remote.fds == ([3, 4] if takes_fds else [])
        assert answer == wanted(row)
        last = [name for name in inspect.signature(method).parameters if name != "fds"][-1:]
        if last == ["flags"]:
            await (method(*args[:-1], fds=[]) if takes_fds else method(*args[:-1]))
            assert remote.calls[1] == (row, (*args[:-1], 0), way_of(row))


def test_remote_methods_are_fully_annotated() -> None:
    """Each argument and each answer has a type."""
    for row in CALLS:
        signature = inspect.signature(getattr(Remote, PREFIXES[row.program] + row.name))
        assert signature.return_annotation is not inspect.Signature.empty
        assert all(
            parameter.annotation is not inspect.Parameter.empty
            for name, parameter in signature.parameters.items()
            if name != "self"
        )
