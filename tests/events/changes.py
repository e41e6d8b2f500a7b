"""Changes of every kind with any contents, for hypothesis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, get_args, get_origin
from uuid import UUID

from hypothesis import strategies as st
from msgspec.structs import fields

from avirt.events.codec import KINDS
from avirt.model.change import Change, Origin, RecordChange
from avirt.model.native_event import GraphicsAddress
from avirt.model.record import Certainty, DomainRecord, HostFacts, Key
from avirt.model.state import Transition, reason_of, state_of

NIL: Final = Key(bytes(16))
TEXT: Final = st.text(st.characters(), max_size=8)  # lone surrogates too: a name that is no UTF-8
NUMBER: Final = st.integers(-(2**63), 2**63 - 1)
FLOAT: Final = st.floats(allow_nan=False)
KEY: Final = st.binary(min_size=16, max_size=16).map(Key)
PARAM: Final = st.one_of(NUMBER, FLOAT, st.booleans(), TEXT)


def optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


FACTS: Final = st.builds(
    HostFacts,
    uuid=st.uuids(),
    hostname=TEXT,
    product=TEXT,
    driver=TEXT,
    version=optional(st.tuples(NUMBER, NUMBER, NUMBER)),
    driver_version=optional(st.tuples(NUMBER, NUMBER, NUMBER)),
    read_only=st.booleans(),
)


@st.composite
def records(draw: st.DrawFn, host: str = "h", key: Key = NIL) -> DomainRecord:
    """A record with anything in it: states and reasons of the future included."""
    state = draw(st.integers(0, 9))
    return DomainRecord(
        host=host,
        key=key,
        name=draw(TEXT),
        state=state_of(state),
        reason=reason_of(state, draw(st.integers(0, 20))),
        id=draw(optional(NUMBER)),
        active=draw(st.booleans()),
        transition=draw(optional(st.sampled_from(Transition))),
        idle=draw(st.booleans()),
        needs_answer=draw(st.booleans()),
        persistent=draw(optional(st.booleans())),
        autostart=draw(optional(st.booleans())),
        marker=draw(optional(NUMBER | TEXT)),
        native=draw(st.dictionaries(TEXT, NUMBER | TEXT, max_size=3)),
        certainty=draw(st.sampled_from(Certainty)),
        observed_at=draw(FLOAT),
        since=draw(optional(FLOAT)),
        revision=draw(NUMBER),
        stale_since=draw(optional(FLOAT)),
        stale_why=draw(TEXT),
    )


def of_type(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a field."""
    simple: dict[Any, st.SearchStrategy[Any]] = {
        str: TEXT,
        int: NUMBER,
        float: FLOAT,
        bool: st.booleans(),
        bytes: KEY,
        UUID: st.uuids(),
        Origin: st.sampled_from(Origin),
        HostFacts: FACTS,
        GraphicsAddress: st.builds(GraphicsAddress, family=TEXT, node=TEXT, service=TEXT),
    }
    if getattr(kind, "__supertype__", None) is bytes:
        return KEY
    if kind in simple:
        return simple[kind]
    if get_origin(kind) is Mapping:
        return st.dictionaries(TEXT, PARAM, max_size=3)
    if get_origin(kind) is tuple and get_args(kind)[-1] is Ellipsis:
        return st.lists(of_type(get_args(kind)[0]), max_size=3).map(tuple)
    if get_origin(kind) is tuple:
        return st.tuples(*map(of_type, get_args(kind)))
    raise TypeError(f"no values for {kind}")


@st.composite
def changes(draw: st.DrawFn, kind: type[Change] | None = None) -> Change:
    """A change of this kind, or of any."""
    if kind is None:
        kind = draw(st.sampled_from(KINDS))
    values: dict[str, Any] = {}
    for field in fields(kind):
        if field.name not in ("before", "after") or not issubclass(kind, RecordChange):
            values[field.name] = draw(of_type(field.type))
    if issubclass(kind, RecordChange):
        of_domain = records(values["host"], values["key"])
        values |= {"before": draw(optional(of_domain)), "after": draw(optional(of_domain))}
    return kind(**values)
