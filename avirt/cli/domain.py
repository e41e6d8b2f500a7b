"""Verbs about one domain: what is known of it, and what changes it."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

import anyio
import anyio.to_thread

import avirt
from avirt.cli.connections import ANY, Cli, connected, find
from avirt.cli.parse import Format
from avirt.cli.progress import progress
from avirt.cli.words import SAID, id_cell, reason_words, state_cell, state_words
from avirt.model.command import Outcome, ShutdownMode, Verb
from avirt.model.document import Json, outcome_document, plain, record_document
from avirt.model.record import DomainRecord

__all__ = [
    "autostart",
    "create",
    "define",
    "destroy",
    "domid",
    "dominfo",
    "domname",
    "domrename",
    "domstate",
    "domuuid",
    "dumpxml",
    "managedsave",
    "managedsave_remove",
    "reboot",
    "reset",
    "restore",
    "resume",
    "save",
    "shutdown",
    "start",
    "suspend",
    "undefine",
]

# ---------------------------------------------------------------- reads


def _identity(record: DomainRecord) -> dict[str, Json]:
    return {"host": record.host, "name": record.name, "uuid": str(record.uuid), "id": record.id}


def _say(cli: Cli, record: DomainRecord, text: str, document: Mapping[str, Json]) -> int:
    if cli.out.format is Format.JSON:
        cli.out.object({**_identity(record), **document})
    else:
        cli.out.line(record.name if cli.out.format is Format.NAME else text)
    return 0


async def _record(cli: Cli, domain: str, by: tuple[str, ...] = ANY) -> DomainRecord:
    async with connected(cli) as hosts:
        return find(hosts, domain, by).record


async def domid(cli: Cli, domain: str) -> int:
    """`avirt domid`."""
    record = await _record(cli, domain, ("uuid", "name"))
    return _say(cli, record, id_cell(record), {})


async def domuuid(cli: Cli, domain: str) -> int:
    """`avirt domuuid`."""
    record = await _record(cli, domain)
    return _say(cli, record, str(record.uuid), {})


async def domname(cli: Cli, domain: str) -> int:
    """`avirt domname`."""
    record = await _record(cli, domain)
    return _say(cli, record, record.name, {})


async def domstate(cli: Cli, domain: str, *, reason: bool = False) -> int:
    """`avirt domstate`."""
    record = await _record(cli, domain)
    text = f"{state_words(record.state)} ({reason_words(record.reason)})" if reason else state_words(record.state)
    return _say(cli, record, text, record_document(record))


async def dominfo(cli: Cli, domain: str) -> int:
    """`avirt dominfo`."""
    async with connected(cli) as hosts:
        found = find(hosts, domain)
        info = await found.info()
        record = found.record
    more = plain(info)
    assert isinstance(more, dict)
    if cli.out.format is not Format.TABLE:
        return _say(cli, record, "", {**record_document(record), **more})
    model = info.security_model
    shown = [
        ("Id", id_cell(record)),
        ("Name", record.name),
        ("UUID", str(record.uuid)),
        ("OS Type", info.os_type),
        ("State", state_cell(record)),
        ("CPU(s)", info.vcpus),
        ("CPU time", None if info.cpu_time_ns is None else f"{info.cpu_time_ns / 1e9:.1f}s"),
        ("Max memory", None if info.max_memory_kib is None else f"{info.max_memory_kib} KiB"),
        ("Used memory", None if info.memory_kib is None else f"{info.memory_kib} KiB"),
        ("Persistent", _either(record.persistent, "yes", "no")),
        ("Autostart", _either(record.autostart, "enable", "disable")),
        ("Managed save", _either(info.managed_save, "yes", "no")),
        ("Security model", model),
        ("Security DOI", (info.security_doi or "") if model else None),
    ]
    if info.security_label:
        enforcing = _either(info.security_enforcing, " (enforcing)", " (permissive)") or ""
        shown.append(("Security label", f"{info.security_label}{enforcing}"))
    cli.out.pairs([(label, str(value)) for label, value in shown if value is not None], 15)
    if not cli.out.quiet:
        cli.out.line()
    return 0


def _either(value: bool | None, yes: str, no: str) -> str | None:
    return None if value is None else yes if value else no


async def dumpxml(
    cli: Cli,
    domain: str,
    *,
    inactive: bool = False,
    secure: bool = False,
    update_cpu: bool = False,
    migratable: bool = False,
) -> int:
    """`avirt dumpxml`. The XML as it is: it goes back to the hypervisor."""
    async with connected(cli) as hosts:
        found = find(hosts, domain)
        xml = await found.xml(inactive=inactive, secure=secure, update_cpu=update_cpu, migratable=migratable)
        record = found.record
    if cli.out.format is Format.TABLE:
        cli.out.line(xml.removesuffix("\n"))
        return 0
    return _say(cli, record, "", {"xml": xml})


# ---------------------------------------------------------------- verbs on a domain

Timeout = float | None
"""None: the verb's own deadline, as the option is left out."""


