"""The verbs of the CLI: one table from which the parser and the help take everything. Names are virsh's."""

from __future__ import annotations

import math
from typing import Final

from avirt.cli.parse import Argument, Row
from avirt.errors import InvalidArgument
from avirt.model.command import ShutdownMode
from avirt.model.state import DomainState

__all__ = ["GROUPS", "ROWS"]

GROUPS: Final[dict[str, str]] = {
    "domain": "Domains: what there is",
    "power": "Domains: change their state",
    "definition": "Domains: change their definition",
    "stream": "Watch and wait",
    "host": "Hosts",
}
"""Groups of verbs in the help, in order."""


# ---------------------------------------------------------------- values


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ValueError(f"'{text}' is no number of seconds above 0")
    return seconds


def _speed(text: str) -> float:
    if text == "max":
        return math.inf
    try:
        return _seconds(text)
    except ValueError:
        raise ValueError(f"'{text}' is no speed: a number above 0, or max") from None


def _token(text: str) -> str:
    from avirt.events.token import Token  # for this option alone

    try:
        return str(Token.parse(text))
    except InvalidArgument:
        raise ValueError(f"'{text[:80]}' is no token: give one that was shown, e.g. 9f2c41d0a7b35e68:1234") from None


def _modes(text: str) -> tuple[ShutdownMode, ...]:
    try:
        return tuple(ShutdownMode(word.strip()) for word in text.split(","))
    except ValueError:
        raise ValueError(f"unknown mode in '{text}', expecting {', '.join(ShutdownMode)}") from None


def _state(text: str) -> DomainState:
    from avirt.cli.words import parse_state

    return parse_state(text)


def _event(text: str) -> str:
    from avirt.cli.event_text import EVENTS

    if text not in EVENTS:
        raise ValueError(f"unknown event type '{text}'; `avirt event --list` lists them")
    return text


# ---------------------------------------------------------------- arguments that recur


def _flag(spelling: str, help: str, name: str = "", value: object = True) -> Argument:
    return Argument(name=name or spelling[2:].replace("-", "_"), spelling=spelling, help=help, value=value)


_DOMAIN: Final = Argument(
    name="domain",
    spelling="--domain",
    operand=True,
    required=True,
    metavar="DOMAIN",
    help="name, id or uuid; HOST/NAME where several hosts have one of that name",
)
_MAYBE_DOMAIN: Final = Argument(
    name="domain", spelling="--domain", operand=True, metavar="DOMAIN", help="only this one: name, id or uuid"
)
_FILE: Final = Argument(
    name="file",
    spelling="--file",
    operand=True,
    required=True,
    metavar="FILE",
    help="a file with the domain's XML; - for standard input",
)
_RECORDING: Final = Argument(
    name="file", spelling="--file", operand=True, required=True, metavar="FILE", help="the recording"
)
_TIMEOUT: Final = Argument(
    name="timeout",
    spelling="--timeout",
    metavar="SECONDS",
    convert=_seconds,
    help="how long to wait for the effect",
)
_NO_WAIT: Final = _flag("--no-wait", "return when the hypervisor accepted, not when the effect was seen", "wait", False)
_WAITING: Final = (_NO_WAIT, _TIMEOUT)
_MODE: Final = Argument(
    name="modes",
    spelling="--mode",
    metavar="MODE",
    convert=_modes,
    help="how to ask the guest: acpi, agent, initctl, signal, paravirt; several with commas",
)
_BYPASS_CACHE: Final = _flag("--bypass-cache", "go around the file system's cache")
_XML: Final = Argument(name="xml", spelling="--xml", metavar="FILE", help="a file with changed XML for the restore")
_RUNNING: Final = _flag("--running", "running after the restore")
_PAUSED: Final = _flag("--paused", "paused after the restore")
_VALIDATE: Final = _flag("--validate", "check the XML against the schema")
_STARTING: Final = (
    _flag("--paused", "leave it paused"),
    _flag("--autodestroy", "destroy it when this connection ends"),
)
_RESET_NVRAM: Final = _flag("--reset-nvram", "make its NVRAM anew from the template")


# ---------------------------------------------------------------- the table

