"""XDR (RFC 4506): layouts of a table, compiled to functions that pack and unpack.

A **layout** is a name (a primitive's, or a named type's) or a tuple: `("opaque", n)`, `("bytes", max)`,
`("string", max)`, `("list", T, max)`, `("array", T, n)`, `("optional", T)`. A **named type** is `("typedef", T)`,
`("enum",)`, `("struct", ((field, T), ...))` or `("union", tag, ((number, T), ...))`. No type may contain itself.

Values: integers, floats and bools; `str` for strings (UTF-8, what isn't comes as surrogate escapes and goes back as it
was); `bytes` for opaque data **and for arrays and lists of char** (one XDR integer a character: 4 bytes on the wire);
tuples for other lists and arrays; None for an absent optional; for a struct its class, called with the fields in order,
or a tuple if it has none. A union takes two places in the struct around it: its tag, then its value.

The compiler writes Python source and executes it: neighbouring fields of fixed size, across the borders of structs,
are read by one `struct.Struct`, and nested structs need no call. A listing spends most of its time here. The source
consists of the table's names and numbers only.

Limits hold in both directions, and before memory is taken: a list's count is compared with its limit and with the bytes
that are there, before anything is made. Whatever doesn't fit raises `RemoteProtocolError` on unpacking and
`LocalProtocolError` on packing, nothing else leaves these functions.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from avirt.errors import LocalProtocolError, RemoteProtocolError

__all__ = ["Compiler", "Layout", "NamedType", "Pack", "Unpack"]

Layout = str | tuple[Any, ...]
Resolved = tuple[Any, ...]
NamedType = tuple[Any, ...]
Pack = Callable[..., bytes]
Unpack = Callable[[bytes], Any]

# Primitive → format of its 4 or 8 bytes (RFC 4506 §4; short kinds are sent as integers).
PRIMITIVES: Final[Mapping[str, str]] = {
    "bool": "i",
    "char": "i",
    "int8": "i",
    "short": "i",
    "int": "i",
    "uchar": "I",
    "uint8": "I",
    "ushort": "I",
    "uint": "I",
    "hyper": "q",
    "uhyper": "Q",
    "float": "f",
    "double": "d",
}

# What is left of a short kind when it was read: the peer may sign-extend (libvirt-wire.md §1), the C routines cut.
_NARROW: Final[Mapping[str, str]] = {
    "bool": "({} != 0)",
    "char": "({} & 255)",
    "uchar": "({} & 255)",
    "uint8": "({} & 255)",
    "ushort": "({} & 65535)",
    "int8": "((({} & 255) ^ 128) - 128)",
    "short": "((({} & 65535) ^ 32768) - 32768)",
}

# How a short kind is checked and made ready to be written. char is an unsigned byte here and signed on the wire.
_WIDEN: Final[Mapping[str, str]] = {
    "bool": "({} and 1 or 0)",
    "char": "signed({})",
    "uchar": "within({}, 0, 255)",
    "uint8": "within({}, 0, 255)",
    "ushort": "within({}, 0, 65535)",
    "int8": "within({}, -128, 127)",
    "short": "within({}, -32768, 32767)",
}

PADDING: Final = (b"", b"\0\0\0", b"\0\0", b"\0")
"""By length modulo 4: what fills up to a multiple of 4."""

_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def within(value: int, low: int, high: int) -> int:
    """The value, if it is in that range."""
    if not low <= value <= high:
        raise LocalProtocolError(f"{value} is not between {low} and {high}")
    return value


def signed(value: int) -> int:
    """An unsigned byte as the C type `char` has it."""
    return within(value, 0, 255) - (value > 127) * 256


def chars(data: bytes) -> bytes:
    """Bytes as XDR integers, one a byte, sign-extended."""
    return struct.pack(f">{len(data)}i", *memoryview(data).cast("B").cast("b"))


def too_many(field: str, count: int, limit: int) -> LocalProtocolError:
    """The error for what is longer than the table allows."""
    return LocalProtocolError(f"{field}: {count} is more than the protocol's limit of {limit}")


def bad_count(field: str, count: int, limit: int) -> RemoteProtocolError:
    """The error for a count that is beyond the table's limit."""
    return RemoteProtocolError(f"{field}: a length of {count} exceeds the protocol's limit of {limit}")


def truncated(field: str) -> RemoteProtocolError:
    """The error for a payload that ends too early."""
    return RemoteProtocolError(f"{field}: the payload ends too early")


def nul(field: str) -> LocalProtocolError:
    """The error for a string that C would cut short: it could name another object than was meant."""
    return LocalProtocolError(f"{field}: a string may not contain a NUL character")


