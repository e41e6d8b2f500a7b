"""What `import avirt` costs and shows: nothing but itself is loaded, and the public names are those of `__all__`."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import avirt

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted(
    ".".join(path.relative_to(ROOT / "avirt").with_suffix("").parts)
    for folder in ("avirt", "avirt/drivers", "avirt/events")
    for path in (ROOT / folder).rglob("*.py")
    if path.name not in ("__init__.py", "__main__.py")
)


def loaded_by(statement: str) -> set[str]:
    """The modules that a fresh interpreter holds after a statement."""
    code = f"import json, sys; {statement}; print(json.dumps(sorted(sys.modules)))"
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True, timeout=60
    )
    return set(json.loads(answer.stdout))


def names_for_type_checkers() -> set[str]:
    """What `avirt/__init__.py` imports under TYPE_CHECKING."""
    tree = ast.parse((ROOT / "avirt" / "__init__.py").read_text())
    return {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.If)
        for inner in ast.walk(node)
        if isinstance(inner, ast.ImportFrom)
        for alias in inner.names
    }


def test_import_avirt_loads_nothing_else_of_ours() -> None:
    """No driver, no engine, not even the model."""
    assert {name for name in loaded_by("import avirt") if name.startswith("avirt")} == {"avirt"}


def test_import_avirt_loads_no_dependency() -> None:
    """Neither event loops nor anything optional: those come with their first use."""
    foreign = {"anyio", "asyncio", "msgspec", "rich", "structlog", "trio", "uvloop"}
    assert not foreign & loaded_by("import avirt")


def test_public_name_is_hidden_by_no_module() -> None:
    """Once a module is loaded it is an attribute of its package, in place of what is found lazily."""
    packages = sorted({name.rpartition(".")[0] for name in MODULES})
    assert "testing" in packages
    for package in packages:
        modules = {name.rpartition(".")[2] for name in MODULES if name.rpartition(".")[0] == package}
        public = getattr(importlib.import_module(f"avirt.{package}".rstrip(".")), "__all__", ())
        assert not modules & set(public), package


@pytest.mark.parametrize("name", sorted(avirt.__all__))
def test_public_name_resolves(name: str) -> None:
    """Each public name is there, lazily or not."""
    assert getattr(avirt, name) is not None
    assert name in dir(avirt)


def test_public_names_are_what_type_checkers_see() -> None:
    """The lazy table, `__all__` and the names type checkers see are one list."""
    assert set(avirt.__all__) == names_for_type_checkers()


def test_unknown_name_is_an_attribute_error() -> None:
    """As in any module."""
    name = "nonsense"
    with pytest.raises(AttributeError, match=name):
        getattr(avirt, name)


@pytest.mark.parametrize("module", MODULES)
def test_each_name_in_all_exists(module: str) -> None:
    """`__all__` of every module names only what is there."""
    loaded = importlib.import_module(f"avirt.{module}")
    missing = [name for name in getattr(loaded, "__all__", ()) if not hasattr(loaded, name)]
    assert missing == []


def test_py_typed_is_in_the_package() -> None:
    """Users' type checkers read our types."""
    assert (Path(avirt.__file__).parent / "py.typed").is_file()


@pytest.mark.parametrize("name", ["drivers", "events"])
def test_second_copy_is_refused(name: str) -> None:
    """From the project's root, the folders would load a second time under another name."""
    answer = subprocess.run(
        [sys.executable, "-c", f"import {name}"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert answer.returncode != 0
    assert f"import avirt.{name}" in answer.stderr
