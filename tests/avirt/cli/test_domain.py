"""Verbs on one domain, against a simulated hypervisor. Each command line has a world of its own."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tests.avirt.cli.conftest import Run

SIM = ("-c", "sim://quiet")
XML = "<domain type='sim'><name>new1</name><memory unit='KiB'>1024</memory></domain>"


@pytest.fixture
def xml(tmp_path: Path) -> str:
    path = tmp_path / "new1.xml"
    path.write_text(XML)
    return str(path)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("start vm3", "Domain 'vm3' started"),
        ("start vm1", "Domain 'vm1' is already active"),
        ("start vm3 --paused --force-boot --bypass-cache --timeout 20", "Domain 'vm3' started"),
        ("shutdown vm1", "Domain 'vm1' has been shut down"),
        ("shutdown vm3", "Domain 'vm3' is already shut off"),
        ("shutdown vm1 --mode acpi --force-after 5", "Domain 'vm1' has been shut down"),
        ("shutdown vm1 --no-wait", "Domain 'vm1' is being shutdown"),
        ("destroy vm1", "Domain 'vm1' destroyed"),
        ("destroy vm1 --graceful", "Domain 'vm1' destroyed"),
        ("destroy vm3", "Domain 'vm3' is already shut off"),
        ("reboot vm1", "Domain 'vm1' rebooted"),
        ("reboot vm1 --no-wait --mode acpi", "Domain 'vm1' is being rebooted"),
        ("reset vm1", "Domain 'vm1' was reset"),
        ("suspend vm1", "Domain 'vm1' suspended"),
        ("resume vm1", "Domain 'vm1' is already running"),
        ("save vm1 /tmp/vm1.save", "Domain 'vm1' saved to /tmp/vm1.save"),
        ("managedsave vm1", "Domain 'vm1' state saved"),
        ("managedsave-remove vm3", "Domain 'vm3' has no managed save image; removal skipped"),
        ("undefine vm3", "Domain 'vm3' has been undefined"),
        ("domrename vm3 web1", "Domain successfully renamed"),
        ("autostart vm1", "Domain 'vm1' marked as autostarted"),
        ("autostart vm1 --disable", "Domain 'vm1' unmarked as autostarted"),
    ],
)
def test_a_verb_says_what_it_did(run: Run, line: str, said: str) -> None:
    ran = run(*SIM, *line.split())
    assert (ran.code, ran.out, ran.err) == (0, said + "\n", "")


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_a_verb_works_on_either_loop(run: Run, loop: str) -> None:
    assert run(*SIM, "start", "vm3", backend=loop).out == "Domain 'vm3' started\n"


def test_a_quiet_verb_says_nothing(run: Run) -> None:
    ran = run(*SIM, "-q", "start", "vm3")
    assert (ran.code, ran.out, ran.err) == (0, "", "")


@pytest.mark.parametrize(
    ("line", "changed", "state"),
    [
        ("start vm3", True, "running"),
        ("start vm3 --paused", True, "paused"),
        ("start vm1", False, "running"),
        ("shutdown vm1", True, "shutoff"),
        ("destroy vm1", True, "shutoff"),
        ("reboot vm1", True, "running"),
        ("reset vm1", True, "running"),
        ("suspend vm1", True, "paused"),
        ("resume vm1", False, "running"),
        ("save vm1 /tmp/x", True, "shutoff"),
        ("managedsave vm1", True, "shutoff"),
        ("managedsave-remove vm3", False, "shutoff"),
        ("domrename vm3 vm9", True, "shutoff"),
        ("autostart vm1", True, "running"),
    ],
)
def test_a_verb_prints_its_outcome_as_json(run: Run, line: str, changed: bool, state: str) -> None:
    verb, name, *_ = line.split()
    ran = run(*SIM, *line.split(), "-o", "json")
    document = ran.json
    assert ran.code == 0
    assert document.keys() == {"verb", "host", "uuid", "name", "changed", "observed", "revision", "domain"}
    assert (document["verb"], document["host"], document["changed"]) == (verb, "sim://quiet", changed)
    assert document["observed"] or verb == "managedsave-remove"
    assert document["domain"]["state"] == state
    assert document["domain"]["uuid"] == document["uuid"]
    assert document["name"] == ("vm9" if verb == "domrename" else name)


def test_what_is_only_accepted_is_not_observed(run: Run) -> None:
    document = run(*SIM, "shutdown", "vm1", "--no-wait", "-o", "json").json
    assert (document["changed"], document["observed"]) == (True, False)


def test_undefine_leaves_no_domain(run: Run) -> None:
    document = run(*SIM, "undefine", "vm3", "-o", "json").json
    assert (document["domain"], document["name"]) == (None, "vm3")
    assert document["uuid"]


@pytest.mark.parametrize(
    "line", ["start vm3", "domstate vm3", "dominfo vm3", "dumpxml vm3", "domuuid vm3", "undefine vm3"]
)
def test_a_verb_prints_the_domains_name(run: Run, line: str) -> None:
    assert run(*SIM, "-o", "name", *line.split()).out == "vm3\n"


# ---------------------------------------------------------------- new domains


def test_define_reads_a_file(run: Run, xml: str) -> None:
    ran = run(*SIM, "define", xml, "--validate")
    assert (ran.code, ran.out) == (0, f"Domain 'new1' defined from {xml}\n")


def test_define_reads_standard_input(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(XML))
    assert run(*SIM, "define", "-").out == "Domain 'new1' defined from -\n"


def test_create_starts_a_transient_domain(run: Run, xml: str) -> None:
    assert run(*SIM, "create", xml).out == f"Domain 'new1' created from {xml}\n"
    document = run(*SIM, "create", xml, "--paused", "-o", "json").json
    assert (document["domain"]["state"], document["domain"]["persistent"]) == ("paused", False)


def test_a_file_that_can_not_be_read_is_wrong_usage(run: Run) -> None:
    ran = run(*SIM, "define", "/no/such/file")
    assert (ran.code, ran.err) == (2, "error: /no/such/file: No such file or directory\n")


def test_xml_that_is_refused_ends_with_1(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "bad.xml"
    path.write_text("<domain")
    ran = run(*SIM, "define", str(path))
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("error: ")


def test_restoring_what_was_not_saved_is_not_found(run: Run) -> None:
    ran = run(*SIM, "restore", "/no/such/image")
    assert (ran.code, ran.err.splitlines()[0]) == (3, "error: no saved image '/no/such/image'")


@pytest.mark.parametrize("verb", ["define", "create", "restore"])
def test_a_new_domain_needs_one_host(run: Run, verb: str, xml: str) -> None:
    ran = run("-c", "a=sim://quiet", "-c", "b=sim://quiet", verb, xml)
    assert (ran.code, ran.err.splitlines()[0]) == (2, f"error: {verb}: several hosts are given")


# ---------------------------------------------------------------- reads


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("domstate vm1", "running"),
        ("domstate vm1 --reason", "running (booted)"),
        ("domstate vm3", "shut off"),
        ("domid vm1", "1"),
        ("domid vm3", "-"),
        ("domname 2", "vm2"),
        ("domname vm2", "vm2"),
    ],
)
def test_a_read_prints_what_virsh_prints(run: Run, line: str, text: str) -> None:
    ran = run(*SIM, *line.split())
    assert (ran.code, ran.out) == (0, text + "\n")


def test_a_domain_is_found_by_name_id_and_uuid(run: Run) -> None:
    uuid = run(*SIM, "domuuid", "vm1").out.strip()
    assert run(*SIM, "domuuid", "1").out.strip() == uuid
    assert run(*SIM, "domname", uuid).out == "vm1\n"
    assert run(*SIM, "domname", uuid.upper()).out == "vm1\n"
    assert run(*SIM, "domstate", "--domain", "vm1").out == "running\n"


def test_domid_takes_no_id_as_virsh(run: Run) -> None:
    assert run(*SIM, "domid", "1").code == 3


def test_dominfo_has_virshs_labels(run: Run) -> None:
    labels = [line.split(":")[0] for line in run(*SIM, "dominfo", "vm1").lines if line]
    assert labels == [
        "Id", "Name", "UUID", "OS Type", "State", "CPU(s)", "CPU time", "Max memory", "Used memory", "Persistent",
        "Autostart", "Managed save",
    ]  # fmt: skip


def test_dominfo_as_json_is_the_domain_and_more(run: Run) -> None:
    document = run(*SIM, "dominfo", "vm1", "-o", "json").json
    assert document["state"] == "running"
    more = {"os_type", "vcpus", "cpu_time_ns", "memory_kib", "max_memory_kib", "managed_save", "security_model",
            "security_doi", "security_label", "security_enforcing"}  # fmt: skip
    assert more <= document.keys()


def test_dumpxml_prints_the_xml_as_it_is(run: Run) -> None:
    text = run(*SIM, "dumpxml", "vm3", "--inactive", "--update-cpu", "--migratable").out
    assert text.startswith("<domain")
    assert text.endswith("</domain>\n")
    document = run(*SIM, "dumpxml", "vm3", "-o", "json").json
    assert document["xml"].startswith("<domain")
    assert document.keys() == {"host", "name", "uuid", "id", "xml"}


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize("verb", ["start", "dominfo", "domid", "domstats", "watch", "event", "dumpxml", "wait"])
def test_an_unknown_domain_ends_with_3(run: Run, verb: str) -> None:
    state = ("running",) if verb == "wait" else ()
    ran = run(*SIM, verb, "nosuch", *state)
    assert (ran.code, ran.out) == (3, "")
    assert ran.err == "error: no domain 'nosuch' on sim://quiet\nhint: avirt list --all shows what there is\n"


def test_what_the_hypervisor_refuses_ends_with_1(run: Run) -> None:
    ran = run(*SIM, "domrename", "vm1", "x")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("error: ")
    assert len(ran.err.splitlines()) <= 2


@pytest.mark.parametrize("line", ["start vm3", "shutdown vm1", "undefine vm3", "autostart vm1", "restore /x"])
def test_a_read_only_connection_refuses_every_change(run: Run, line: str) -> None:
    ran = run("-r", *SIM, *line.split())
    assert (ran.code, ran.out) == (1, "")
    assert "read-only" in ran.err
    assert run("-r", *SIM, "list").code == 0


def test_a_name_that_several_hosts_have_is_ambiguous(run: Run) -> None:
    two = ("-c", "a=sim://quiet", "-c", "b=sim://quiet?domains=1&running=0")
    ran = run(*two, "domstate", "vm1")
    assert ran.code == 2
    assert ran.err == (
        "error: 'vm1' is a domain of several hosts: a/vm1, b/vm1\nhint: say HOST/NAME, or the uuid with a single -c\n"
    )
    assert run(*two, "domstate", "b/vm1").out == "shut off\n"
    assert run(*two, "start", "b/vm1").out == "Domain 'vm1' started\n"
    assert run(*two, "domstate", "vm2").out == "running\n"


def test_an_unreached_host_makes_not_found_uncertain(run: Run) -> None:
    ran = run("-c", "a=sim://quiet", "-c", "b=test+unix:///default?socket=/no/such/socket", "domstate", "nosuch")
    assert ran.code == 3
    assert ran.err.splitlines()[0].startswith("error: b: ")
    assert "error: no domain 'nosuch' on the hosts that answered" in ran.err


# ---------------------------------------------------------------- time


def test_wait_is_true_at_once(run: Run) -> None:
    assert run(*SIM, "wait", "vm1", "running").out == "Domain 'vm1' is running (booted)\n"
    assert run(*SIM, "wait", "vm3", "shut off", "-o", "json").json["state"] == "shutoff"
    assert run(*SIM, "wait", "vm3", "shutoff", "-o", "name").out == "vm3\n"


def test_time_that_is_up_ends_with_5(run: Run) -> None:
    ran = run(*SIM, "wait", "vm1", "shutoff", "--timeout", "0.01")
    assert (ran.code, ran.out) == (5, "")
    assert ran.err == "error: vm1 is running, not shutoff, after 0.01 s\nhint: a longer --timeout, or none\n"


def test_a_verb_whose_time_is_up_ends_with_5(run: Run) -> None:
    ran = run("-c", "sim://quiet?latency=200", "start", "vm3", "--timeout", "0.01")
    assert (ran.code, ran.out) == (5, "")
    assert "time is up after 0.01 s" in ran.err