_LIST: Final = Row(
    name="list",
    summary="list domains: the active ones, unless told otherwise",
    run="avirt.cli.host:list_domains",
    group="domain",
    arguments=(
        _flag("--all", "inactive ones too", "everything"),
        _flag("--inactive", "inactive ones only"),
        _flag("--state-running", "only running ones"),
        _flag("--state-paused", "only paused ones"),
        _flag("--state-shutoff", "only those that are shut off"),
        _flag("--state-other", "only those in another state"),
        _flag("--persistent", "only persistent ones"),
        _flag("--transient", "only transient ones"),
        _flag("--autostart", "only those that start with the host"),
        _flag("--no-autostart", "only those that do not"),
        _flag("--uuid", "print uuids only"),
        _flag("--id", "print ids only"),
        _flag("--name", "print names only", "names"),
        _flag("--table", "print a table (the default)"),
    ),
    examples=(
        "avirt list --all",
        "avirt -c qemu:///system list --state-running --name",
        "avirt -c a=qemu+unix:///system?socket=/a -c b=test:///default list --all -o json",
    ),
    notes="With several -c each host's domains follow one another, under a Host column.",
)

_DOMAIN_READS: Final = (
    Row(
        name="dominfo",
        summary="what is known of a domain",
        run="avirt.cli.domain:dominfo",
        group="domain",
        arguments=(_DOMAIN,),
        examples=("avirt dominfo web1", "avirt -o json dominfo web1"),
    ),
    Row(
        name="domstate",
        summary="a domain's state",
        run="avirt.cli.domain:domstate",
        group="domain",
        arguments=(_DOMAIN, _flag("--reason", "and why it is in it")),
        examples=("avirt domstate web1 --reason",),
    ),
    Row(
        name="domid",
        summary="a domain's id, by name or uuid",
        run="avirt.cli.domain:domid",
        group="domain",
        arguments=(_DOMAIN,),
        examples=("avirt domid web1",),
    ),
    Row(
        name="domuuid",
        summary="a domain's uuid, by name or id",
        run="avirt.cli.domain:domuuid",
        group="domain",
        arguments=(_DOMAIN,),
        examples=("avirt domuuid web1",),
    ),
    Row(
        name="domname",
        summary="a domain's name, by id or uuid",
        run="avirt.cli.domain:domname",
        group="domain",
        arguments=(_DOMAIN,),
        examples=("avirt domname 7",),
    ),
    Row(
        name="domstats",
        summary="statistics of some domains, or of all",
        run="avirt.cli.stats:domstats",
        group="domain",
        arguments=(
            Argument(
                name="domains", spelling="--domain", operand=True, many=True, metavar="DOMAIN", help="name, id or uuid"
            ),
            _flag("--state", "their state"),
            _flag("--cpu-total", "physical CPU time"),
            _flag("--balloon", "memory balloon"),
            _flag("--vcpu", "virtual CPUs"),
            _flag("--interface", "network interfaces"),
            _flag("--block", "block devices"),
            _flag("--perf", "perf events"),
            _flag("--iothread", "I/O threads"),
            _flag("--memory", "memory bandwidth"),
            _flag("--dirtyrate", "dirty page rate"),
            _flag("--vm", "what the hypervisor adds of its own"),
            _flag("--list-active", "only active domains"),
            _flag("--list-inactive", "only inactive domains"),
            _flag("--list-persistent", "only persistent domains"),
            _flag("--list-transient", "only transient domains"),
            _flag("--list-running", "only running domains"),
            _flag("--list-paused", "only paused domains"),
            _flag("--list-shutoff", "only domains that are shut off"),
            _flag("--list-other", "only domains in another state"),
            _flag("--raw", "as the hypervisor gives it (avirt never changes it)"),
            _flag("--nowait", "leave out what a busy domain can't answer at once"),
        ),
        examples=("avirt domstats", "avirt domstats web1 --cpu-total --block", "avirt domstats --list-active -o json"),
        notes="No group given: all that the hypervisor knows.",
    ),
    Row(
        name="dumpxml",
        summary="a domain's XML",
        run="avirt.cli.domain:dumpxml",
        group="domain",
        arguments=(
            _DOMAIN,
            _flag("--inactive", "the XML of its next start"),
            _flag("--security-info", "with passwords", "secure"),
            _flag("--update-cpu", "with the host's CPU filled in"),
            _flag("--migratable", "fit for another host"),
        ),
        examples=("avirt dumpxml web1 > web1.xml", "avirt dumpxml web1 --inactive"),
    ),
)

