"""Every statement of the catalogue, decided once, and the files that hold them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import sympy as sp

from intro.theory import Identity, identities, report, write
from intro.theory.registry import REGISTRY, check
from intro.theory.setting import FIXED_LENGTH
from intro.types import IntroError


@pytest.fixture(scope="module")
def decided() -> dict[str, Identity]:
    return {record.name: record for record in identities()}


def test_identities_are_proved_and_counterexamples_refuted(decided):
    assert next(iter(decided)) == "proposition_2_1"
    expected = {"identity": "proved", "counterexample": "refuted"}
    assert {name: record.verdict for name, record in decided.items()} == {
        name: expected[statement.kind] for name, statement in REGISTRY.items()
    }


def test_most_are_decided_for_trees_of_tokens(decided):
    assert FIXED_LENGTH.length >= 3 and FIXED_LENGTH.vocabulary >= 3
    only_flat = {name for name, record in decided.items() if all("softmax" in where for where in record.settings)}
    assert only_flat == {"clip_caps_posterior"}  # a statement about a single softmax


def test_counterexamples_carry_an_exact_size(decided):
    for record in decided.values():
        if record.kind == "counterexample":
            size = sp.sympify(record.size)
            assert size.is_number and not size.has(sp.Float) and float(size) == pytest.approx(record.decimal)
            assert record.decimal != 0 and record.gap and record.witness


def test_which_gaps_are_rescalings(decided):
    rescaled = {name for name, record in decided.items() if record.rescaling}
    assert rescaled == {"control_variate_on_own_token", "dropped_prompts", "sequence_weight_after_filter"}


def test_files(decided, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "identities", lambda: list(decided.values()))
    write(tmp_path / "theory")
    records = json.loads((tmp_path / "theory/identities.json").read_text())
    assert {"name", "statement", "verdict", "kind", "seconds"} <= set(records[0])
    assert [r["name"] for r in records] == list(decided)
    page = (tmp_path / "theory/identities.md").read_text()
    assert all(record.title in page and record.statement in page for record in decided.values())
    assert sorted(p.name for p in (tmp_path / "theory").iterdir()) == ["identities.json", "identities.md"]


def test_a_wrong_gap_raises():
    right = REGISTRY["mean_over_tokens"]

    def wrong(setting):
        return [replace(equation, gap=2 * equation.gap) for equation in right.equations(setting)]

    with pytest.raises(IntroError, match="the printed gap is not the gap"):
        check(replace(right, equations=wrong))
