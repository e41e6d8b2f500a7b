"""Domain XML of the simulated hypervisor."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avirt.drivers.sim.definition import read_xml, write_xml
from avirt.errors import InvalidArgument

from .stage import Stage

U1 = UUID("11111111-2222-4333-8444-555555555555")


def test_read_takes_what_the_simulation_knows() -> None:
    definition = read_xml(
        f"<domain><name> vm </name><uuid>{U1}</uuid><memory unit='GiB'>2</memory><vcpu>4</vcpu>"
        "<on_crash>preserve</on_crash></domain>"
    )
    assert (definition.name, definition.uuid) == ("vm", U1)
    assert read_xml("<domain><name>a</name><memory>1</memory><on_crash>restart</on_crash></domain>").config.restart
    assert (definition.config.memory_kib, definition.config.vcpus, definition.config.preserve) == (2**21, 4, True)


@pytest.mark.parametrize(
    ("memory", "kib"),
    [("<memory>512</memory>", 512), ("<memory unit='b'>1</memory>", 1), ("<memory unit='MB'>1</memory>", 976)],
)
def test_read_units_of_memory(memory: str, kib: int) -> None:
    assert read_xml(f"<domain><name>a</name>{memory}</domain>").config.memory_kib == kib


@pytest.mark.parametrize(
    "xml",
    [
        "",
        "no xml",
        "<domain>",
        "<network><name>a</name></network>",
        "<domain><memory>1</memory></domain>",
        "<domain><name>a/b</name><memory>1</memory></domain>",
        "<domain><name>a</name></domain>",
        "<domain><name>a</name><memory unit='XiB'>1</memory></domain>",
        "<domain><name>a</name><memory>-1</memory></domain>",
        "<domain><name>a</name><memory/></domain>",
        "<domain><name>a</name><memory>0</memory></domain>",
        "<domain><name>a</name><memory>1234567890123456789</memory></domain>",
        "<domain><name>a</name><memory>1</memory><vcpu>two</vcpu></domain>",
        "<domain><name>a</name><memory>1</memory><uuid>x</uuid></domain>",
        "<!DOCTYPE domain [<!ENTITY a 'b'>]><domain><name>&a;</name><memory>1</memory></domain>",
    ],
)
def test_read_refuses_what_is_no_domain(xml: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        read_xml(xml)
    assert caught.value.hint


@given(st.text(max_size=80))
def test_read_any_text_is_read_or_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        read_xml(text)


def test_write_of_a_made_domain_reads_back() -> None:
    domain = Stage().world.add("vm<1>", uuid=U1, running=True)
    xml = write_xml(domain)
    assert '<domain type="sim" id="1">' in xml
    assert 'id="1"' not in write_xml(domain, inactive=True)
    definition = read_xml(xml)
    assert (definition.name, definition.uuid) == ("vm<1>", U1)
    assert (definition.config.memory_kib, definition.config.vcpus) == (domain.config.memory_kib, domain.config.vcpus)


def test_write_keeps_what_it_does_not_know_and_corrects_the_rest() -> None:
    world = Stage().world
    domain = world.define("<domain id='99'><title>T</title><name>a</name><memory>1</memory><odd x='1'/></domain>")
    domain.rename("b")
    xml = write_xml(domain)
    assert "<title>T</title>" in xml
    assert '<odd x="1" />' in xml
    assert f"<uuid>{domain.uuid}</uuid>" in xml
    assert "<name>b</name>" in xml
    assert "99" not in xml.split(">", 1)[0]
