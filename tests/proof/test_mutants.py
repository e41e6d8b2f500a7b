"""The table of broken rules fits the code; that each is seen is `make soak`'s to show."""

from __future__ import annotations

import ast

import pytest

from tests.proof.mutants import MUTANTS, ROOT, TESTS, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.rule)
def test_mutant_changes_one_place_and_is_a_program_still(mutant: Mutant) -> None:
    code = (ROOT / mutant.file).read_text()
    assert code.count(mutant.text) == 1
    ast.parse(code.replace(mutant.text, mutant.instead))


def test_named_tests_of_the_rules_are_there() -> None:
    assert [name for name in TESTS if not (ROOT / name).exists()] == []