def _limits(timeout: Timeout) -> dict[str, float]:
    return {} if timeout is None else {"timeout": timeout}


def _words(outcome: Outcome, verb: Verb) -> str:
    said = SAID[verb]
    if not outcome.changed:
        return said.already or said.done
    return said.done if outcome.observed or not said.accepted else said.accepted


def _tell(
    cli: Cli, verb: Verb, host: str, outcome: Outcome, *, name: str, domain: avirt.Domain | None = None, path: str = ""
) -> int:
    if cli.out.format is Format.JSON:
        uuid = None if domain is None else domain.uuid
        cli.out.object(outcome_document(str(verb), host, outcome, uuid=uuid, name=name))
    elif cli.out.format is Format.NAME:
        cli.out.line(name)
    else:
        cli.out.message(_words(outcome, verb).format(name=name, path=path))
    return 0


@asynccontextmanager
async def _one(cli: Cli, domain: str, verb: Verb) -> AsyncGenerator[avirt.Domain]:
    """The domain, with progress shown while the body waits."""
    async with connected(cli) as hosts:
        found = find(hosts, domain)
        async with progress(f"{verb} {found.name}", lambda: _standing(found), quiet=cli.out.quiet):
            yield found


def _standing(domain: avirt.Domain) -> str:
    record = domain.record
    return state_cell(record) if domain.exists else "gone"


async def _do(
    cli: Cli,
    verb: Verb,
    domain: str,
    run: Callable[[avirt.Domain], Awaitable[Outcome]],
    path: str = "",
) -> int:
    async with _one(cli, domain, verb) as found:
        name = found.name
        outcome = await run(found)
    return _tell(cli, verb, found.host.name, outcome, name=name, domain=found, path=path)


async def start(
    cli: Cli,
    domain: str,
    *,
    paused: bool = False,
    autodestroy: bool = False,
    bypass_cache: bool = False,
    force_boot: bool = False,
    reset_nvram: bool = False,
    wait: bool = True,
    timeout: Timeout = None,
) -> int:
    """`avirt start`."""
    return await _do(
        cli,
        Verb.START,
        domain,
        lambda found: found.start(
            paused=paused,
            autodestroy=autodestroy,
            bypass_cache=bypass_cache,
            force_boot=force_boot,
            reset_nvram=reset_nvram,
            wait=wait,
            **_limits(timeout),
        ),
    )


async def shutdown(
    cli: Cli,
    domain: str,
    *,
    modes: tuple[ShutdownMode, ...] = (),
    force_after: float | None = None,
    wait: bool = True,
    timeout: Timeout = None,
) -> int:
    """`avirt shutdown`."""
    return await _do(
        cli,
        Verb.SHUTDOWN,
        domain,
        lambda found: found.shutdown(modes=modes, force_after=force_after, wait=wait, **_limits(timeout)),
    )


async def destroy(cli: Cli, domain: str, *, graceful: bool = False, wait: bool = True, timeout: Timeout = None) -> int:
    """`avirt destroy`."""
    return await _do(
        cli,
        Verb.DESTROY,
        domain,
        lambda found: found.destroy(graceful=graceful, wait=wait, **_limits(timeout)),
    )


