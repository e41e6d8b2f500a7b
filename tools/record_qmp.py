"""Records what QEMU and its guest agent answer to a fixed list of bytes: `tests/golden/qmp/bytes/`.

python tools/record_qmp.py [--agent /usr/sbin/qemu-ga]

The agent runs on this machine, so everything that changes it is blocked. QEMU is a machine without hardware, stopped,
and ends by `quit`. Both listen in a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).resolve().parent.parent / "tests/golden/qmp/bytes"
QUIET: Final = 0.2
"""Seconds without a byte after which an answer is taken for complete."""

UUID: Final = "8f3c5a52-5d5e-4b7a-9d3a-0f1e2d3c4b5a"
QEMU: Final = [
    "qemu-system-x86_64",
    "-M",
    "none",
    "-nodefaults",
    "-display",
    "none",
    "-S",
    "-name",
    "golden",
    "-uuid",
    UUID,
]
BLOCKED: Final = (
    "guest-shutdown,guest-suspend-disk,guest-suspend-ram,guest-suspend-hybrid,guest-fsfreeze-freeze,"
    "guest-fsfreeze-freeze-list,guest-fstrim,guest-set-time,guest-set-user-password,guest-exec,guest-file-open,"
    "guest-file-write,guest-set-vcpus,guest-set-memory-blocks,guest-ssh-add-authorized-keys,"
    "guest-ssh-remove-authorized-keys"
)

MONITOR: Final = (
    b'{"execute":"query-status","id":7}',
    b'{"execute":"nope","id":{"a":1}}',
    b'{"exec-oob":"query-yank","id":1}',
    b'{"execute":"qmp_capabilities","arguments":{"enable":["nope"]}}',
    b'{"execute":"qmp_capabilities","arguments":{"enable":["oob"]},"id":0}\n',
    b'{"execute":"qmp_capabilities","id":0}\n',
    b'{"execute":"query-status","id":1}{"execute":"query-name","id":2}',
    b'{"execute":"query-uuid"}',
    b'{"exec-oob":"query-yank","id":3}',
    b"nonsense\n",
    b'{"a\x01',
    b'{"execute":"query-st\xff{"execute":"query-status","id":4}',
    b"[1,2]",
    b"{}",
    b'{"execute":7,"id":9}',
    b'{"execute":"query-status","foo":1,"id":9}',
    b'{"execute":"query-status","arguments":[],"id":9}',
    b'{"execute":"query-status","exec-oob":"query-yank","id":9}',
    b'{"execute":"query-status","id":null}',
    b'{"execute":"query-status","id":[1,"a",{"b":1.5}]}',
    '{"execute":"query-status","id":"ä€😀\\"\\\\"}'.encode(),
    b'{"execute":"cont","id":10}',
    b'{"execute":"stop","id":11}',
    b'{"execute":"system_reset","id":12}',
    b'{"execute":"query-balloon","id":13}',
    b'{"execute":"device_del","arguments":{"id":"x"},"id":14}',
    b'{"execute":"quit","id":99}',
)

AGENT: Final = (
    b'\xff{"execute":"guest-sync-delimited","arguments":{"id":9007199254740991}}\n',
    b'{"execute":"guest-sync","arguments":{"id":3}}\n',
    b'{"execute":"guest-ping"}\n',
    b'{"execute":"guest-ping","id":1}\n',
    b'{"execute":"guest-info"}\n',
    b'{"execute":"guest-shutdown"}\n',
    b'{"execute":"nope","id":1}\n',
    b'{"execute":"guest-sync-delimited","arguments":{"id":"x"}}\n',
    b'{"exec',
    b'\xff{"execute":"guest-sync-delimited","arguments":{"id":5}}\n',
    b"nonsense\n",
    b'{"execute":"guest-fsfreeze-status"}\n',
    b'{"execute":"guest-file-read","arguments":{"handle":1000}}\n',
)


@contextmanager
def peer(argv: Iterable[str], path: Path, *, ends: bool) -> Iterator[socket.socket]:
    """A program that listens there."""
    process = subprocess.Popen(list(argv))
    with socket.socket(socket.AF_UNIX) as client:
        for _ in range(500):
            try:
                client.connect(str(path))
                break
            except OSError:
                time.sleep(0.02)
        yield client
    if not ends:
        process.terminate()
    process.wait(10)


def answer(client: socket.socket) -> bytes:
    """All until it is quiet."""
    client.settimeout(QUIET)
    data = b""
    try:
        while piece := client.recv(65536):
            data += piece
    except TimeoutError:
        pass
    return data


def record(name: str, origin: str, client: socket.socket, script: Iterable[bytes]) -> None:
    """Write one conversation. Bytes are written as latin-1, so that they can be read."""
    said = [("server", answer(client))]
    for data in script:
        client.sendall(data)
        said += [("client", data), ("server", answer(client))]
    rows = [json.dumps({"from": who, "data": data.decode("latin-1")}) for who, data in said if data]
    FOLDER.mkdir(parents=True, exist_ok=True)
    text = f'{{"origin": {json.dumps(origin)},\n"said": [\n' + ",\n".join(rows) + "\n]}\n"
    (FOLDER / f"{name}.json").write_text(text)


def version(program: str) -> str:
    """What it says of itself."""
    text = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
    return re.sub(r"\s+", " ", text.splitlines()[0])


def main() -> int:
    """All three conversations."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agent", help="a qemu-ga to record")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, pretty in (("compact", ""), ("pretty", ",pretty=on")):
            path = Path(folder, name)
            chardev = [
                "-chardev",
                f"socket,id=m,path={path},server=on,wait=off",
                "-mon",
                f"chardev=m,mode=control{pretty}",
            ]
            with peer([*QEMU, *chardev], path, ends=True) as client:
                record(name, version(QEMU[0]), client, MONITOR)
        if options.agent:
            path = Path(folder, "agent")
            argv = [
                options.agent,
                "-m",
                "unix-listen",
                "-p",
                str(path),
                "-t",
                folder,
                "-f",
                f"{folder}/pid",
                "-b",
                BLOCKED,
            ]
            with peer(argv, path, ends=False) as client:
                record("agent", version(options.agent), client, AGENT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
