"""Records golden frames: what a real libvirt daemon sends, and what it was asked, as data for `tests/golden/`.

python tools/record_libvirt.py SOCKET NAME OUT    e.g. run/libvirt-sock qemu:///system tests/golden/libvirt/qemu.json

It changes the hypervisor's domains: use a private daemon. Whole messages are stored, as they came over the socket, each
with what it is.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from avirt.drivers.libvirt import codec
from avirt.drivers.libvirt.errors import native_error
from avirt.drivers.libvirt.generated.procedures import PROCEDURES, Feature, Proc, QemuProc
from avirt.drivers.libvirt.generated.types import RemoteDomain
from avirt.drivers.libvirt.keepalive import PING_MESSAGE
from avirt.drivers.libvirt.procedure import Procedure, StreamKind
from avirt.drivers.libvirt.protocol import KEEPALIVE_PROGRAM, Connection, Message, MessageStatus, MessageType, Role
from avirt.drivers.libvirt.streams import Stream
from avirt.errors import AvirtError

R = TypeVar("R")

QEMU_XML: Final = (
    "<domain type='qemu'><name>golden</name><uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid><memory>1024</memory>"
    "<vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features><devices>"
    "<emulator>/usr/bin/qemu-system-x86_64</emulator><controller type='usb' model='none'/>"
    "<memballoon model='none'/><graphics type='vnc'/><video><model type='vga'/></video></devices></domain>"
)
LXC_XML: Final = (
    "<domain type='lxc'><name>golden</name><uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid><memory>65536</memory>"
    "<vcpu>1</vcpu><os><type>exe</type><init>/bin/busybox</init>"
    "<initarg>sleep</initarg><initarg>60</initarg></os><devices><console type='pty'/></devices></domain>"
)
TEST_XML: Final = (
    "<domain type='test'><name>gölden &amp; ünïcode</name><uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid>"
    "<memory>1024</memory><vcpu>1</vcpu><os><type>hvm</type></os></domain>"
)
XML: Final = {"qemu": QEMU_XML, "lxc": LXC_XML, "test": TEST_XML}


class Recorder:
    """A blocking client that remembers all messages of both directions."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(path)
        self.core = Connection(Role.CLIENT)
        self.serial = -1
        self.frames: list[dict[str, Any]] = []
        self.waiting: list[Message] = []
        self.raw = b""

    def keep(self, sender: str, message: Message, frame: bytes) -> None:
        """Store a message: its bytes as they are on the wire, and what they are."""
        row = PROCEDURES.get((message.program, message.procedure))
        name = row.name if row else {1: "ping", 2: "pong"}.get(message.procedure, "unknown")
        what = {"type": message.type.name, "status": message.status.name, "fds": len(message.fds)}
        self.frames.append({"from": sender, "name": name, **what, "frame": frame.hex()})

    def send(self, message: Message) -> None:
        """Send and store."""
        frame = self.core.send(message)
        self.keep("client", message, frame)
        self.socket.sendall(frame)

    def receive(self) -> Message:
        """The next message."""
        while not self.waiting:
            data, ancillary, _, _ = self.socket.recvmsg(262144, 4096, socket.MSG_CMSG_CLOEXEC)
            if not data:
                raise SystemExit("the daemon closed the connection")
            fds = [n for _, _, raw in ancillary for n in memoryview(raw).cast("i")]
            self.raw += data
            self.waiting = self.core.receive_data(data, fds)
            for message in self.waiting:
                size = int.from_bytes(self.raw[:4]) + len(message.fds)
                self.keep("server", message, self.raw[:size])
                self.raw = self.raw[size:]
                for fd in message.fds:
                    os.close(fd)
        return self.waiting.pop(0)

    def call(self, procedure: Procedure[R], *args: object) -> R:
        """Call, and wait for the answer."""
        self.serial += 1
        payload = codec.pack(procedure, *args)
        self.send(Message(procedure.program, procedure.number, MessageType.CALL, self.serial, payload=payload))
        while True:
            reply = self.receive()
            if reply.serial == self.serial and reply.type in {MessageType.REPLY, MessageType.REPLY_WITH_FDS}:
                break
        if reply.status is MessageStatus.ERROR:
            raise native_error(codec.unpack_error(reply.payload), verb=procedure.name)
        return codec.unpack_reply(procedure, reply.payload)

    def attempt(self, procedure: Procedure[R], *args: object) -> R | None:
        """Call; an error is recorded like an answer."""
        try:
            return self.call(procedure, *args)
        except AvirtError as error:
            print(f"  {procedure.name}: {type(error).__name__} {error.code}: {error}")
            return None

    def stream(self, procedure: Procedure[R], *args: object) -> int:
        """Read a stream to its end and finish it; how many bytes it had."""
        stream = Stream(
            Role.CLIENT,
            program=procedure.program,
            procedure=procedure.number,
            serial=self.serial + 1,
            kind=StreamKind.READ,
        )
        if self.attempt(procedure, *args) is None:
            return 0
        size = 0
        while not stream.is_over:
            message = self.receive()
            if message.type in {MessageType.STREAM, MessageType.STREAM_HOLE}:
                data = stream.receive(message)
                size += len(data) if isinstance(data, bytes) else 0
                if data == b"" and (finish := stream.finish()) is not None:
                    self.send(finish)
        return size

    def ping(self) -> None:
        """Ping, and wait for the pong."""
        self.send(PING_MESSAGE)
        while self.receive().program != KEEPALIVE_PROGRAM:
            pass


