"""Who may import whom, and what is pure: read from the sources' syntax trees, nothing is imported.

`check_layers.py --check` prints every breach, one a line, and fails if there is one. The rules are the tables below;
ARCHITECTURE.md says why they are so.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parent.parent

BASE: Final = ("avirt.model", "avirt.errors", "avirt.uri", "avirt.log", "avirt.backoff")
CORE: Final = ("avirt.model", "avirt.errors", "avirt.log")
SHARED: Final = ("avirt.drivers.base", "avirt.drivers.wire", "avirt.drivers.transport")
TOP: Final = ("avirt.cli", "avirt.serve", "avirt.testing", "avirt.__main__")
OUTSIDE: Final = ("avirt.fleet", *TOP)


class Layer(NamedTuple):
    """One row: modules under `name` may import what is under `may`, save what is under `never`."""

    name: str
    may: tuple[str, ...]
    never: tuple[str, ...] = ()


LAYERS: Final = (
    *(Layer(name, BASE) for name in BASE),
    Layer("avirt.drivers.wire", (*CORE, "avirt.drivers.wire")),
    Layer("avirt.drivers.transport", (*CORE, "avirt.drivers.transport")),
    Layer("avirt.drivers.base", (*BASE, "avirt.drivers.transport.base")),
    Layer("avirt.drivers.registry", (*BASE, "avirt.drivers.base")),
    Layer("avirt.drivers", (*BASE, *SHARED)),  # one driver: its own package is added, no other
    Layer("avirt.lifecycle", (*CORE, "avirt.lifecycle")),
    Layer("avirt.events", (*CORE, "avirt.events")),
    Layer("avirt.fleet", ("avirt",), TOP),
    Layer("avirt.cli", ("avirt",), ("avirt.engine", "avirt.lifecycle", "avirt.testing", "avirt.serve")),
    Layer("avirt.serve", ("avirt",), ("avirt.engine", "avirt.lifecycle", "avirt.testing", "avirt.cli")),
    Layer("avirt.testing", ("avirt",), ("avirt.cli", "avirt.serve")),
    Layer("avirt.__main__", ("avirt.cli",)),
    Layer("avirt", ("avirt",), OUTSIDE),  # __init__, engine, host, domain, …: all of the above
)
"""The first row that fits a module holds."""

NO_PACKAGE_ITSELF: Final = ("avirt.cli", "avirt.serve", "avirt.testing")
"""Only these may say `from avirt import <public name>`: below them it would be a circle."""

PURE_PACKAGES: Final = ("avirt.model", "avirt.lifecycle", "avirt.drivers.wire")
PURE_EVENTS: Final = frozenset(
    {
        *("store", "hosts", "records", "cursor", "window", "policies", "filters", "token", "fold", "settle"),
        *("codec", "runs"),
    }
)
PURE_IN_DRIVER: Final = frozenset({"protocol", "agent_protocol", "messages", "states", "observe", "errors"})
IMPURE: Final = frozenset(
    {"anyio", "asyncio", "trio", "uvloop", "socket", "select", "ssl", "subprocess", "threading", "time", "random"}
)

ONLY_IN: Final[Mapping[str, tuple[str, ...]]] = {
    "asyncio": ("avirt.drivers.transport", "avirt.testing.steps"),
    "trio": ("avirt.drivers.transport", "avirt.testing.trio_steps"),
    "uvloop": ("avirt.drivers.transport",),
    "threading": ("avirt.events.journal_writer",),
    "sqlite3": ("avirt.events",),
    "concurrent": (),
    "multiprocessing": (),
    "rich": ("avirt.cli",),
}
"""Foreign packages that only these modules may import."""


class Source(NamedTuple):
    """One module of ours."""

    name: str
    path: Path
    tree: ast.Module


def under(name: str, prefixes: Iterable[str]) -> bool:
    """Whether a dotted name is one of the prefixes or below one."""
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def sources(root: Path = ROOT) -> Iterator[Source]:
    """Every module of the package, under the name it is imported by."""
    for folder, package in (("avirt", "avirt"), ("drivers", "avirt.drivers"), ("events", "avirt.events")):
        top = root / folder
        for path in sorted(top.rglob("*.py")):
            inside = path.relative_to(top)
            if folder == "avirt" and inside.parts[0] in ("drivers", "events"):
                continue  # the links: their files come under their own folders
            parts = [package, *inside.with_suffix("").parts]
            if parts[-1] == "__init__":
                parts.pop()
            yield Source(".".join(parts), path, ast.parse(path.read_bytes(), str(path)))


def imports(source: Source, ours: frozenset[str]) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything imported, at whatever depth; names imported from a package count as its
    modules where they are such."""
    package = source.name if source.path.name == "__init__.py" else source.name.rpartition(".")[0]
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                module = ".".join([*above, *([module] if module else [])])
            for alias in node.names:
                whole = f"{module}.{alias.name}"
                yield node.lineno, whole if whole in ours else module


def is_pure(name: str) -> bool:
    """Whether a module has to be free of I/O, clocks and chance."""
    parts = name.split(".")
    if under(name, PURE_PACKAGES):
        return True
    if parts[:2] == ["avirt", "events"]:
        return len(parts) == 3 and parts[2] in PURE_EVENTS
    return parts[:2] == ["avirt", "drivers"] and len(parts) >= 4 and parts[-1] in PURE_IN_DRIVER


def allowed(name: str, target: str) -> bool:
    """Whether the module `name` may import our module `target`."""
    layer = next(row for row in LAYERS if under(name, (row.name,)))
    if target == "avirt":
        return under(name, NO_PACKAGE_ITSELF)
    if under(target, layer.never):
        return False
    if under(target, layer.may):
        return True
    parts = name.split(".")
    is_driver = layer.name == "avirt.drivers" and len(parts) >= 3
    return is_driver and under(target, (".".join(parts[:3]),))


def breaches(root: Path = ROOT) -> list[str]:
    """Every breach of the rules, as `file:line: what`."""
    modules = list(sources(root))
    ours = frozenset(module.name for module in modules)
    found: list[str] = []
    for source in modules:
        where = source.path.relative_to(root)
        pure = is_pure(source.name)
        for line, target in imports(source, ours):
            top = target.partition(".")[0]
            if top in ("drivers", "events"):
                found.append(f"{where}:{line}: `import {top}` loads a second copy: import avirt.{top}")
            elif top == "avirt" and not allowed(source.name, target):
                found.append(f"{where}:{line}: {source.name} may not import {target}")
            elif pure and top in IMPURE:
                found.append(f"{where}:{line}: {source.name} is pure and may not import {top}")
            elif top in ONLY_IN and not under(source.name, ONLY_IN[top]):
                found.append(f"{where}:{line}: {source.name} may not import {top}")
        if pure:
            found.extend(
                f"{where}:{node.lineno}: {source.name} is pure and has no async"
                for node in ast.walk(source.tree)
                if isinstance(node, ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith | ast.Await)
            )
    return found


def main() -> int:
    """Print what is wrong."""
    found = breaches()
    print("\n".join(found) if found else "layers: fine")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
