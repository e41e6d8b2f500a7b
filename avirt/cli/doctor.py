"""`avirt doctor`: connects step by step, and says in words what works, what does not and what to do."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import anyio
from anyio import to_thread

import avirt
from avirt.cli.codes import exit_code
from avirt.cli.connections import Cli, open_host
from avirt.cli.output import clean, counted
from avirt.cli.parse import Format
from avirt.drivers.libvirt.sockets import Surroundings, Target, resolve
from avirt.drivers.registry import load_driver
from avirt.errors import (
    AccessDenied,
    AuthError,
    AvirtError,
    CannotConnect,
    InvalidURI,
    OperationTimeout,
    RemoteProtocolError,
    Unsupported,
)
from avirt.model.document import Json, plain
from avirt.uri import URI

__all__ = ["doctor"]

_INSTALL: Final = (
    "install one (Debian: apt install libvirt-daemon-system), name one (avirt doctor URI), or try sim://demo"
)


_NO_CONNECT: Final = 5
"""VIR_ERR_NO_CONNECT: the daemon has no driver for the URI (libvirt/virterror.h)."""


class _Report:
    """Prints findings as they come."""

    def __init__(self, cli: Cli) -> None:
        self._out = cli.out
        self._documents: list[Json] = []
        self._uri = ""
        self.code = 0

    def begin(self, uri: str) -> None:
        """The next hypervisor."""
        self._uri = uri
        if self._out.format is Format.TABLE:
            self._out.line(clean(uri))

    def say(self, finding: avirt.Finding) -> None:
        """One step."""
        if self._out.format is Format.JSON:
            document = plain(finding)
            assert isinstance(document, dict)
            self._documents.append({"uri": self._uri, **document, "hint": finding.hint or None})
        elif self._out.format is Format.NAME:
            if finding.ok is False:
                self._out.line(finding.step)
        else:
            mark = {True: "ok", False: "FAILED", None: "note"}[finding.ok]
            self._out.line(f"  {mark:<7} {finding.step:<15} {clean(finding.text)}")
            if finding.hint:
                self._out.line(f"  {'':<7} {'':<15} -> {clean(finding.hint)}")
        self._out.flush()

    def ok(self, step: str, text: str) -> None:
        """It works."""
        self.say(avirt.Finding(step=step, ok=True, text=text))

    def fail(self, step: str, error: AvirtError) -> None:
        """It does not: the end of this hypervisor's examination."""
        self.say(avirt.Finding(step=step, ok=False, text=error.message, hint=error.hint))
        self.code = self.code or exit_code(error)

    def end(self) -> None:
        """All was said."""
        if self._out.format is Format.JSON:
            self._out.objects(self._documents)


async def doctor(cli: Cli, uri: str | None = None) -> int:
    """`avirt doctor`. The exit code is that of the first failure."""
    report = _Report(cli)
    given = [("", uri)] if uri is not None else list(cli.options.uris)
    if given:
        for name, each in given:
            await _examine(cli, report, name, each, "")
    else:
        await _examine_found(cli, report)
    report.end()
    return report.code


async def _examine_found(cli: Cli, report: _Report) -> None:
    try:
        found = await to_thread.run_sync(avirt.discover)
    except AvirtError as error:
        report.begin("this machine")
        report.fail("environment", error)
        return
    for each in found:
        await _examine(cli, report, "", str(each.uri), "" if each.source == "socket" else f" (from {each.source})")
    if not found:
        report.begin("this machine")
        for variable in ("AVIRT_URI", "LIBVIRT_DEFAULT_URI"):
            report.say(avirt.Finding(step="environment", ok=None, text=f"{variable} is not set"))
        report.say(
            avirt.Finding(step="sockets", ok=None, text="none of libvirt's daemons has a socket in " + _folders())
        )
        report.fail("hypervisor", CannotConnect("none was found on this machine", hint=_INSTALL))


def _folders() -> str:
    around = _surroundings()
    return "/var/run/libvirt" if around.uid == 0 else f"/var/run/libvirt or {around.runtime_dir}"


def _surroundings() -> Surroundings:
    return Surroundings(environ=os.environ, uid=os.getuid(), exists=os.path.exists)


async def _examine(cli: Cli, report: _Report, name: str, text: str, source: str) -> None:
    try:
        uri = avirt.parse_uri(text)
    except AvirtError as error:
        report.begin(name or "the URI")
        report.fail("uri", error)
        return
    report.begin(str(uri))
    report.ok("uri", f"well formed{source}")
    try:
        driver = await load_driver(uri.scheme)
    except AvirtError as error:
        report.fail("driver", error)
        return
    report.ok("driver", f"'{uri.scheme}' is served by avirt's driver '{driver.name}'")
    if driver.name == "libvirt" and not _check_socket(cli, report, uri):
        return
    await _connect(cli, report, name, text)


