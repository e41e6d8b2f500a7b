"""`avirt domstats`."""

from __future__ import annotations

import pytest

from tests.avirt.cli.conftest import Run

SIM = ("-c", "sim://quiet")
TWO = ("-c", "a=sim://quiet", "-c", "b=sim://quiet?domains=1")


def test_domstats_looks_like_virshs(run: Run) -> None:
    assert run(*SIM, "domstats", "vm1", "vm3", "--state").lines == [
        "Domain: 'vm1'",
        "  state.state=1",
        "  state.reason=1",
        "",
        "Domain: 'vm3'",
        "  state.state=5",
        "  state.reason=0",
        "",
    ]


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ("", "vm1 vm2 vm3"),
        ("vm2", "vm2"),
        ("vm2 --domain vm1", "vm1 vm2"),
        ("--list-active", "vm1 vm2"),
        ("--list-inactive", "vm3"),
        ("--list-running", "vm1 vm2"),
        ("--list-paused", ""),
        ("--list-shutoff", "vm3"),
        ("--list-other", ""),
        ("--list-persistent", "vm1 vm2 vm3"),
        ("--list-transient", ""),
        ("vm1 vm3 --list-active", "vm1"),
        ("--raw --nowait vm1", "vm1"),
    ],
)
def test_domstats_is_of_the_domains_asked_for(run: Run, options: str, names: str) -> None:
    ran = run(*SIM, "domstats", *options.split(), "-o", "name")
    assert (ran.code, sorted(ran.out.split())) == (0, names.split())


def test_domstats_has_the_groups_asked_for(run: Run) -> None:
    def groups(*options: str) -> set[str]:
        [document] = run(*SIM, "domstats", "vm1", *options, "-o", "json").json
        return {name.split(".")[0] for name in document["stats"]}

    assert groups("--state") == {"state"}
    assert groups("--cpu-total", "--balloon") == {"cpu", "balloon"}
    assert groups("--vcpu") == {"vcpu"}
    assert groups("--interface") == {"net"}
    assert groups("--block") == {"block"}
    assert groups() >= {"state", "cpu", "balloon", "vcpu", "net", "block"}


def test_domstats_as_json_is_an_array(run: Run) -> None:
    documents = run(*TWO, "domstats", "--state", "-o", "json").json
    assert [(document["host"], document["name"]) for document in documents] == [
        ("a", "vm1"),
        ("a", "vm2"),
        ("a", "vm3"),
        ("b", "vm1"),
    ]
    assert all(document.keys() == {"host", "name", "uuid", "stats"} for document in documents)
    assert documents[0]["stats"] == {"state.state": 1, "state.reason": 1}


def test_domstats_of_several_hosts_names_the_host(run: Run) -> None:
    assert run(*TWO, "domstats", "a/vm1", "--state").lines[0] == "Domain: 'a/vm1'"


def test_domstats_of_an_unknown_domain_ends_with_3(run: Run) -> None:
    assert run(*SIM, "domstats", "vm1", "nosuch").code == 3