async def reboot(
    cli: Cli,
    domain: str,
    *,
    modes: tuple[ShutdownMode, ...] = (),
    wait: bool = True,
    timeout: Timeout = None,
) -> int:
    """`avirt reboot`."""
    return await _do(cli, Verb.REBOOT, domain, lambda found: found.reboot(modes=modes, wait=wait, **_limits(timeout)))


async def reset(cli: Cli, domain: str, *, wait: bool = True, timeout: Timeout = None) -> int:
    """`avirt reset`."""
    return await _do(cli, Verb.RESET, domain, lambda found: found.reset(wait=wait, **_limits(timeout)))


async def suspend(cli: Cli, domain: str, *, wait: bool = True, timeout: Timeout = None) -> int:
    """`avirt suspend`."""
    return await _do(cli, Verb.SUSPEND, domain, lambda found: found.suspend(wait=wait, **_limits(timeout)))


async def resume(cli: Cli, domain: str, *, wait: bool = True, timeout: Timeout = None) -> int:
    """`avirt resume`."""
    return await _do(cli, Verb.RESUME, domain, lambda found: found.resume(wait=wait, **_limits(timeout)))


async def save(
    cli: Cli,
    domain: str,
    file: str,
    *,
    bypass_cache: bool = False,
    xml: str | None = None,
    running: bool = False,
    paused: bool = False,
    wait: bool = True,
    timeout: Timeout = None,
) -> int:
    """`avirt save`. A relative path is one of this process, as for virsh."""
    changed = None if xml is None else await read_file(xml)
    path = await absolute(file)
    return await _do(
        cli,
        Verb.SAVE,
        domain,
        lambda found: found.save(
            path,
            bypass_cache=bypass_cache,
            xml=changed,
            running=running,
            paused=paused,
            wait=wait,
            **_limits(timeout),
        ),
        file,
    )


async def managedsave(
    cli: Cli,
    domain: str,
    *,
    bypass_cache: bool = False,
    running: bool = False,
    paused: bool = False,
    wait: bool = True,
    timeout: Timeout = None,
) -> int:
    """`avirt managedsave`."""
    return await _do(
        cli,
        Verb.MANAGED_SAVE,
        domain,
        lambda found: found.managed_save(
            bypass_cache=bypass_cache, running=running, paused=paused, wait=wait, **_limits(timeout)
        ),
    )


async def managedsave_remove(cli: Cli, domain: str, *, timeout: Timeout = None) -> int:
    """`avirt managedsave-remove`. None to remove is no failure, as for virsh."""

    async def run(found: avirt.Domain) -> Outcome:
        if (await found.info()).managed_save is False:
            record = found.record
            return Outcome(changed=False, observed=True, record=record, revision=record.revision)
        return await found.managed_save_remove(**_limits(timeout))

    return await _do(cli, Verb.MANAGED_SAVE_REMOVE, domain, run)


async def undefine(
    cli: Cli,
    domain: str,
    *,
    managed_save: bool = False,
    snapshots_metadata: bool = False,
    checkpoints_metadata: bool = False,
    nvram: bool = False,
    keep_nvram: bool = False,
    tpm: bool = False,
    keep_tpm: bool = False,
    wait: bool = True,
    timeout: Timeout = None,
) -> int:
    """`avirt undefine`."""
    return await _do(
        cli,
        Verb.UNDEFINE,
        domain,
        lambda found: found.undefine(
            managed_save=managed_save,
            snapshots_metadata=snapshots_metadata,
            checkpoints_metadata=checkpoints_metadata,
            nvram=nvram,
            keep_nvram=keep_nvram,
            tpm=tpm,
            keep_tpm=keep_tpm,
            wait=wait,
            **_limits(timeout),
        ),
    )


