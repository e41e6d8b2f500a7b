"""Verbs about hosts, against simulated hypervisors."""

from __future__ import annotations

import pytest

from tests.avirt.cli.conftest import Run

SIM = ("-c", "sim://quiet")
TWO = ("-c", "a=sim://quiet", "-c", "b=sim://quiet?domains=1")
DOWN = "test+unix:///default?socket=/no/such/socket"


# ---------------------------------------------------------------- list


def test_list_shows_active_domains_in_virshs_table(run: Run) -> None:
    ran = run(*SIM, "list")
    assert (ran.code, ran.err) == (0, "")
    assert ran.lines == [
        " Id   Name   State",
        "----------------------",
        " 1    vm1    running",
        " 2    vm2    running",
        "",
    ]


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_list_all_has_the_inactive_ones_last(run: Run, loop: str) -> None:
    lines = run(*SIM, "list", "--all", backend=loop).lines
    assert lines[2:] == [" 1    vm1    running", " 2    vm2    running", " -    vm3    shut off", ""]


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ("--name", "vm1 vm2"),
        ("--all --name", "vm1 vm2 vm3"),
        ("--inactive --name", "vm3"),
        ("--state-running --name", "vm1 vm2"),
        ("--state-shutoff --name", "vm3"),
        ("--state-running --state-shutoff --name", "vm1 vm2 vm3"),
        ("--state-paused --all --name", ""),
        ("--state-other --all --name", ""),
        ("--all --persistent --name", "vm1 vm2 vm3"),
        ("--all --transient --name", ""),
        ("--all --persistent --transient --name", "vm1 vm2 vm3"),
        ("--all --autostart --name", ""),
        ("--all --no-autostart --name", "vm1 vm2 vm3"),
        ("--all -o name", "vm1 vm2 vm3"),
    ],
)
def test_list_filters_as_virsh(run: Run, options: str, names: str) -> None:
    ran = run(*SIM, "list", *options.split())
    assert (ran.code, ran.out.split()) == (0, names.split())


def test_list_prints_ids_of_active_domains_only(run: Run) -> None:
    assert run(*SIM, "list", "--all", "--id").lines == ["1", "2"]
    assert run(*SIM, "list", "--all", "--id", "--name").lines == ["1 vm1", "2 vm2", "- vm3"]


def test_list_prints_uuids_first(run: Run) -> None:
    uuids = run(*SIM, "list", "--all", "--uuid").lines
    assert all(len(uuid) == 36 for uuid in uuids)
    assert run(*SIM, "list", "--all", "--uuid", "--name").lines[0] == f"{uuids[0]} vm1"


def test_list_takes_no_table_of_names(run: Run) -> None:
    ran = run(*SIM, "list", "--table", "--name")
    assert (ran.code, ran.err) == (2, "error: list: --table goes with none of --uuid, --id and --name\n")
    assert run(*SIM, "list", "--table").code == 0


def test_list_as_json_is_an_array_of_domains(run: Run) -> None:
    domains = run(*SIM, "list", "--all", "-o", "json").json
    assert [domain["name"] for domain in domains] == ["vm1", "vm2", "vm3"]
    promised = {"host", "name", "uuid", "id", "state", "reason", "transition", "certainty", "observed_at", "persistent",
                "autostart", "native"}  # fmt: skip
    assert all(promised <= domain.keys() for domain in domains)
    assert [(domain["id"], domain["state"]) for domain in domains] == [
        (1, "running"),
        (2, "running"),
        (None, "shutoff"),
    ]


def test_list_of_nothing_is_an_empty_array(run: Run) -> None:
    assert run("-c", "sim://quiet?domains=0", "list", "--all", "-o", "json").json == []
    assert run("-c", "sim://quiet?domains=0", "list", "--all").lines == [
        " Id   Name   State",
        "--------------------",
        "",
    ]


def test_quiet_list_has_rows_only(run: Run) -> None:
    assert run(*SIM, "-q", "list").lines == [" 1   vm1   running", " 2   vm2   running"]


def test_several_hosts_have_a_column_each(run: Run) -> None:
    assert run(*TWO, "list").lines[:3] == [
        " Host   Id   Name   State",
        "-----------------------------",
        " a      1    vm1    running",
    ]
    assert run(*TWO, "list", "-o", "name").lines == ["a/vm1", "a/vm2", "b/vm1"]
    assert {domain["host"] for domain in run(*TWO, "list", "-o", "json").json} == {"a", "b"}


def test_a_host_without_a_name_is_called_by_its_uri(run: Run) -> None:
    hosts = {domain["host"] for domain in run("-c", "sim://one", "-c", "sim://two", "list", "-o", "json").json}
    assert hosts == {"sim://one", "sim://two"}


# ---------------------------------------------------------------- hosts that are down


def test_a_host_that_is_down_ends_with_4(run: Run) -> None:
    ran = run("-c", DOWN, "list")
    assert (ran.code, ran.out) == (4, "")
    assert ran.err.startswith("error: ")
    assert len(ran.err.splitlines()) == 2