def _tuple(parts: Sequence[str]) -> str:
    """The source of a tuple."""
    return f"({', '.join(parts)}{',' if parts else ''})"


class _Writer:
    """Lines of source, variables that are used once, and the objects they refer to."""

    def __init__(self, compiler: Compiler) -> None:
        self.compiler = compiler
        self.lines: list[str] = []
        self.depth = 1
        self.scope: dict[str, Any] = dict(_SCOPE)
        self.serial = 0

    def line(self, text: str) -> None:
        """Add a line at the present depth."""
        self.lines.append("    " * self.depth + text)

    def new(self, letter: str) -> str:
        """A name not used yet."""
        self.serial += 1
        return f"{letter}{self.serial}"

    def bind(self, letter: str, value: object) -> str:
        """A name for an object."""
        name = self.new(letter)
        self.scope[name] = value
        return name

    def function(self, head: str, first: Sequence[str], failure: str) -> Any:
        """Execute the source; answers the function `f`."""
        body = [f"def f({head}):", *("    " + text for text in first), "    try:"]
        body += ["    " + text for text in self.lines]
        body.append(f"    except Errors as error:\n        raise {failure} from error")
        exec(compile("\n".join(body), "<xdr layout>", "exec"), self.scope)  # noqa: S102
        return self.scope["f"]


class _Unpacker(_Writer):
    """Writes the source that unpacks. `b` is the payload, `o` the offset behind what was read."""

    def __init__(self, compiler: Compiler) -> None:
        super().__init__(compiler)
        self.run: list[tuple[str, str]] = []

    def flush(self) -> int:
        """Read what is pending with one Struct, but leave `o` where it is; answers how far it has to move."""
        if not self.run:
            return 0
        layout = struct.Struct(">" + "".join(code for code, _ in self.run))
        names = ", ".join(name for _, name in self.run)
        self.line(f"{names}{',' if len(self.run) == 1 else ''} = {self.bind('S', layout.unpack_from)}(b, o)")
        self.run = []
        return layout.size

    def settle(self) -> None:
        """Read what is pending and move on."""
        if size := self.flush():
            self.line(f"o += {size}")

    def fixed(self, code: str) -> str:
        """Put a value of fixed size into the run."""
        name = self.new("v")
        self.run.append((code, name))
        return name

    def values(self, layout: Layout, field: str) -> list[str]:
        """Read a layout; answers the expressions of its values (two for a union)."""
        named = self.compiler.resolve(layout)
        if named[0] == "union":
            return self.union(named, field)
        return [self.value(named, field)]

    def value(self, named: Resolved, field: str) -> str:
        """Read a resolved layout, not a union."""
        kind = named[0]
        if kind == "primitive":
            name = self.fixed(PRIMITIVES[named[1]])
            return _NARROW.get(named[1], "{}").format(name)
        if kind == "struct":
            return self.struct(named, field)
        if kind == "opaque":
            return self.opaque(named[1])
        if kind in {"bytes", "string"}:
            return self.sized(kind, named[1], field)
        if kind == "optional":
            return self.optional(named[1], field)
        return self.sequence(named, field)

    def struct(self, named: Resolved, field: str) -> str:
        """Read a struct; answers the call of its class, or a tuple."""
        parts = [value for name, layout in named[2] for value in self.values(layout, f"{field}.{name}")]
        if (make := self.compiler.classes.get(named[1])) is not None:
            return f"{self.bind('C', make)}({', '.join(parts)})"
        return _tuple(parts)

    def opaque(self, size: int) -> str:
        """Opaque data of fixed size, with its padding."""
        name = self.fixed(f"{size}s")
        if size % 4:
            self.run[-1] = (f"{size}s{-size % 4}x", name)
        return name

    def count(self, limit: int, field: str) -> tuple[str, int]:
        """Read a count and check it; answers its name and how far `o` has to move."""
        count = self.fixed("I")
        size = self.flush()
        self.line(f"if {count} > {limit}: raise bad_count({field!r}, {count}, {limit})")
        return count, size

    def sized(self, kind: str, limit: int, field: str) -> str:
        """A string, or opaque data with a length."""
        count, size = self.count(limit, field)
        name = self.new("v")
        # Where the payload ends too early the slice is shorter; `o` then lies behind the end, which is seen later.
        self.line(f"o += {size} + {count}")
        piece = f"b[o - {count}:o]"
        self.line(f"{name} = " + (f"str({piece}, 'utf-8', 'surrogateescape')" if kind == "string" else piece))
        self.line(f"o += -{count} & 3")
        return name

    def optional(self, layout: Layout, field: str) -> str:
        """None or a value."""
        flag = self.fixed("I")
        self.settle()
        name = self.new("v")
        self.line(f"if {flag} > 1: raise bad_count({field!r}, {flag}, 1)")
        self.line(f"if {flag}:")
        self.depth += 1
        (value,) = self.values(layout, field)
        self.settle()
        self.line(f"{name} = {value}")
        self.depth -= 1
        self.line(f"else: {name} = None")
        return name

    def sequence(self, named: Resolved, field: str) -> str:
        """A list or an array."""
        kind, layout, limit = named
        if kind == "list":
            count, size = self.count(limit, field)
            self.line(f"o += {size}")
        else:
            self.settle()
            count = str(limit)
        item = self.compiler.resolve(layout)
        name = self.new("v")
        self.line(f"if {count} * {self.compiler.smallest(layout)} > len(b) - o: raise truncated({field!r})")
        if item == ("primitive", "char"):
            self.line(f"{name} = b[o + 3:o + {count} * 4:4]")
            self.line(f"o += {count} * 4")
        elif item[0] == "primitive" and item[1] not in _NARROW:
            code = PRIMITIVES[item[1]]
            self.line(f"{name} = unpack_from(f'>{{{count}}}{code}', b, o)")
            self.line(f"o += {count} * {struct.calcsize('>' + code)}")
        else:
            items = self.new("l")
            self.line(f"{items} = []")
            self.line(f"for _ in range({count}):")
            self.depth += 1
            values = self.values(layout, field)
            self.settle()
            self.line(f"{items}.append({values[0] if len(values) == 1 else _tuple(values)})")
            self.depth -= 1
            self.line(f"{name} = tuple({items})")
        return name

    def union(self, named: Resolved, field: str) -> list[str]:
        """A tag and a value."""
        (tag,) = self.values(named[1], field)
        self.settle()
        name = self.new("v")
        word = "if"
        for number, layout in named[2]:
            self.line(f"{word} {tag} == {number}:")
            self.depth += 1
            (value,) = self.values(layout, field)
            self.settle()
            self.line(f"{name} = {value}")
            self.depth -= 1
            word = "elif"
        self.line(f"else: raise unknown_tag({field!r}, {tag})")
        return [tag, name]