_POWER: Final = (
    Row(
        name="start",
        summary="start a defined domain",
        run="avirt.cli.domain:start",
        group="power",
        arguments=(
            _DOMAIN,
            *_STARTING,
            _BYPASS_CACHE,
            _flag("--force-boot", "boot afresh, dropping a managed save image"),
            _RESET_NVRAM,
            *_WAITING,
        ),
        examples=("avirt start web1", "avirt start web1 --paused --timeout 20"),
    ),
    Row(
        name="shutdown",
        summary="ask a domain's guest to shut down",
        run="avirt.cli.domain:shutdown",
        group="power",
        arguments=(
            _DOMAIN,
            _MODE,
            Argument(
                name="force_after",
                spelling="--force-after",
                metavar="SECONDS",
                convert=_seconds,
                help="destroy it if it is not down by then",
            ),
            *_WAITING,
        ),
        examples=("avirt shutdown web1", "avirt shutdown web1 --mode agent,acpi --force-after 60"),
        notes="virsh returns once the guest was asked; avirt once the domain is down. `--no-wait` does as virsh.",
    ),
    Row(
        name="destroy",
        summary="take a domain's power away",
        run="avirt.cli.domain:destroy",
        group="power",
        arguments=(_DOMAIN, _flag("--graceful", "do not kill a process that does not end"), *_WAITING),
        examples=("avirt destroy web1",),
    ),
    Row(
        name="reboot",
        summary="ask a domain's guest to reboot",
        run="avirt.cli.domain:reboot",
        group="power",
        arguments=(_DOMAIN, _MODE, *_WAITING),
        examples=("avirt reboot web1", "avirt reboot web1 --mode agent --no-wait"),
    ),
    Row(
        name="reset",
        summary="press a domain's reset button",
        run="avirt.cli.domain:reset",
        group="power",
        arguments=(_DOMAIN, *_WAITING),
        examples=("avirt reset web1",),
    ),
    Row(
        name="suspend",
        summary="pause a domain; its memory stays in the host's RAM",
        run="avirt.cli.domain:suspend",
        group="power",
        arguments=(_DOMAIN, *_WAITING),
        examples=("avirt suspend web1",),
    ),
    Row(
        name="resume",
        summary="let a paused domain go on",
        run="avirt.cli.domain:resume",
        group="power",
        arguments=(_DOMAIN, *_WAITING),
        examples=("avirt resume web1",),
    ),
    Row(
        name="save",
        summary="save a domain's memory to a file of the host, and stop it",
        run="avirt.cli.domain:save",
        group="power",
        arguments=(
            _DOMAIN,
            Argument(
                name="file",
                spelling="--file",
                operand=True,
                required=True,
                metavar="FILE",
                help="where on the host; a relative path starts here",
            ),
            _BYPASS_CACHE,
            _XML,
            _RUNNING,
            _PAUSED,
            *_WAITING,
        ),
        examples=("avirt save web1 /var/tmp/web1.save",),
    ),
    Row(
        name="restore",
        summary="start a domain from a file that `save` wrote",
        run="avirt.cli.domain:restore",
        group="power",
        arguments=(
            Argument(
                name="file",
                spelling="--file",
                operand=True,
                required=True,
                metavar="FILE",
                help="where on the host; a relative path starts here",
            ),
            _BYPASS_CACHE,
            _XML,
            _RUNNING,
            _PAUSED,
            _RESET_NVRAM,
            *_WAITING,
        ),
        examples=("avirt restore /var/tmp/web1.save",),
    ),
    Row(
        name="managedsave",
        summary="save a domain where the hypervisor keeps such images; the next start restores it",
        run="avirt.cli.domain:managedsave",
        group="power",
        arguments=(_DOMAIN, _BYPASS_CACHE, _RUNNING, _PAUSED, *_WAITING),
        examples=("avirt managedsave web1",),
    ),
    Row(
        name="managedsave-remove",
        summary="drop a domain's managed save image",
        run="avirt.cli.domain:managedsave_remove",
        group="power",
        arguments=(_DOMAIN, _TIMEOUT),
        examples=("avirt managedsave-remove web1",),
    ),
)