def test_one_of_several_that_is_down_leaves_the_others(run: Run) -> None:
    ran = run("-c", "a=sim://quiet", "-c", f"b={DOWN}", "list", "--name")
    assert (ran.code, ran.lines) == (4, ["vm1", "vm2"])
    assert ran.err.startswith("error: b: ")


def test_all_of_several_that_are_down_are_a_line_each(run: Run) -> None:
    ran = run("-c", f"a={DOWN}", "-c", f"b={DOWN}", "list")
    assert (ran.code, ran.out) == (4, "")
    said = [line.split(": ")[1] for line in ran.err.splitlines() if line.startswith("error")]
    assert sorted(said) == ["a", "b"]  # in the order in which they failed


def test_an_unknown_scheme_is_wrong_usage(run: Run) -> None:
    ran = run("-c", "foo://bar", "list")
    assert ran.code == 2
    assert ran.err.startswith("error: no driver for the scheme 'foo'\nhint: known schemes: ")
    assert run("-c", "a=foo://bar", "-c", "b=sim://quiet", "list").code == 2


@pytest.mark.parametrize("uri", ["qemu", "qemu:/system", "://x", "sim://quiet?domains=many", "qemu+unix://host/system"])
def test_a_malformed_uri_is_wrong_usage(run: Run, uri: str) -> None:
    ran = run("-c", uri, "list")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: ")


def test_a_password_is_never_printed(run: Run) -> None:
    ran = run("-c", "qemu+tcp://me:canary@host/system", "list")
    assert "canary" not in ran.err + ran.out


def test_two_hosts_of_one_name_are_wrong_usage(run: Run) -> None:
    ran = run("-c", "sim://quiet", "-c", "sim://quiet", "list")
    assert ran.code == 2
    assert ran.err == "error: -c: 'sim://quiet' is given twice\nhint: name hosts with -c NAME=URI\n"


# ---------------------------------------------------------------- what a host is


@pytest.mark.parametrize(("verb", "text"), [("hostname", "quiet"), ("uri", "sim://quiet")])
def test_a_read_of_a_host_is_a_line(run: Run, verb: str, text: str) -> None:
    assert run(*SIM, verb).out == text + "\n"
    assert run(*SIM, verb, "-o", "name").out == text + "\n"
    assert run(*SIM, verb, "-o", "json").json == {"host": "sim://quiet", verb: text}
    assert run(*TWO, verb).lines == [f"a: {text}", f"b: {text}"] or verb == "uri"


def test_a_read_of_several_hosts_is_an_object_each(run: Run) -> None:
    documents = run(*TWO, "hostname", "-o", "json").objects
    assert documents == [{"host": "a", "hostname": "quiet"}, {"host": "b", "hostname": "quiet"}]
    assert run(*TWO, "hostname", "-o", "name").lines == ["quiet", "quiet"]


def test_nodeinfo_has_virshs_labels(run: Run) -> None:
    lines = run(*SIM, "nodeinfo").lines
    assert [line.split(":")[0] for line in lines] == [
        "CPU model", "CPU(s)", "CPU frequency", "CPU socket(s)", "Core(s) per socket", "Thread(s) per core",
        "NUMA cell(s)", "Memory size",
    ]  # fmt: skip
    assert all(line[21] != " " and line[20] == " " for line in lines)
    document = run(*SIM, "nodeinfo", "-o", "json").json
    assert document.keys() == {"host", "model", "memory_kib", "cpus", "mhz", "nodes", "sockets", "cores", "threads"}


def test_nodeinfo_of_several_hosts_names_each(run: Run) -> None:
    lines = run(*TWO, "nodeinfo").lines
    assert lines[0].split() == ["Host:", "a"]
    assert [line.split()[1] for line in lines if line.startswith("Host")] == ["a", "b"]


def test_version_says_what_is_in_between(run: Run) -> None:
    lines = run(*SIM, "version", "--daemon").lines
    assert [line.split(":")[0] for line in lines] == [
        "Using avirt", "Using driver", "Running against daemon", "Running hypervisor",
    ]  # fmt: skip
    document = run(*SIM, "version", "-o", "json").json
    assert document.keys() == {"host", "avirt", "uuid", "hostname", "product", "version", "driver", "driver_version",
                               "read_only"}  # fmt: skip
    assert run(*SIM, "version", "-o", "name").out == "SIM\n"


# ---------------------------------------------------------------- hosts


def test_hosts_lists_what_the_environment_names(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVIRT_URI", "sim://quiet")
    monkeypatch.setenv("LIBVIRT_DEFAULT_URI", "sim://other")
    assert run("hosts").lines == [
        "     URI           Found at",
        "--------------------------------",
        " *   sim://quiet   (AVIRT_URI)",
        "",
    ]
    assert run("hosts", "-o", "json").json == [
        {"uri": "sim://quiet", "source": "AVIRT_URI", "socket": None, "default": True}
    ]
    assert run("hosts", "-o", "name").out == "sim://quiet\n"
    assert run("list", "--name").lines == ["vm1", "vm2"]


def test_a_malformed_environment_is_wrong_usage(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVIRT_URI", "nonsense")
    assert run("hosts").code == 2
    assert run("list").code == 2
