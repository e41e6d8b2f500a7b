"""The command line: tokens to a verb and its arguments, by the tables of `verbs.py`. Pure.

virsh's rules: an option is `--name`, `--name VALUE` or `--name=VALUE`; operands may also be given by name
(`--domain web1`); `--` ends the options. Options that hold for every verb (`-c`, `-r`, `-o`, `-q`, `-h`) may stand
anywhere. No parser library: importing cyclopts alone takes twice as long as a whole run of virsh, argparse knows
neither named operands nor options before and after a verb.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Final

import msgspec

__all__ = ["GLOBALS", "Argument", "Command", "Format", "Globals", "Row", "UsageError", "parse"]


class UsageError(Exception):
    """The command line is wrong; exit code 2.

    Attributes:
        message: what is wrong, one line.
        hint: what to do, one line, or "".
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Format(StrEnum):
    """`-o`."""

    TABLE = "table"
    JSON = "json"
    NAME = "name"


class Argument(msgspec.Struct, frozen=True, kw_only=True):
    """One option or operand.

    Attributes:
        name: the parameter of the verb's function.
        spelling: "--paused"; an operand may be given by it, too.
        short: "-r", or "".
        operand: stands without its spelling.
        metavar: what the help calls its value; "" for a flag.
        convert: text to value; its ValueError's text is shown.
        value: what a flag passes.
        required: an operand that must be given.
        many: may be repeated; the value is a tuple.
    """

    name: str
    help: str
    spelling: str
    short: str = ""
    operand: bool = False
    metavar: str = ""
    convert: Callable[[str], object] = str
    value: object = True
    required: bool = False
    many: bool = False


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One verb.

    Attributes:
        run: "module:function", loaded when it runs.
        lasting: runs until it is ended, so a faster event loop is worth its start.
        ends_quietly: Ctrl-C is how it ends: exit code 0.
        hidden: not in the list of verbs.
    """

    name: str
    summary: str
    run: str
    group: str
    arguments: tuple[Argument, ...] = ()
    examples: tuple[str, ...] = ()
    notes: str = ""
    lasting: bool = False
    ends_quietly: bool = False
    hidden: bool = False


class Globals(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for every verb."""

    uris: tuple[tuple[str, str], ...] = ()
    """(name, URI) of every `-c`; the name "" if none was given."""
    readonly: bool = False
    format: Format = Format.TABLE
    quiet: bool = False
    help: bool = False
    version: bool = False


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed command line. `row` None: no verb was given."""

    options: Globals
    row: Row | None = None
    arguments: Mapping[str, object] = {}


_NAMED_URI: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)=(.+)", re.DOTALL)


def _uri(text: str) -> tuple[str, str]:
    named = _NAMED_URI.fullmatch(text)
    return (named[1], named[2]) if named else ("", text)


def _format(text: str) -> Format:
    try:
        return Format(text)
    except ValueError:
        raise ValueError(f"unknown format '{text}', expecting {', '.join(Format)}") from None


GLOBALS: Final = (
    Argument(
        name="uris",
        spelling="--connect",
        short="-c",
        metavar="[NAME=]URI",
        many=True,
        convert=_uri,
        help="the hypervisor; repeat it to look after several. Default: AVIRT_URI, LIBVIRT_DEFAULT_URI, what is found",
    ),
    Argument(name="readonly", spelling="--readonly", short="-r", help="connect read-only: every change is refused"),
    Argument(
        name="format", spelling="--output", short="-o", metavar="FORMAT", convert=_format, help="table, json or name"
    ),
    Argument(name="quiet", spelling="--quiet", short="-q", help="no messages, no table heads, no progress"),
    Argument(name="help", spelling="--help", short="-h", help="this help; after a verb, the verb's"),
    Argument(name="version", spelling="--version", short="-v", help="avirt's version"),
)


class _Tokens:
    """The tokens left."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self._tokens = tokens
        self._next = 0

    def take(self) -> str | None:
        if self._next == len(self._tokens):
            return None
        self._next += 1
        return self._tokens[self._next - 1]


