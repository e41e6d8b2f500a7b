"""The rules of `tools/check_layers.py` hold in this tree, and each of them is noticed where it is broken."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def load_tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_layers", ROOT / "tools" / "check_layers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["check_layers"] = module
    spec.loader.exec_module(module)
    return module


TOOL = load_tool()


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_this_tree_keeps_the_rules() -> None:
    """No module imports what its layer may not, and the pure ones are pure."""
    assert TOOL.breaches() == []


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("avirt/model/a.py", "import avirt.host", "may not import avirt.host"),
        ("avirt/model/a.py", "import time", "is pure and may not import time"),
        ("avirt/lifecycle/a.py", "from avirt.events import store", "may not import avirt.events.store"),
        ("avirt/lifecycle/a.py", "async def f(): ...", "is pure and has no async"),
        ("events/window.py", "import random", "is pure and may not import random"),
        ("events/store.py", "from avirt.drivers import base", "may not import avirt.drivers.base"),
        ("drivers/wire/a.py", "import socket", "is pure and may not import socket"),
        ("drivers/wire/a.py", "from avirt.drivers.transport import unix", "may not import avirt.drivers.transport"),
        ("drivers/transport/a.py", "from avirt.drivers.wire import xdr", "may not import avirt.drivers.wire"),
        ("drivers/qemu/a.py", "from avirt.drivers.libvirt import driver", "may not import avirt.drivers.libvirt"),
        ("drivers/qemu/a.py", "import avirt.events.store", "may not import avirt.events.store"),
        ("drivers/qemu/states.py", "import anyio", "is pure and may not import anyio"),
        ("drivers/qemu/a.py", "import asyncio", "may not import asyncio"),
        ("drivers/qemu/a.py", "from drivers import base", "second copy"),
        ("avirt/host.py", "from avirt.testing import faults", "may not import avirt.testing"),
        ("avirt/host.py", "from avirt import connect", "may not import avirt"),
        ("avirt/host.py", "import threading", "may not import threading"),
        ("avirt/cli/a.py", "from avirt import engine", "may not import avirt.engine"),
    ],
)
def test_a_breach_is_reported(tmp_path: Path, file: str, text: str, expected: str) -> None:
    """Each rule notices what it forbids."""
    write(tmp_path, {"avirt/engine.py": "", "events/store.py": "", "drivers/base.py": "", file: text})
    if file != "events/store.py":
        write(tmp_path, {"drivers/libvirt/driver.py": "", "drivers/wire/xdr.py": "", "drivers/transport/unix.py": ""})
    found = TOOL.breaches(tmp_path)
    assert len(found) == 1
    assert expected in found[0]
    assert found[0].startswith(f"{file}:1: ")


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("avirt/model/a.py", "from avirt.errors import AvirtError"),
        (
            "drivers/qemu/session.py",
            "import anyio\nfrom avirt.drivers.qemu import states\nfrom avirt.drivers.base import x",
        ),
        ("drivers/qemu/session.py", "from . import states\nfrom .states import STATES"),
        ("drivers/xen/xapi/session.py", "from avirt.drivers.xen.common import x"),
        ("drivers/transport/a.py", "import asyncio\nimport trio"),
        ("avirt/engine.py", "import avirt.lifecycle.step\nfrom avirt.events.store import Store"),
        ("avirt/cli/a.py", "import avirt\nfrom avirt import connect\nimport rich"),
        ("events/journal.py", "import anyio"),
    ],
)
def test_what_a_layer_may_import_passes(tmp_path: Path, file: str, text: str) -> None:
    """The rules forbid no more than they say."""
    write(tmp_path, {file: text})
    assert TOOL.breaches(tmp_path) == []