class _Packer(_Writer):
    """Writes the source that packs: a list of expressions, each some bytes, that are joined at the end."""

    def __init__(self, compiler: Compiler) -> None:
        super().__init__(compiler)
        self.run: list[tuple[str, str]] = []
        self.parts: list[str] = []

    def flush(self) -> None:
        """Turn what is pending into one part."""
        if self.run:
            layout = struct.Struct(">" + "".join(code for code, _ in self.run))
            self.parts.append(f"{self.bind('S', layout.pack)}({', '.join(value for _, value in self.run)})")
            self.run = []

    def joined(self) -> str:
        """All parts as one expression; begins anew."""
        self.flush()
        parts, self.parts = self.parts, []
        return parts[0] if len(parts) == 1 else f"b''.join({_tuple(parts)})"

    def block(self, layout: Layout, values: Sequence[str], field: str) -> str:
        """Pack a layout apart from what is around it; answers the expression."""
        saved = self.run, self.parts
        self.run, self.parts = [], []
        self.write(layout, values, field)
        result = self.joined()
        self.run, self.parts = saved
        return result

    def write(self, layout: Layout, values: Sequence[str], field: str) -> None:
        """Pack the values of these expressions (two for a union)."""
        named = self.compiler.resolve(layout)
        kind = named[0]
        if kind == "primitive":
            self.run.append((PRIMITIVES[named[1]], _WIDEN.get(named[1], "{}").format(values[0])))
        elif kind == "struct":
            self.struct(named, values[0], field)
        elif kind == "opaque":
            self.opaque(named[1], values[0], field)
        elif kind in {"bytes", "string"}:
            self.sized(kind, named[1], values[0], field)
        elif kind == "optional":
            self.optional(named[1], values[0], field)
        elif kind == "union":
            self.union(named, values, field)
        else:
            self.sequence(named, values[0], field)

    def struct(self, named: Resolved, value: str, field: str) -> None:
        """Its fields, as attributes of its class or places of a tuple."""
        names = self.compiler.value_names(named)
        if named[1] in self.compiler.classes:
            expressions = [f"{value}.{name}" for name in names]
        else:
            expressions = [self.new("x") for _ in names]
            self.line(f"{_tuple(expressions)} = {value}")
        self.fields(named, expressions, field)

    def fields(self, named: Resolved, expressions: Sequence[str], field: str) -> None:
        """The fields of a struct, each from its expression (a union from two)."""
        rest = list(expressions)
        for name, layout in named[2]:
            width = self.compiler.width(layout)
            self.write(layout, rest[:width], f"{field}.{name}")
            del rest[:width]

    def opaque(self, size: int, value: str, field: str) -> None:
        """Opaque data of fixed size."""
        name = self.new("x")
        self.line(f"{name} = {value}")
        self.line(f"if len({name}) != {size}: raise wrong_size({field!r}, len({name}), {size})")
        self.run.append((f"{size}s{-size % 4}x" if size % 4 else f"{size}s", name))

    def sized(self, kind: str, limit: int, value: str, field: str) -> None:
        """A string, or opaque data with a length."""
        name, count = self.new("x"), self.new("n")
        if kind == "string":
            self.line(f"{name} = {value}.encode('utf-8', 'surrogateescape')")
            self.line(f"if 0 in {name}: raise nul({field!r})")
        else:
            self.line(f"{name} = {value}")
        self.line(f"{count} = len({name})")
        self.line(f"if {count} > {limit}: raise too_many({field!r}, {count}, {limit})")
        self.run.append(("I", count))
        self.flush()
        self.parts += [name, f"PADDING[{count} & 3]"]

    def optional(self, layout: Layout, value: str, field: str) -> None:
        """A flag, and a value if there is one."""
        subject, name = self.new("x"), self.new("x")
        self.line(f"{subject} = {value}")
        self.line(f"if {subject} is None: {name} = ABSENT")
        self.line("else:")
        self.depth += 1
        saved = self.run, self.parts
        self.run, self.parts = [("I", "1")], []
        self.write(layout, [subject], field)
        self.line(f"{name} = {self.joined()}")
        self.run, self.parts = saved
        self.depth -= 1
        self.flush()
        self.parts.append(name)

    def sequence(self, named: Resolved, value: str, field: str) -> None:
        """A list or an array."""
        kind, layout, limit = named
        name, count = self.new("x"), self.new("n")
        self.line(f"{name} = {value}")
        self.line(f"{count} = len({name})")
        if kind == "list":
            self.line(f"if {count} > {limit}: raise too_many({field!r}, {count}, {limit})")
            self.run.append(("I", count))
        else:
            self.line(f"if {count} != {limit}: raise wrong_size({field!r}, {count}, {limit})")
        self.flush()
        item = self.compiler.resolve(layout)
        if item == ("primitive", "char"):
            self.parts.append(f"chars({name})")
        elif item[0] == "primitive" and item[1] not in _WIDEN:
            self.parts.append(f"pack(f'>{{{count}}}{PRIMITIVES[item[1]]}', *{name})")
        else:
            items, each = self.new("l"), self.new("x")
            self.line(f"{items} = []")
            self.line(f"for {each} in {name}:")
            self.depth += 1
            values = [each] if item[0] != "union" else [f"{each}[0]", f"{each}[1]"]
            block = self.block(layout, values, field)
            self.line(f"{items}.append({block})")
            self.depth -= 1
            self.parts.append(f"b''.join({items})")

    def union(self, named: Resolved, values: Sequence[str], field: str) -> None:
        """The tag, then what belongs to it."""
        tag, value = values
        self.write(named[1], [tag], field)
        self.flush()
        name = self.new("x")
        word = "if"
        for number, layout in named[2]:
            self.line(f"{word} {tag} == {number}:")
            self.depth += 1
            block = self.block(layout, [value], field)
            self.line(f"{name} = {block}")
            self.depth -= 1
            word = "elif"
        self.line(f"else: raise no_such_tag({field!r}, {tag})")
        self.parts.append(name)


