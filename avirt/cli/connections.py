"""The hosts a verb speaks to, and the domains it means.

One `-c` is one connection. With several, each host is connected in a task of its own, all with one store; a host that
can't be reached is one line on stderr, the others go on.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final
from uuid import UUID

import anyio
import msgspec

import avirt
from avirt.cli.codes import Reported, exit_code
from avirt.cli.output import Output
from avirt.cli.parse import Globals, UsageError
from avirt.errors import AmbiguousName, AvirtError, NotFound

__all__ = ["ANY", "CONNECT_TIMEOUT", "Cli", "Hosts", "connected", "find", "open_host", "unique_names"]

CONNECT_TIMEOUT: Final = 30.0
"""Seconds for a connection and its first listing."""
PERSONS_TIMEOUT: Final = 300.0
"""The same where a person may have to answer a prompt (polkit)."""

ANY: Final = ("id", "uuid", "name")
"""What a DOMAIN may be, in virsh's order."""


class Cli(msgspec.Struct, frozen=True):
    """What every verb's function gets first.

    Attributes:
        audit: seconds between two audits of a host.
        store: all hosts share this one.
    """

    options: Globals
    out: Output
    audit: float | None = None
    store: avirt.Store | None = None


class Hosts(msgspec.Struct):
    """The hosts that could be reached.

    Attributes:
        failed: why the others could not.
        several: more than one was asked for.
    """

    reached: list[avirt.Host]
    failed: list[AvirtError]
    several: bool

    @property
    def code(self) -> int:
        """The exit code of a verb that did what it could."""
        return exit_code(self.failed[0]) if self.failed else 0

    def only(self, verb: str) -> avirt.Host:
        """The one host of a verb that has no domain to find it by.

        Raises:
            UsageError: there are several.
        """
        if self.several:
            raise UsageError(f"{verb}: several hosts are given", "give one -c: a new domain is made on one host")
        return self.reached[0]


def open_host(
    cli: Cli,
    name: str,
    uri: str | None,
    store: avirt.Store | None = None,
    recorder: avirt.Recorder | None = None,
) -> avirt.connect:
    """One connection, by the CLI's options."""
    store = store or cli.store
    timeout = PERSONS_TIMEOUT if sys.stdin is not None and sys.stdin.isatty() else CONNECT_TIMEOUT
    return avirt.connect(
        uri,
        name=name or None,
        readonly=cli.options.readonly,
        timeout=timeout,
        store=store,
        audit=cli.audit,
        recorder=recorder,
    )


def unique_names(uris: Sequence[tuple[str, str]]) -> list[str]:
    """What several hosts are called in messages.

    Raises:
        UsageError: two have one name.
    """
    names = [name or str(avirt.parse_uri(uri)) for name, uri in uris]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UsageError(f"-c: '{twice[0]}' is given twice", "name hosts with -c NAME=URI")
    return names


@asynccontextmanager
async def connected(cli: Cli) -> AsyncGenerator[Hosts]:
    """All hosts of the command line.

    Raises:
        AvirtError: the only one can't be reached. Reported: none of several can.
        UsageError: two have one name.
    """
    uris = cli.options.uris
    if len(uris) > 1:
        async with _several(cli, uris) as hosts:
            yield hosts
        return
    name, uri = uris[0] if uris else ("", None)
    async with open_host(cli, name, uri) as host:
        yield Hosts([host], [], several=False)


@asynccontextmanager
async def _several(cli: Cli, uris: Sequence[tuple[str, str]]) -> AsyncGenerator[Hosts]:
    names = unique_names(uris)
    store = cli.store or avirt.Store()
    found: dict[int, avirt.Host] = {}
    failed: list[AvirtError] = []
    missing = len(uris)
    settled = anyio.Event()

    def settle() -> None:
        nonlocal missing
        missing -= 1
        if not missing:
            settled.set()

    async def hold(index: int, name: str, uri: str) -> None:
        arrived = False
        try:
            async with open_host(cli, name, uri, store) as host:
                found[index] = host
                arrived = True
                settle()
                await anyio.sleep_forever()
        except AvirtError as error:
            cli.out.failure(error, prefix=f"{names[index]}: ")
            failed.append(error)
            if not arrived:
                settle()

    raised: Exception | None = None
    async with anyio.create_task_group() as tg:
        for index, (name, uri) in enumerate(uris):
            tg.start_soon(hold, index, name, uri)
        await settled.wait()
        try:
            if not found:
                raise Reported(exit_code(failed[0]))
            yield Hosts([found[index] for index in sorted(found)], failed, several=True)
        except Exception as error:  # noqa: BLE001 - comes out as itself, not in a group
            raised = error
        tg.cancel_scope.cancel()
    if raised is not None:
        raise raised


# ---------------------------------------------------------------- domains


def find(hosts: Hosts, text: str, by: Sequence[str] = ANY) -> avirt.Domain:
    """The domain that a command line means: by id, uuid or name, in this order, as virsh does.

    Raises:
        NotFound: there is none.
        AmbiguousName: there are several.
    """
    found = _matches(hosts.reached, text, by)
    if not found:
        for host in hosts.reached:
            for name in (host.name, host.facts.hostname):
                if name and text.startswith(name + "/"):
                    found += [each for each in _matches([host], text[len(name) + 1 :], by) if each not in found]
    if len(found) > 1:
        several = ", ".join(f"{each.host.name}/{each.name}" for each in found)
        places = "several hosts" if len({each.host.name for each in found}) > 1 else found[0].host.name
        raise AmbiguousName(
            f"'{text}' is a domain of {places}: {several}",
            hint="say HOST/NAME, or the uuid with a single -c",
            domain=text,
        )
    if found:
        return found[0]
    where = "" if hosts.several else f" on {hosts.reached[0].name}"
    unsure = " that answered" if hosts.failed else ""
    raise NotFound(
        f"no domain '{text}'{where or f' on the hosts{unsure}'}",
        hint="avirt list --all shows what there is",
        domain=text,
    )


def _matches(hosts: Sequence[avirt.Host], text: str, by: Sequence[str]) -> list[avirt.Domain]:
    """In each host what fits first: its id, its uuid, its name."""
    fits = [_FITS[way](text) for way in by]
    found: list[avirt.Domain] = []
    for host in hosts:
        domains = host.domains()
        for fit in fits:
            here = [each for each in domains if fit(each.record)]
            if here:
                found += here
                break
    return found


Fit = Callable[[avirt.DomainRecord], bool]


def _fits_id(text: str) -> Fit:
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None
    return lambda record: number is not None and record.id == number


def _fits_uuid(text: str) -> Fit:
    try:
        key = UUID(text).bytes
    except ValueError:
        key = b""
    return lambda record: record.key == key


def _fits_name(text: str) -> Fit:
    return lambda record: record.name == text


_FITS: Final[dict[str, Callable[[str], Fit]]] = {"id": _fits_id, "uuid": _fits_uuid, "name": _fits_name}
