"""URIs: parsed once, printed without secrets.

`scheme[+transport]://[user[:password]@][host[:port]]/path[?query]`, as libvirt's (reference/libvirt-wire.md §12).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import msgspec

from avirt.errors import InvalidURI

__all__ = ["URI", "parse_uri"]

_SECRETS: Final = frozenset({"password", "passwd", "secret", "token"})
_SCHEME: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-.")


class URI(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint.

    Attributes:
        scheme: lower case, without the transport ("qemu").
        transport: lower case, "" if not said ("ssh").
        host: without brackets, "" if local.
        path: with its leading slash, "" if none.
        query: pairs in order; names as written (compared without case), values decoded.
    """

    scheme: str
    transport: str = ""
    user: str = ""
    password: str = ""
    host: str = ""
    port: int | None = None
    path: str = ""
    query: tuple[tuple[str, str], ...] = ()

    def param(self, name: str) -> str | None:
        """The last value of a query parameter, or None."""
        found = [value for key, value in self.query if key.lower() == name]
        return found[-1] if found else None

    def without(self, names: Iterable[str]) -> Iterator[tuple[str, str]]:
        """The query without these parameters (lower-case names)."""
        dropped = frozenset(names)
        return (pair for pair in self.query if pair[0].lower() not in dropped)

    def __str__(self) -> str:
        """The URI without any secret."""
        netloc = f"[{self.host}]" if ":" in self.host else self.host
        if self.port is not None:
            netloc += f":{self.port}"
        if self.user:
            netloc = f"{quote(self.user, safe='')}@{netloc}"
        scheme = f"{self.scheme}+{self.transport}" if self.transport else self.scheme
        pairs = [(key, "***" if key.lower() in _SECRETS else value) for key, value in self.query]
        query = "?" + urlencode(pairs, safe="/@:*", quote_via=quote) if pairs else ""
        return f"{scheme}://{netloc}{quote(self.path, safe='/@:,+=')}{query}"

    def __repr__(self) -> str:
        return f"URI({str(self)!r})"


def parse_uri(text: str) -> URI:
    """Parse one URI.

    Raises:
        InvalidURI: it is malformed; the message says where, without its secrets.
    """
    text = text.strip()
    if not text:
        raise InvalidURI("the URI is empty", hint="e.g. qemu:///system")
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in text):
        raise InvalidURI("the URI contains a control character")
    head, separator, _ = text.partition("://")
    scheme, plus, transport = head.lower().partition("+")
    if not separator or not scheme or not set(scheme) <= _SCHEME or not scheme[0].isalpha() or "@" in head:
        raise InvalidURI(
            "a URI begins with a driver's name and '://'", hint="e.g. qemu:///system, test:///default, sim://demo"
        )
    if plus and (not transport or not set(transport) <= _SCHEME):
        raise InvalidURI(f"no transport after '{scheme}+'", hint=f"e.g. {scheme}+unix:///system")
    try:
        parts = urlsplit(text)
        port = parts.port
        host = unquote(parts.hostname or "")
    except ValueError as error:
        raise InvalidURI(f"the host or port of this {scheme} URI is malformed") from error
    if parts.fragment:
        raise InvalidURI("a URI has no '#…'", hint="write %23 for a literal '#'")
    return URI(
        scheme=scheme,
        transport=transport,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        host=host,
        port=port,
        path=unquote(parts.path),
        query=tuple(parse_qsl(parts.query, keep_blank_values=True)),
    )