def wrong_size(field: str, size: int, wanted: int) -> LocalProtocolError:
    """The error for data whose size the protocol fixes."""
    return LocalProtocolError(f"{field}: has {size} places, the protocol wants {wanted}")


def unknown_tag(field: str, tag: int) -> RemoteProtocolError:
    """The error for a union of unknown kind."""
    return RemoteProtocolError(f"{field}: unknown kind {tag}")


def no_such_tag(field: str, tag: object) -> LocalProtocolError:
    """The error for a union of unknown kind, on our side."""
    return LocalProtocolError(f"{field}: no such kind: {tag!r}")


def leftover(name: str, used: int, size: int) -> RemoteProtocolError:
    """The error for a payload that was not used up, or was too short."""
    if used > size:
        return truncated(name)
    return RemoteProtocolError(f"{name}: {size - used} bytes are left over")


def unfit(name: str, error: Exception) -> LocalProtocolError:
    """The error for values of the wrong type or out of range."""
    return LocalProtocolError(f"{name}: a value does not fit: {error}")


_SCOPE: Final[Mapping[str, object]] = {
    "ABSENT": b"\0\0\0\0",
    "PADDING": PADDING,
    "bad_count": bad_count,
    "chars": chars,
    "leftover": leftover,
    "no_such_tag": no_such_tag,
    "nul": nul,
    "pack": struct.pack,
    "signed": signed,
    "too_many": too_many,
    "truncated": truncated,
    "unfit": unfit,
    "unknown_tag": unknown_tag,
    "unpack_from": struct.unpack_from,
    "within": within,
    "wrong_size": wrong_size,
}