# ---------------------------------------------------------------- libvirt's socket


def _check_socket(cli: Cli, report: _Report, uri: URI) -> bool:
    try:
        target = resolve(uri, _surroundings(), read_only=cli.options.readonly)
    except AvirtError as error:
        report.fail("uri" if isinstance(error, InvalidURI) else "transport", error)
        return False
    if target.path.startswith("@"):
        report.say(avirt.Finding(step="socket", ok=None, text=f"{target.path} is abstract: no file to look at"))
        return True
    try:
        for step, text in _look(target):
            report.ok(step, text)
    except AvirtError as error:
        report.fail(error.verb, error)
        return False
    return True


def _look(target: Target) -> Iterator[tuple[str, str]]:
    """What there is to see of the socket without opening it.

    Raises:
        AvirtError: something is wrong; `verb` is the step.
    """
    path = Path(target.path)
    start = f"systemctl enable --now {target.daemon}.socket"
    try:
        status = path.stat()
    except FileNotFoundError:
        hint = f"start the daemon: {'libvirtd -d' if target.is_session else start}; or say where: URI?socket=PATH"
        raise CannotConnect(f"{path} is missing: {target.daemon} is not running", hint=hint, verb="socket") from None
    except OSError as error:
        hint = "a folder above it is closed to you: run as root, or ask for access"
        raise CannotConnect(f"{path}: {error.strerror}", hint=hint, verb="permission") from None
    if not stat.S_ISSOCK(status.st_mode):
        raise CannotConnect(f"{path} is no socket", hint="check socket= in the URI", verb="socket")
    owner, group = _owner(status)
    rights = f"{stat.filemode(status.st_mode)} {owner} {group}"
    yield "socket", f"{path} is there"
    if not os.access(path, os.R_OK | os.W_OK):
        hint = f"join its group: sudo adduser $USER {group}, then log in again; or connect read-only: avirt -r"
        raise CannotConnect(f"{path} is closed to you ({rights})", hint=hint, verb="permission")
    yield "permission", f"may be opened ({rights})"


def _owner(status: os.stat_result) -> tuple[str, str]:
    import grp
    import pwd

    def name(find: Callable[[int], tuple[object, ...]], number: int) -> str:
        try:
            return str(find(number)[0])
        except KeyError:
            return str(number)

    return name(pwd.getpwuid, status.st_uid), name(grp.getgrgid, status.st_gid)


# ---------------------------------------------------------------- the connection


async def _connect(cli: Cli, report: _Report, name: str, uri: str) -> None:
    began = anyio.current_time()
    try:
        async with open_host(cli, name, uri) as host:
            report.ok("connection", f"open and authenticated in {_took(began)}")
            facts = host.facts
            version = "" if facts.version is None else " " + ".".join(map(str, facts.version))
            server = facts.driver_version
            through = "" if server is None else f", through {facts.driver} {'.'.join(map(str, server))}"
            report.ok("hypervisor", f"{facts.product}{version} on {facts.hostname}{through}")
            view = host.view.values()
            report.ok("listing", f"{counted(len(view), 'domain')}, {sum(record.active for record in view)} active")
            if facts.read_only:
                text = "read-only: nothing can be changed over this connection"
                report.say(avirt.Finding(step="access", ok=None, text=text, hint="leave -r out to change something"))
            else:
                report.ok("access", "read and write")
            await host.hostname()  # the first call opens what it needs
            began = anyio.current_time()
            await host.hostname()
            report.ok("calls", f"one was answered in {_took(began)}")
            for finding in await host.diagnose():
                report.say(finding)
                if finding.ok is False:
                    report.code = report.code or 1
    except AvirtError as error:
        report.fail(_step(error), error)


def _took(began: float) -> str:
    seconds = anyio.current_time() - began
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _step(error: AvirtError) -> str:
    """Which step failed, by what was raised."""
    if isinstance(error, AuthError):
        return "authentication"
    if isinstance(error, AccessDenied):
        return "permission"
    if isinstance(error, OperationTimeout):
        return "answer"
    if error.code == _NO_CONNECT:
        return "hypervisor"
    if isinstance(error, CannotConnect | RemoteProtocolError):
        return "connection"
    if isinstance(error, Unsupported | InvalidURI):
        return "driver"
    return "hypervisor"