_DEFINITION: Final = (
    Row(
        name="define",
        summary="define a domain from XML, without starting it",
        run="avirt.cli.domain:define",
        group="definition",
        arguments=(_FILE, _VALIDATE, _TIMEOUT),
        examples=("avirt define web1.xml", "avirt dumpxml web1 | sed s/web1/web2/ | avirt define -"),
    ),
    Row(
        name="create",
        summary="start a transient domain from XML",
        run="avirt.cli.domain:create",
        group="definition",
        arguments=(_FILE, *_STARTING, _VALIDATE, _RESET_NVRAM, *_WAITING),
        examples=("avirt create web1.xml --paused",),
    ),
    Row(
        name="undefine",
        summary="forget a domain's definition; an active one goes on as a transient one",
        run="avirt.cli.domain:undefine",
        group="definition",
        arguments=(
            _DOMAIN,
            _flag("--managed-save", "drop its managed save image"),
            _flag("--snapshots-metadata", "forget its snapshots"),
            _flag("--checkpoints-metadata", "forget its checkpoints"),
            _flag("--nvram", "remove its NVRAM file"),
            _flag("--keep-nvram", "keep its NVRAM file"),
            _flag("--tpm", "remove its TPM's state"),
            _flag("--keep-tpm", "keep its TPM's state"),
            *_WAITING,
        ),
        examples=("avirt undefine web1", "avirt undefine web1 --nvram --managed-save"),
    ),
    Row(
        name="domrename",
        summary="rename an inactive domain",
        run="avirt.cli.domain:domrename",
        group="definition",
        arguments=(
            _DOMAIN,
            Argument(
                name="new_name",
                spelling="--new-name",
                operand=True,
                required=True,
                metavar="NEW-NAME",
                help="its new name",
            ),
            *_WAITING,
        ),
        examples=("avirt domrename web1 web2",),
    ),
    Row(
        name="autostart",
        summary="start a domain with the host, or not",
        run="avirt.cli.domain:autostart",
        group="definition",
        arguments=(_DOMAIN, _flag("--disable", "do not start it with the host"), *_WAITING),
        examples=("avirt autostart web1", "avirt autostart web1 --disable"),
    ),
)

