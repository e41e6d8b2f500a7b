"""The generated package is what the table gives, and 1:1 with it."""

from __future__ import annotations

import importlib.util
import inspect
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from avirt.drivers.libvirt.generated import enums, procedures, strings, types
from avirt.drivers.libvirt.procedure import Procedure
from avirt.drivers.libvirt.remote import Remote

ROOT = Path(__file__).resolve().parents[3]
TABLE: dict[str, Any] = json.loads((ROOT / "drivers/libvirt/protocol.json").read_text())
GROUPS = {"remote": procedures.Proc, "qemu": procedures.QemuProc, "lxc": procedures.LxcProc}
CALLS = [
    (program, name, row)
    for program in GROUPS
    for name, row in TABLE["programs"][program]["procedures"].items()
    if row["kind"] == "call"
]


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_libvirt", ROOT / "tools/generate_libvirt.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_package_regenerated_is_unchanged() -> None:
    """What is checked in is what the generator writes."""
    assert generator().main(["--check"]) == 0


def test_generator_stale_files_are_named_and_repaired(tmp_path: Path) -> None:
    """Different, missing and superfluous ones are found; writing makes the folder hold just what it should."""
    module = generator()
    files = {"a.py": "a = 1\n", "b.py": "b = 1\n"}
    (tmp_path / "a.py").write_text("a = 2\n")
    (tmp_path / "old.py").write_text("")
    assert module.stale(files, tmp_path) == ["a.py", "b.py", "old.py"]
    module.write(files, tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == files
    assert module.stale(files, tmp_path) == []


@pytest.mark.parametrize("program", GROUPS)
def test_procedures_all_of_a_program_are_constants_with_the_tables_values(program: str) -> None:
    """Each row of the table is one constant, and no constant is without a row."""
    rows = TABLE["programs"][program]["procedures"]
    constants = {name: value for name, value in vars(GROUPS[program]).items() if isinstance(value, Procedure)}
    assert constants.keys() == {name.upper() for name in rows}
    for name, row in rows.items():
        procedure = constants[name.upper()]
        assert (procedure.name, procedure.program, procedure.number) == (
            name,
            TABLE["programs"][program]["number"],
            row["n"],
        )
        assert (procedure.args, procedure.ret, procedure.msg) == (row.get("args"), row.get("ret"), row.get("msg"))
        assert procedure.is_event == (row["kind"] == "event")
        assert procedure.high == (row.get("priority") == "high")
        assert procedure.read_only == row.get("read_only", "allowed")
        assert procedure.stream == row.get("stream", "")
        assert procedure.fds == row.get("fds", "")
        assert procedure.sparse_flag == row.get("sparse_flag", 0)
        assert (procedure.api, procedure.since) == (row.get("api", ""), row.get("since", ""))
        assert procedure.acl == tuple(row.get("acl", ()))
        assert procedures.PROCEDURES[procedure.program, procedure.number] is procedure


def test_procedures_by_number_are_as_many_as_the_table_has() -> None:
    """No two share a number, none is missing."""
    assert len(procedures.PROCEDURES) == sum(len(TABLE["programs"][program]["procedures"]) for program in GROUPS)


def test_remote_every_call_has_one_method() -> None:
    """Calls and methods are 1:1; events have none."""
    methods = {name for name, value in inspect.getmembers(Remote, inspect.iscoroutinefunction) if name[0] != "_"}
    assert methods == {name if program == "remote" else f"{program}_{name}" for program, name, _ in CALLS}
    assert len(methods) == len(CALLS)


@pytest.mark.parametrize("part", ["api", "since"])
def test_remote_methods_docstrings_name_what_the_table_knows(part: str) -> None:
    """The docstring has the C function and the release."""
    for program, name, row in CALLS:
        method = getattr(Remote, name if program == "remote" else f"{program}_{name}")
        doc = method.__doc__
        assert row.get(part, "") in doc
        assert ("read-only" in doc) == ("read_only" in row)


def test_events_of_domains_are_the_tables() -> None:
    """Ids 0 to 29, each with its message and its older message."""
    assert [(kind.name, kind.id) for kind in procedures.DOMAIN_EVENTS] == [
        (name, row["id"]) for name, row in TABLE["domain_events"].items()
    ]
    for kind in procedures.DOMAIN_EVENTS:
        row = TABLE["domain_events"][kind.name]
        assert kind.since == row["since"]
        assert kind.message.name == row["message"]
        assert (kind.legacy.name if kind.legacy else None) == row.get("legacy_message")
        assert kind.message.is_event


def test_events_of_other_objects_are_the_tables() -> None:
    """Each event of each object kind, with the calls that register it."""
    seen = {(kind.kind, kind.name): kind for kind in procedures.OBJECT_EVENTS}
    rows = {
        (o, name): (row, event) for o, row in TABLE["object_events"].items() for name, event in row["events"].items()
    }
    assert seen.keys() == rows.keys()
    for key, (row, event) in rows.items():
        kind = seen[key]
        assert (kind.id, kind.since, kind.message.name) == (event["id"], event["since"], event["message"])
        assert (kind.register.name, kind.deregister.name) == (row["register"], row["deregister"])


def test_features_and_auth_types_are_the_tables() -> None:
    """Names and numbers."""
    assert {f.name.lower(): f.value for f in procedures.Feature} == TABLE["features"]
    wanted = {name.removeprefix("REMOTE_AUTH_"): n for name, n in TABLE["enums"]["remote_auth_type"].items()}
    assert {a.name: a.value for a in procedures.AuthType} == wanted


def test_enums_hold_every_public_enumerator() -> None:
    """By number, and by a name that is the end of libvirt's."""
    for name, numbers in TABLE["public"]["enums"].items():
        members = getattr(enums, name.removeprefix("vir")).__members__
        assert [int(member) for member in members.values()] == list(numbers.values())
        assert all(full.endswith(short) for full, short in zip(numbers, members, strict=True))


def test_strings_hold_every_public_constant() -> None:
    """Under libvirt's names."""
    wanted = TABLE["public"]["strings"] | TABLE["public"]["ints"]
    assert {name: getattr(strings, name) for name in strings.__all__} == wanted


def test_generated_types_take_no_public_name() -> None:
    """RemoteDomain, not Domain."""
    assert all(name.startswith(("Remote", "Qemu", "CLASSES")) for name in types.__all__)


def test_import_of_avirt_loads_nothing_generated() -> None:
    """The tables come with the first libvirt connection only."""
    code = "import sys, avirt; sys.exit(any('generated' in name for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