class _Parser:
    def __init__(self, rows: Mapping[str, Row]) -> None:
        self._rows = rows
        self._row: Row | None = None
        self._options: dict[str, object] = {}
        self._given: dict[str, object] = {}
        self._operands: list[str] = []
        self._known = {spelling: argument for argument in GLOBALS for spelling in (argument.spelling, argument.short)}

    def parse(self, argv: Sequence[str]) -> Command:
        tokens = _Tokens(argv)
        while (token := tokens.take()) is not None:
            if token == "--":
                while (token := tokens.take()) is not None:
                    self._operand(token)
            elif token.startswith("--"):
                self._long(token, tokens)
            elif token.startswith("-") and token != "-":
                self._short(token, tokens)
            else:
                self._operand(token)
        options = Globals(**self._options)  # type: ignore[arg-type]
        if self._row is None or options.help:
            return Command(options=options, row=self._row)
        self._assign(self._row)
        return Command(options=options, row=self._row, arguments=self._given)

    # ------------------------------------------------------------ tokens

    def _operand(self, token: str) -> None:
        if self._row is not None:
            self._operands.append(token)
            return
        self._row = self._rows.get(token)
        if self._row is None:
            raise UsageError(f"unknown verb '{token}'", self._similar(token))
        self._known |= {argument.spelling: argument for argument in self._row.arguments}

    def _long(self, token: str, tokens: _Tokens) -> None:
        spelling, equals, value = token.partition("=")
        argument = self._known.get(spelling)
        if argument is None:
            raise self._unknown(spelling)
        if not argument.metavar:
            if equals:
                raise UsageError(f"{self._where}{spelling} takes no value", self._usage)
            self._set(argument, argument.value)
        else:
            self._value(argument, spelling, value if equals else tokens.take())

    def _short(self, token: str, tokens: _Tokens) -> None:
        rest = token[1:]
        while rest:
            spelling, rest = f"-{rest[0]}", rest[1:]
            argument = self._known.get(spelling)
            if argument is None:
                raise self._unknown(spelling)
            if argument.metavar:
                self._value(argument, spelling, rest or tokens.take())
                return
            self._set(argument, argument.value)

    def _value(self, argument: Argument, spelling: str, text: str | None) -> None:
        if text is None:
            raise UsageError(f"{self._where}{spelling} needs a value: {argument.metavar}", self._usage)
        try:
            self._set(argument, argument.convert(text))
        except ValueError as error:
            raise UsageError(f"{self._where}{spelling}: {error}", self._usage) from None

    def _set(self, argument: Argument, value: object) -> None:
        target = self._options if argument in GLOBALS else self._given
        if argument.many:
            before = target.get(argument.name, ())
            assert isinstance(before, tuple)
            target[argument.name] = (*before, value)
        else:
            target[argument.name] = value

    # ------------------------------------------------------------ operands

    def _assign(self, row: Row) -> None:
        waiting = list(self._operands)
        for argument in row.arguments:
            if not argument.operand or (argument.name in self._given and not argument.many):
                continue
            while waiting:
                self._value(argument, argument.metavar, waiting.pop(0))
                if not argument.many:
                    break
            if argument.required and argument.name not in self._given:
                raise UsageError(f"{self._where}{argument.metavar} is missing", self._usage)
        if waiting:
            raise UsageError(f"{self._where}unexpected argument '{waiting[0]}'", self._usage)

    # ------------------------------------------------------------ words

    @property
    def _where(self) -> str:
        return f"{self._row.name}: " if self._row is not None else ""

    @property
    def _usage(self) -> str:
        return f"avirt {self._row.name} --help" if self._row is not None else "avirt --help"

    def _unknown(self, spelling: str) -> UsageError:
        known = [name for name in self._known if name.startswith("--")]
        from difflib import get_close_matches

        close = get_close_matches(spelling, known, n=1)
        hint = f"did you mean {close[0]}? See {self._usage}" if close else f"see {self._usage}"
        return UsageError(f"{self._where}unknown option {spelling}", hint)

    def _similar(self, token: str) -> str:
        from difflib import get_close_matches

        visible = [name for name, row in self._rows.items() if not row.hidden]
        close = get_close_matches(token, visible, n=3)
        return f"did you mean {' or '.join(close)}?" if close else "avirt --help lists the verbs"


def parse(argv: Sequence[str], rows: Mapping[str, Row]) -> Command:
    """Parse one command line.

    Raises:
        UsageError: it is wrong.
    """
    return _Parser(rows).parse(argv)