def record(recorder: Recorder, name: str) -> str:
    """The whole scene; answers the server's own words on what it is."""
    call, attempt = recorder.call, recorder.attempt
    call(Proc.AUTH_LIST)
    recorder.ping()
    call(Proc.CONNECT_SUPPORTS_FEATURE, Feature.PROGRAM_KEEPALIVE)
    attempt(Proc.CONNECT_OPEN, "no-such-driver:///x", 0)
    call(Proc.CONNECT_OPEN, name, 0)
    driver = call(Proc.CONNECT_GET_TYPE)
    version = call(Proc.CONNECT_GET_LIB_VERSION)
    for event in range(24):
        attempt(Proc.CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY, event, None)
    for procedure in (
        Proc.NODE_GET_INFO,
        Proc.CONNECT_GET_VERSION,
        Proc.NODE_GET_SECURITY_MODEL,
        Proc.CONNECT_IS_SECURE,
    ):
        attempt(procedure)
    attempt(Proc.NODE_GET_CPU_STATS, -1, 0, 0)
    attempt(Proc.NODE_GET_CELLS_FREE_MEMORY, 0, 8)
    attempt(Proc.NODE_GET_CPU_MAP, 1, 1, 0)
    dom = attempt(Proc.DOMAIN_DEFINE_XML, XML[name.split(":", maxsplit=1)[0]])
    if dom is not None:
        domain_scene(recorder, dom)
    attempt(Proc.CONNECT_LIST_ALL_NETWORKS, 1, 0)
    attempt(Proc.CONNECT_LIST_ALL_STORAGE_POOLS, 1, 0)
    attempt(Proc.CONNECT_LIST_ALL_NODE_DEVICES, 1, 1)  # "computer" only: the rest would tell of the machine
    attempt(Proc.DOMAIN_LOOKUP_BY_NAME, "nobody")
    attempt(Procedure("no_such_procedure", Proc.CONNECT_OPEN.program, 9999))
    call(Proc.CONNECT_CLOSE)
    return f"libvirtd {version // 1000000}.{version // 1000 % 1000}.{version % 1000}, driver {driver}"


def domain_scene(recorder: Recorder, dom: RemoteDomain) -> None:
    """What a domain can say and go through."""
    attempt = recorder.attempt
    dom = attempt(Proc.DOMAIN_CREATE_WITH_FLAGS, dom, 0) or dom
    attempt(Proc.DOMAIN_CREATE_WITH_FLAGS, dom, 0)
    attempt(Proc.DOMAIN_GET_STATE, dom, 0)
    attempt(Proc.DOMAIN_GET_INFO, dom)
    attempt(Proc.DOMAIN_GET_VCPUS, dom, 1, 1)
    attempt(Proc.DOMAIN_GET_XML_DESC, dom, 0)
    attempt(Proc.DOMAIN_GET_SECURITY_LABEL, dom)
    attempt(Proc.DOMAIN_GET_SCHEDULER_TYPE, dom)
    if dom.id >= 0:  # the LXC driver of 9.0.0 crashes the daemon when asked for an inactive domain's
        attempt(Proc.DOMAIN_GET_SCHEDULER_PARAMETERS, dom, 16)
    attempt(Proc.DOMAIN_GET_MEMORY_PARAMETERS, dom, 16, 0)
    attempt(Proc.DOMAIN_GET_JOB_INFO, dom)
    attempt(Proc.DOMAIN_GET_CONTROL_INFO, dom, 0)
    attempt(Proc.CONNECT_LIST_ALL_DOMAINS, 1, 0)
    attempt(Proc.CONNECT_GET_ALL_DOMAIN_STATS, (), 1, 0)
    attempt(Proc.CONNECT_GET_ALL_DOMAIN_STATS, (), 0, 0)
    attempt(QemuProc.DOMAIN_MONITOR_COMMAND, dom, '{"execute": "query-status"}', 0)
    print("  screenshot:", recorder.stream(Proc.DOMAIN_SCREENSHOT, dom, 0, 0), "bytes")
    attempt(Proc.DOMAIN_OPEN_GRAPHICS_FD, dom, 0, 0)
    for procedure in (Proc.DOMAIN_SUSPEND, Proc.DOMAIN_RESUME):
        attempt(procedure, dom)
    attempt(Proc.DOMAIN_RESET, dom, 0)
    attempt(Proc.DOMAIN_MANAGED_SAVE, dom, 0)
    attempt(Proc.DOMAIN_CREATE_WITH_FLAGS, dom, 0)
    attempt(Proc.DOMAIN_DESTROY, dom)
    attempt(Proc.DOMAIN_RENAME, dom, "golden2", 0)
    attempt(Proc.DOMAIN_UNDEFINE_FLAGS, dom, 0)
    attempt(Proc.DOMAIN_GET_STATE, dom, 0)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("socket")
    parser.add_argument("name", help="what connect_open gets")
    parser.add_argument("out", type=Path)
    options = parser.parse_args(arguments)
    recorder = Recorder(options.socket)
    origin = record(recorder, options.name)
    document = {"origin": origin, "name": options.name, "frames": recorder.frames}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(document, indent=0) + "\n")
    print(f"{options.out}: {origin}, {len(recorder.frames)} messages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
