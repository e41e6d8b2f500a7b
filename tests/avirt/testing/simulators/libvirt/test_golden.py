"""The simulated daemon answers the recorded conversations as the real ones did (`tests/golden/`, libvirt 9.0.0)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from avirt.drivers.libvirt import codec
from avirt.drivers.libvirt.generated.procedures import PROCEDURES, Proc
from avirt.drivers.libvirt.procedure import Procedure
from avirt.drivers.libvirt.protocol import Connection, Message, MessageStatus, Role
from avirt.testing import LibvirtSim, Profile
from avirt.testing.simulators.libvirt import LXC, QEMU, TEST
from avirt.testing.simulators.libvirt.procedures import HANDLERS
from tests.avirt.testing.simulators.libvirt.client import Raw, target_of

GOLDEN: Final = Path(__file__).resolve().parents[4] / "golden" / "libvirt"

SAME_ANSWER: Final = frozenset(
    {
        Proc.AUTH_LIST,
        Proc.CONNECT_SUPPORTS_FEATURE,
        Proc.CONNECT_GET_TYPE,
        Proc.CONNECT_IS_SECURE,
        Proc.DOMAIN_GET_STATE,
        Proc.DOMAIN_RENAME,
    }
)
"""What does not depend on the machine is the same to the byte."""


def conversation(name: str) -> list[tuple[Procedure[Any], Message, bytes, Message]]:
    """Calls that a simulated daemon knows: what, the call, its frame, what the real one answered."""
    frames = json.loads((GOLDEN / f"{name}.json").read_text())["frames"]
    there, here = Connection(Role.CLIENT), Connection(Role.SERVER)
    replies: dict[int, Message] = {}
    calls: list[tuple[Message, bytes]] = []
    for frame in frames:
        data = bytes.fromhex(frame["frame"])
        if frame["from"] == "server" and frame["type"] == "REPLY":
            replies.update({message.serial: message for message in there.receive_data(data)})
        elif frame["from"] == "client" and frame["type"] == "CALL":
            calls += [(message, data) for message in here.receive_data(data)]
    known = ((PROCEDURES.get((call.program, call.procedure)), call, data) for call, data in calls)
    return [(what, call, data, replies[call.serial]) for what, call, data in known if what in HANDLERS and what]


def code(reply: Message) -> int:
    """The number of its error; 0 for none."""
    return codec.unpack_error(reply.payload).code if reply.status is MessageStatus.ERROR else 0


@pytest.mark.anyio
@pytest.mark.parametrize(("name", "profile"), [("qemu", QEMU), ("test", TEST), ("lxc", LXC)])
async def test_recorded_calls_are_answered_alike(name: str, profile: Profile) -> None:
    """The same success or the same error, call by call; the same bytes where nothing depends on the machine."""
    calls = conversation(name)
    assert len(calls) > 40
    async with LibvirtSim(profile=profile, memory=True) as sim:
        with await sim.open_socket(target_of(sim.uri)) as sock:
            client = Raw(sock)
            for what, call, data, golden in calls:
                client.sock.send(data)
                reply = await client.receive()
                while reply is not None and reply.serial != call.serial:
                    reply = await client.receive()  # an event
                assert reply is not None
                assert (what.name, code(reply)) == (what.name, code(golden))
                if what in SAME_ANSWER and not code(reply):
                    assert (what.name, reply.payload) == (what.name, golden.payload)
        assert sim.complaints == []


@pytest.mark.anyio
async def test_statistics_are_tagged_as_recorded() -> None:
    """Every value that the simulation knows has the real one's type."""
    tags: dict[str, int] = {}
    for what, _, _, golden in conversation("qemu"):
        if what is Proc.CONNECT_GET_ALL_DOMAIN_STATS:
            for record in codec.unpack_reply(Proc.CONNECT_GET_ALL_DOMAIN_STATS, golden.payload):
                tags |= {param.field: param.type for param in record.params}
    async with LibvirtSim(domains=1, memory=True) as sim:
        with await sim.open_socket(target_of(sim.uri)) as sock:
            client = Raw(sock)
            await client.call(Proc.CONNECT_OPEN, "qemu:///system", 0)
            answer: Any = await client.call(Proc.CONNECT_GET_ALL_DOMAIN_STATS, (), 0, 0)
    (record,) = answer
    ours = {param.field: param.type for param in record.params if param.field in tags}
    assert len(ours) > 8
    assert ours == {field: tags[field] for field in ours}