class Compiler:
    """Compiles the layouts of one table.

    Args:
        types: named types.
        classes: what to call with a struct's fields, by its name; its attributes are the fields' names.
    """

    def __init__(
        self, types: Mapping[str, NamedType], classes: Mapping[str, Callable[..., object]] | None = None
    ) -> None:
        self.types = types
        self.classes = classes if classes is not None else {}

    def resolve(self, layout: Layout) -> Resolved:
        """A layout with its names followed: `("primitive", name)`, `("struct", name, fields)`, or a tuple as given."""
        while isinstance(layout, str):
            if layout in PRIMITIVES:
                return ("primitive", layout)
            named = self.types[layout]
            if named[0] == "struct":
                return ("struct", layout, named[1])
            if named[0] == "enum":
                return ("primitive", "int")
            if named[0] == "union":
                return named
            layout = named[1]
        return layout

    def width(self, layout: Layout) -> int:
        """How many places it takes in the struct around it."""
        return 2 if self.resolve(layout)[0] == "union" else 1

    def value_names(self, named: Resolved) -> list[str]:
        """The names of a struct's places. A union's tag is called `type`."""
        names: list[str] = []
        for name, layout in named[2]:
            names += [name] if self.width(layout) == 1 else ["type", name]
        if not all(_IDENTIFIER.match(name) for name in names):
            raise ValueError(f"{named[1]}: a field's name is not an identifier")
        return names

    def smallest(self, layout: Layout) -> int:
        """The fewest bytes it can take on the wire."""
        named = self.resolve(layout)
        kind = named[0]
        if kind == "primitive":
            return struct.calcsize(">" + PRIMITIVES[named[1]])
        if kind == "struct":
            return sum(self.smallest(field) for _, field in named[2])
        if kind == "opaque":
            return int(named[1] + -named[1] % 4)
        if kind == "array":
            return self.smallest(named[1]) * int(named[2])
        if kind == "union":
            return self.smallest(named[1]) + min(self.smallest(case) for _, case in named[2])
        return 4  # the length, or the flag

    def unpacker(self, name: str, *, single: bool = False) -> Unpack:
        """Compile a named type: a function of the whole payload.

        Args:
            name: the type.
            single: answer the one value of a struct of one field, instead of the struct.
        """
        writer = _Unpacker(self)
        named = self.resolve(name)
        if single and named[0] == "struct" and len(named[2]) == 1:
            field, layout = named[2][0]
            values = writer.values(layout, f"{name}.{field}")
        else:
            values = writer.values(name, name)
        writer.settle()
        result = values[0] if len(values) == 1 else _tuple(values)
        writer.line(f"if o != len(b): raise leftover({name!r}, o, len(b))")
        writer.line(f"return {result}")
        writer.scope["Errors"] = struct.error
        function: Unpack = writer.function("b", ["o = 0"], f"truncated({name!r})")
        return function

    def packer(self, name: str, *, flat: bool = False) -> Pack:
        """Compile a named type: a function of its value (of tag and value, for a union) that answers the payload.

        Args:
            name: the type.
            flat: take a struct's fields as arguments, in order, instead of the struct.
        """
        writer = _Packer(self)
        named = self.resolve(name)
        if named[0] == "struct" and flat:
            arguments = [f"a{i}" for i in range(len(self.value_names(named)))]
            writer.fields(named, arguments, name)
        else:
            arguments = [f"a{i}" for i in range(self.width(name))]
            writer.write(name, arguments, name)
        writer.line(f"return {writer.joined()}")
        writer.scope["Errors"] = (struct.error, AttributeError, TypeError, ValueError, OverflowError)
        function: Pack = writer.function(", ".join(arguments), [], f"unfit({name!r}, error)")
        return function