_STREAM: Final = (
    Row(
        name="watch",
        summary="what there is, then every change, until Ctrl-C",
        run="avirt.cli.watch:watch",
        group="stream",
        arguments=(
            _MAYBE_DOMAIN,
            _flag("--plain", "lines, not a live view, on a terminal too"),
            Argument(
                name="settle",
                spelling="--settle",
                metavar="SECONDS",
                convert=_seconds,
                help="one line for all that happened to a domain until it was quiet for so long",
            ),
            Argument(
                name="audit",
                spelling="--audit",
                metavar="SECONDS",
                convert=_seconds,
                help="list every so often, and show what no event told",
            ),
            Argument(
                name="journal",
                spelling="--journal",
                metavar="FILE",
                help="keep all that is watched in FILE, and go on where its last process ended",
            ),
            Argument(
                name="since",
                spelling="--since",
                metavar="TOKEN",
                convert=_token,
                help="what the journal has from there on, instead of what there is",
            ),
            _flag("--durable", "show a change only once it is in the journal"),
            Argument(
                name="timeout", spelling="--timeout", metavar="SECONDS", convert=_seconds, help="end after so long"
            ),
        ),
        examples=(
            "avirt watch",
            "avirt watch web1 --plain",
            "avirt watch --settle 5",
            "avirt -o json watch | jq -c 'select(.kind != \"snapshot\")'",
        ),
        notes="On a terminal a live view. -o json: one object a line (docs/json.md), each line flushed.",
        lasting=True,
    ),
    Row(
        name="wait",
        summary="wait until a domain is in a state; true at once if it is",
        run="avirt.cli.watch:wait",
        group="stream",
        arguments=(
            _DOMAIN,
            Argument(
                name="state",
                spelling="--state",
                operand=True,
                required=True,
                metavar="STATE",
                convert=_state,
                help="running, paused, shutoff, crashed, pmsuspended, shutdown, blocked or nostate",
            ),
            Argument(
                name="timeout", spelling="--timeout", metavar="SECONDS", convert=_seconds, help="give up after so long"
            ),
        ),
        examples=("avirt wait web1 shutoff --timeout 60 || avirt destroy web1",),
        notes="Exit code 5 when the time is up, 3 when the domain is removed.",
    ),
    Row(
        name="event",
        summary="print the hypervisor's events, as virsh does",
        run="avirt.cli.event:event",
        group="stream",
        arguments=(
            _MAYBE_DOMAIN,
            Argument(
                name="event",
                spelling="--event",
                metavar="NAME",
                convert=_event,
                help="only events of this type",
            ),
            _flag("--all", "events of all types (the default)", "everything"),
            _flag("--loop", "go on until the time is up or Ctrl-C, not just to the first event"),
            Argument(
                name="timeout", spelling="--timeout", metavar="SECONDS", convert=_seconds, help="give up after so long"
            ),
            _flag("--list", "list the types of events", "listing"),
            _flag("--timestamp", "print the time before each event"),
        ),
        examples=(
            "avirt event --list",
            "avirt event web1 --event lifecycle --loop --timestamp",
            "avirt event --timeout 60",
        ),
        notes="Exit code 5 when the time is up and no event came.",
        lasting=True,
    ),
    Row(
        name="record",
        summary="record what happens on a connection into a file, until Ctrl-C: for a bug report",
        run="avirt.cli.record:record",
        group="stream",
        arguments=(
            _RECORDING,
            _flag("--force", "replace the file if it is there"),
            Argument(
                name="timeout", spelling="--timeout", metavar="SECONDS", convert=_seconds, help="end after so long"
            ),
        ),
        examples=("avirt -c qemu:///system record bug.avirt", "avirt record bug.avirt --timeout 60 --force"),
        notes="Passwords, XML and what guests send are not in the file (docs/record.md). Only you can read it.",
        lasting=True,
        ends_quietly=True,
    ),
    Row(
        name="replay",
        summary="play a recording again, and compare what follows with what followed then",
        run="avirt.cli.record:replay",
        group="stream",
        arguments=(
            _RECORDING,
            Argument(
                name="speed",
                spelling="--speed",
                metavar="N",
                convert=_speed,
                help="so many times as fast as it was; max (the default): as fast as it goes",
            ),
            _flag("--items", "from what the driver saw, not from the frames"),
        ),
        examples=("avirt replay bug.avirt", "avirt replay bug.avirt --speed 10", "avirt replay bug.avirt -o json"),
        notes="Prints what `avirt watch` would have. Exit code 1 if anything follows otherwise than then.",
        lasting=True,
    ),
    Row(
        name="run",
        summary="the live view of this machine's hypervisors, or of sim://demo where there is none",
        run="avirt.cli.live:run",
        group="stream",
        arguments=(_flag("--plain", "lines, not a live view, on a terminal too"),),
        examples=("avirt run",),
        lasting=True,
        ends_quietly=True,
        hidden=True,
    ),
)

_HOST: Final = (
    Row(
        name="hostname",
        summary="the hypervisor's own name",
        run="avirt.cli.host:hostname",
        group="host",
        examples=("avirt hostname",),
    ),
    Row(
        name="uri",
        summary="the URI by which the hypervisor knows itself",
        run="avirt.cli.host:uri",
        group="host",
        examples=("avirt uri",),
    ),
    Row(
        name="version",
        summary="versions of avirt, of the server in between and of the hypervisor",
        run="avirt.cli.host:version",
        group="host",
        arguments=(_flag("--daemon", "as virsh's; avirt always says it"),),
        examples=("avirt version",),
    ),
    Row(
        name="nodeinfo",
        summary="the host's hardware",
        run="avirt.cli.host:nodeinfo",
        group="host",
        examples=("avirt nodeinfo",),
    ),
    Row(
        name="hosts",
        summary="the hypervisors that were found on this machine",
        run="avirt.cli.host:hosts",
        group="host",
        examples=("avirt hosts", "avirt hosts -o name"),
    ),
    Row(
        name="doctor",
        summary="connect step by step; say what works, what does not and what to do",
        run="avirt.cli.doctor:doctor",
        group="host",
        arguments=(Argument(name="uri", spelling="--uri", operand=True, metavar="URI", help="the hypervisor"),),
        examples=("avirt doctor", "avirt doctor qemu:///system"),
    ),
    Row(
        name="help",
        summary="this help, or a verb's",
        run="",
        group="host",
        arguments=(Argument(name="verb", spelling="--command", operand=True, metavar="VERB", help="the verb"),),
        examples=("avirt help start",),
    ),
)

ROWS: Final[dict[str, Row]] = {
    row.name: row for row in (_LIST, *_DOMAIN_READS, *_POWER, *_DEFINITION, *_STREAM, *_HOST)
}
"""Every verb, in the help's order."""
