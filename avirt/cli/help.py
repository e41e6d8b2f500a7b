"""The help, from the table of verbs: plain text, as wide as the terminal (at most 100 columns)."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable
from typing import Final

from avirt.cli.codes import EXIT_CODES
from avirt.cli.parse import GLOBALS, Argument, Row
from avirt.cli.verbs import GROUPS, ROWS

__all__ = ["overview", "usage", "verb_help"]

_COLUMN: Final = 26


def _width() -> int:
    return min(shutil.get_terminal_size().columns, 100)


def _entry(left: str, right: str) -> str:
    indent = " " * (_COLUMN + 2)
    head = f"  {left:<{_COLUMN}}" if len(left) < _COLUMN else f"  {left}\n{indent}"
    width = max(_width() - len(indent), 20)
    return head + f"\n{indent}".join(textwrap.wrap(right, width) or [""])


def _spelled(argument: Argument) -> str:
    short = f"{argument.short}, " if argument.short else ""
    return f"{short}{argument.spelling} {argument.metavar}".rstrip()


def usage(row: Row) -> str:
    """One verb's command line."""
    words = [f"avirt {row.name}"]
    for argument in row.arguments:
        if argument.operand:
            word = f"{argument.metavar}..." if argument.many else argument.metavar
            words.append(word if argument.required else f"[{word}]")
    for argument in row.arguments:
        if not argument.operand:
            words.append(f"[{argument.spelling} {argument.metavar}]" if argument.metavar else f"[{argument.spelling}]")
    return textwrap.fill(" ".join(words), _width(), subsequent_indent="    ", break_on_hyphens=False)


def _options(arguments: Iterable[Argument]) -> list[str]:
    return [
        _entry(argument.metavar if argument.operand else _spelled(argument), argument.help) for argument in arguments
    ]


def verb_help(row: Row) -> str:
    """One verb: what it does, its options, examples."""
    parts = [f"{row.name}: {row.summary}", "", usage(row)]
    if row.arguments:
        parts += ["", *_options(row.arguments)]
    if row.notes:
        parts += ["", textwrap.fill(row.notes, _width())]
    parts += ["", "Examples:", *(f"  {example}" for example in row.examples)]
    parts += ["", "Options for every verb (-c, -r, -o, -q): avirt --help"]
    return "\n".join(parts)


def overview() -> str:
    """All verbs, the options of all, the exit codes."""
    parts = ["avirt: watch and control hypervisors", "", "avirt [-c URI]... [-r] [-o table|json|name] VERB ..."]
    for group, title in GROUPS.items():
        rows = [row for row in ROWS.values() if row.group == group and not row.hidden]
        parts += ["", f"{title}:", *(_entry(row.name, row.summary) for row in rows)]
    parts += ["", "Options, before or after the verb:", *_options(GLOBALS)]
    parts += ["", "Exit codes:", *(_entry(str(code), meaning) for code, meaning in EXIT_CODES.items())]
    parts += ["", "A verb's options and examples: avirt VERB --help"]
    return "\n".join(parts)