async def domrename(cli: Cli, domain: str, new_name: str, *, wait: bool = True, timeout: Timeout = None) -> int:
    """`avirt domrename`."""
    return await _do(cli, Verb.RENAME, domain, lambda found: found.rename(new_name, wait=wait, **_limits(timeout)))


async def autostart(cli: Cli, domain: str, *, disable: bool = False, wait: bool = True, timeout: Timeout = None) -> int:
    """`avirt autostart`."""
    async with _one(cli, domain, Verb.AUTOSTART) as found:
        outcome = await found.set_autostart(not disable, wait=wait, **_limits(timeout))
        name = found.name
    if cli.out.format is Format.TABLE and disable:
        cli.out.message(f"Domain '{name}' unmarked as autostarted")
        return 0
    return _tell(cli, Verb.AUTOSTART, found.host.name, outcome, name=name, domain=found)


# ---------------------------------------------------------------- new domains

_STDIN: Final = "-"
_LARGEST: Final = 16 * 1024 * 1024
"""libvirt takes no longer string (VIR_NET_MESSAGE_STRING_MAX is smaller still): a wrong file is not read whole."""


async def read_file(path: str) -> str:
    """A file of this machine, or standard input.

    Raises:
        OSError: it can't be read.
    """

    def read() -> str:
        if path == _STDIN:
            return sys.stdin.read(_LARGEST)
        with open(path, encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123 - "-" is no path
            return file.read(_LARGEST)

    return await anyio.to_thread.run_sync(read, abandon_on_cancel=True)


async def absolute(path: str) -> str:
    """As virsh does it; no link is followed, for the file is the host's."""
    return await anyio.to_thread.run_sync(os.path.abspath, path)


async def _new(
    cli: Cli, verb: Verb, file: str, run: Callable[[avirt.Host], Awaitable[avirt.Domain]], *, wait: bool = True
) -> int:
    async with connected(cli) as hosts:
        host = hosts.only(verb)
        async with progress(f"{verb} {file}", lambda: "waiting", quiet=cli.out.quiet):
            domain = await run(host)
        outcome = Outcome(changed=True, observed=wait, record=domain.record, revision=domain.record.revision)
    return _tell(cli, verb, host.name, outcome, name=domain.name, domain=domain, path=file)


async def define(cli: Cli, file: str, *, validate: bool = False, timeout: Timeout = None) -> int:
    """`avirt define`."""
    xml = await read_file(file)
    return await _new(cli, Verb.DEFINE, file, lambda host: host.define(xml, validate=validate, **_limits(timeout)))


async def create(
    cli: Cli,
    file: str,
    *,
    paused: bool = False,
    autodestroy: bool = False,
    validate: bool = False,
    reset_nvram: bool = False,
    wait: bool = True,
    timeout: Timeout = None,
) -> int:
    """`avirt create`."""
    xml = await read_file(file)
    return await _new(
        cli,
        Verb.CREATE,
        file,
        lambda host: host.create(
            xml,
            paused=paused,
            autodestroy=autodestroy,
            validate=validate,
            reset_nvram=reset_nvram,
            **_limits(timeout),
        ),
        wait=wait,
    )


async def restore(
    cli: Cli,
    file: str,
    *,
    bypass_cache: bool = False,
    xml: str | None = None,
    running: bool = False,
    paused: bool = False,
    reset_nvram: bool = False,
    wait: bool = True,  # noqa: ARG001 - what the hypervisor accepted is restored
    timeout: Timeout = None,
) -> int:
    """`avirt restore`."""
    changed = None if xml is None else await read_file(xml)
    path = await absolute(file)
    async with connected(cli) as hosts:
        host = hosts.only(Verb.RESTORE)
        async with progress(f"restore {file}", lambda: "waiting", quiet=cli.out.quiet):
            outcome = await host.restore(
                path,
                bypass_cache=bypass_cache,
                xml=changed,
                running=running,
                paused=paused,
                reset_nvram=reset_nvram,
                **_limits(timeout),
            )
    name = outcome.record.name if outcome.record is not None else ""
    return _tell(cli, Verb.RESTORE, host.name, outcome, name=name, path=file)
