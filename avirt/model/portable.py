"""The model's values as JSON, and back without loss: for what is written today and read by another process.

Not the contract of `-o json` (`document.py`), which is for people's programs and can't be read back. A struct is an
object with its class's name as `is`; fields that have their default are left out; keys of domains and uuids are text,
other bytes base64, enumerations their values. Which classes may be read is decided by the type that is asked for:
nothing else is ever made.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import partial
from types import NoneType, UnionType
from typing import Any, Final, Generic, TypeVar, Union, cast, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec

from avirt.model.document import Json
from avirt.model.record import Key, key_of
from avirt.model.state import Reason, reason_of

__all__ = ["Portable"]

T = TypeVar("T")

_PLAIN: Final = (bool, int, float, str)


class _Form(msgspec.Struct, frozen=True, gc=False):
    """One type, both ways. `dump` trusts its value; `load` raises ValueError."""

    dump: Callable[[Any], Json]
    load: Callable[[Json], Any]


class _Field(msgspec.Struct, frozen=True, gc=False):
    name: str
    form: _Form
    default: object
    """msgspec.NODEFAULT: there is none."""
    is_reason: bool


class Portable(Generic[T]):
    """Values of one type, or of a union, as JSON and back.

    Args:
        kind: a Struct class, whose subclasses belong to it, or a union.
    """

    def __init__(self, kind: object) -> None:
        self._classes: dict[str, type[msgspec.Struct]] = {}
        self._fields: dict[type[msgspec.Struct], tuple[_Field, ...]] = {}
        self._form = self._form_of(kind)

    def dump(self, value: T) -> Json:
        """The value as JSON types."""
        return self._form.dump(value)

    def load(self, document: Json) -> T:
        """The value of a document.

        Raises:
            ValueError: it is none of this type; the text says what is wrong.
        """
        return cast("T", self._form.load(document))

    # ------------------------------------------------------------ forms by type

    def _form_of(self, kind: Any) -> _Form:
        origin, args = get_origin(kind), get_args(kind)
        if kind is Key:
            return _Form(lambda key: str(UUID(bytes=key)), lambda document: key_of(_expect(str, document)))
        if kind is bytes:
            return _Form(lambda data: binascii.b2a_base64(data, newline=False).decode(), _load_bytes)
        if kind is UUID:
            return _Form(str, lambda document: UUID(_expect(str, document)))
        if kind in _PLAIN:
            return _Form(lambda value: value, partial(_expect, kind))
        if origin in (Union, UnionType):
            return _REASON if kind == Reason else self._union(args)
        if origin is tuple and args[-1] is not Ellipsis:
            return self._tuple(args)
        if origin is not None and issubclass(origin, Mapping):
            return self._mapping(args[1])
        if origin is not None:
            return self._several(args[0], is_set=origin is frozenset)
        if issubclass(kind, Enum):
            return _Form(lambda member: member.value, partial(_load_enum, kind))
        return self._struct(kind)

    def _union(self, kinds: Sequence[Any]) -> _Form:
        """Structs are told apart by their names, plain values by their JSON types; or either, or nothing."""
        some = tuple(kind for kind in kinds if kind is not NoneType)
        if len(some) == 1:
            form = self._form_of(some[0])
        elif all(kind in _PLAIN for kind in some):
            form = _Form(lambda value: value, partial(_expect, some))
        else:
            for kind in some:
                self._struct(kind)
            form = _Form(self._dump_struct, partial(self._load_struct, some))
        if len(some) == len(kinds):
            return form
        return _Form(
            lambda value: None if value is None else form.dump(value),
            lambda document: None if document is None else form.load(document),
        )

    def _tuple(self, kinds: Sequence[Any]) -> _Form:
        forms = [self._form_of(kind) for kind in kinds]

        def load(document: Json) -> Any:
            items = _expect(list, document)
            if len(items) != len(forms):
                raise ValueError(f"{len(items)} items instead of {len(forms)}")
            return tuple(form.load(item) for form, item in zip(forms, items, strict=True))

        return _Form(
            lambda values: [form.dump(value) for form, value in zip(forms, values, strict=True)],
            load,
        )

    def _several(self, kind: Any, *, is_set: bool) -> _Form:
        form = self._form_of(kind)

        def load(document: Json) -> Any:
            items = [form.load(item) for item in _expect(list, document)]
            return frozenset(items) if is_set else tuple(items)

        return _Form(lambda values: [form.dump(value) for value in (sorted(values) if is_set else values)], load)

    def _mapping(self, kind: Any) -> _Form:
        form = self._form_of(kind)
        return _Form(
            lambda values: {key: form.dump(value) for key, value in values.items()},
            lambda document: {key: form.load(value) for key, value in _expect(dict, document).items()},
        )

    # ------------------------------------------------------------ structs

    def _struct(self, kind: type[msgspec.Struct]) -> _Form:
        self._know(kind)
        return _Form(self._dump_struct, partial(self._load_struct, (kind,)))

    def _know(self, kind: type[msgspec.Struct]) -> None:
        """Learn a class, its subclasses, and what their fields hold."""
        if kind in self._fields:
            return
        self._classes[kind.__name__] = kind
        self._fields[kind] = ()
        hints = get_type_hints(kind)
        self._fields[kind] = tuple(
            _Field(field.name, self._form_of(hints[field.name]), _default(field), hints[field.name] == Reason)
            for field in msgspec.structs.fields(kind)
        )
        for subclass in kind.__subclasses__():
            self._know(subclass)

    def _dump_struct(self, value: msgspec.Struct) -> Json:
        document: dict[str, Json] = {"is": type(value).__name__}
        for field in self._fields[type(value)]:
            held = getattr(value, field.name)
            if held != field.default:
                document[field.name] = field.form.dump(held)
        return document

    def _load_struct(self, kinds: tuple[type[msgspec.Struct], ...], document: Json) -> Any:
        given = _expect(dict, document)
        name = given.get("is")
        kind = self._classes.get(name) if isinstance(name, str) else None
        if kind is None or not issubclass(kind, kinds):
            raise ValueError(f"{name!r:.80} is unknown here")
        values: dict[str, Any] = {}
        for field in self._fields[kind]:
            if field.name in given:
                try:
                    values[field.name] = field.form.load(given[field.name])
                except ValueError as error:
                    raise ValueError(f"{name}.{field.name}: {error}") from None
            elif field.default is msgspec.NODEFAULT:
                raise ValueError(f"{name} without {field.name}")
            if field.is_reason:
                values[field.name] = reason_of(values["state"], values[field.name])
        return kind(**values)


def _default(field: msgspec.structs.FieldInfo) -> object:
    factory = field.default_factory
    return field.default if factory is msgspec.NODEFAULT else cast("Callable[[], object]", factory)()


def _expect(kind: type | tuple[type, ...], document: Json) -> Any:
    """The document if it is of this JSON type. An integer is a number, a truth value is neither."""
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if isinstance(document, bool):
        if bool in kinds:
            return document
    elif isinstance(document, kinds):
        return document
    elif isinstance(document, int) and float in kinds:
        return float(document)
    raise ValueError(f"{document!r:.80} is no {' or '.join(each.__name__ for each in kinds)}")


def _load_bytes(document: Json) -> bytes:
    return binascii.a2b_base64(_expect(str, document), strict_mode=True)


def _load_enum(kind: type[Enum], document: Json) -> Enum:
    return kind(_expect((int, str), document))


_REASON: Final = _Form(int, partial(_expect, int))
"""Its class follows from the state beside it."""
