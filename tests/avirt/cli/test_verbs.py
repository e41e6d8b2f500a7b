"""The table of verbs fits the functions it names, the issue's list and virsh's spellings."""

from __future__ import annotations

import inspect
import shutil
import subprocess
from importlib import import_module

import pytest

from avirt.cli.help import overview, usage, verb_help
from avirt.cli.parse import GLOBALS, UsageError, parse
from avirt.cli.verbs import GROUPS, ROWS
from avirt.model.state import DomainState

VIRSH = [
    "list",
    "dominfo",
    "domstate",
    "domid",
    "domuuid",
    "domname",
    "domstats",
    "dumpxml",
    "define",
    "undefine",
    "create",
    "start",
    "shutdown",
    "destroy",
    "reboot",
    "reset",
    "suspend",
    "resume",
    "save",
    "restore",
    "managedsave",
    "managedsave-remove",
    "autostart",
    "domrename",
    "event",
    "hostname",
    "uri",
    "version",
    "nodeinfo",
]
OWN = ["watch", "wait", "record", "replay", "hosts", "doctor", "help", "run"]

NOT_SERVED = {
    # storage, snapshots, consoles and passed descriptors come with their own parts of the API
    "list": {
        "--with-snapshot", "--without-snapshot", "--with-checkpoint", "--without-checkpoint", "--with-managed-save",
        "--without-managed-save", "--managed-save", "--title",
    },
    "domstats": {"--enforce", "--backing"},
    "dumpxml": {"--xpath", "--wrap"},
    "undefine": {
        "--storage", "--remove-all-storage", "--delete-storage-volume-snapshots", "--wipe-storage",
    },
    "create": {"--console", "--pass-fds"},
    "start": {"--console", "--pass-fds"},
    "destroy": {"--remove-logs"},
    "save": {"--verbose"},
    "managedsave": {"--verbose"},
}  # fmt: skip
"""Options of virsh 9.0.0 that avirt does not have."""


def test_the_verbs_are_those_of_virsh_and_our_own() -> None:
    assert sorted(ROWS) == sorted(VIRSH + OWN)


@pytest.mark.parametrize("name", [name for name in ROWS if name != "help"])
def test_arguments_of_a_verb_are_parameters_of_its_function(name: str) -> None:
    row = ROWS[name]
    module, _, function = row.run.partition(":")
    parameters = list(inspect.signature(getattr(import_module(module), function)).parameters.values())
    assert parameters[0].name == "cli"
    assert {argument.name for argument in row.arguments} == {parameter.name for parameter in parameters[1:]}
    required = {argument.name for argument in row.arguments if argument.required}
    assert required == {each.name for each in parameters[1:] if each.default is inspect.Parameter.empty}
    operands = {argument.name for argument in row.arguments if argument.operand}
    assert operands == {each.name for each in parameters[1:] if each.kind is not inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize("name", ROWS)
def test_no_option_of_a_verb_hides_one_of_all_verbs(name: str) -> None:
    taken = {argument.spelling for argument in GLOBALS}
    spellings = [argument.spelling for argument in ROWS[name].arguments]
    assert not taken & set(spellings)
    assert len(set(spellings)) == len(spellings)


@pytest.mark.parametrize("name", ROWS)
def test_help_of_a_verb_has_its_options_and_examples_that_parse(name: str) -> None:
    row = ROWS[name]
    text = verb_help(row)
    for argument in row.arguments:
        assert (argument.metavar if argument.operand else argument.spelling) in text
    assert row.examples
    for example in row.examples:
        assert example in text
        words = example.split(" | ")[-1 if " | avirt" in example else 0].split(" || ")[0].split(" > ")[0].split()
        assert words[0] == "avirt"
        assert parse(words[1:], ROWS).row is row


def test_usage_names_operands_first() -> None:
    assert usage(ROWS["domrename"]).startswith("avirt domrename DOMAIN NEW-NAME [--no-wait]")
    assert usage(ROWS["domstats"]).startswith("avirt domstats [DOMAIN...] [--state]")


def test_overview_lists_every_verb_that_is_not_hidden() -> None:
    text = overview()
    for row in ROWS.values():
        assert (f"\n  {row.name} " in text) is not row.hidden
    assert all(f"\n{title}:\n" in text for title in GROUPS.values())
    assert all(len(line) <= 80 for line in text.splitlines())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "shutdown x --mode telepathy",
            "shutdown: --mode: unknown mode in 'telepathy', expecting acpi, agent, initctl",
        ),
        ("start x --timeout 0", "start: --timeout: '0' is no number of seconds above 0"),
        ("start x --timeout nan", "start: --timeout: 'nan' is no number of seconds above 0"),
        (
            "watch --journal x --since abc",
            "watch: --since: 'abc' is no token: give one that was shown, e.g. 9f2c41d0a7b35e68:1234",
        ),
        ("start x --timeout inf", "start: --timeout: 'inf' is no number of seconds above 0"),
        ("wait x flying", "wait: STATE: unknown state 'flying', expecting nostate, running, blocked"),
        ("event --event party", "event: --event: unknown event type 'party'"),
    ],
)
def test_a_wrong_value_is_refused_in_words(line: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(line.split(), ROWS)
    assert caught.value.message.startswith(message)


def test_values_are_converted() -> None:
    assert parse(["wait", "x", "shut off"], ROWS).arguments["state"] is DomainState.SHUTOFF
    assert parse(["shutdown", "x", "--mode", "agent,acpi"], ROWS).arguments["modes"] == ("agent", "acpi")
    assert parse(["event", "--event", "lifecycle"], ROWS).arguments["event"] == "lifecycle"


@pytest.mark.real
@pytest.mark.parametrize("name", VIRSH)
def test_every_option_of_virsh_is_known(name: str) -> None:
    """What virsh's own help says is spelled the same here, or is listed above."""
    if shutil.which("virsh") is None:
        pytest.skip("virsh is not installed")
    text = subprocess.run(["virsh", "help", name], capture_output=True, text=True, check=True).stdout
    synopsis = text.split("SYNOPSIS")[1].split("\n\n")[0]
    theirs = {word.strip("[]<>").split("=")[0] for word in synopsis.split() if word.strip("[]").startswith("--")}
    ours = {argument.spelling for argument in ROWS[name].arguments}
    assert theirs - ours == NOT_SERVED.get(name, set()) & theirs
