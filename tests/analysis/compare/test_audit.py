"""The audit finds what is wrong with tables, and nothing in tables that are right."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intro.analysis.compare.audit import (
    Finding,
    ReportedCell,
    Variant,
    attainable,
    audit,
    audit_frame,
    cell,
    nearest,
    read_cells,
)
from intro.types import IntroError

REPORTED = Path(__file__).parents[3] / "workflow" / "reported"
TENTH = Fraction(1, 20)


# ---------------------------------------------------------------- attainability


@pytest.mark.parametrize(
    ("printed", "responses", "fits"),
    [
        ("16.5", 272, True),  # 45 of 272 is 16.54
        ("16.4", 272, False),
        ("2.5", 40, True),
        ("45.5", 40, False),
        ("45.5", 1280, True),
        ("0.0", 7, True),
        ("100.0", 7, True),
        ("12.5", 8, True),
        ("0.1", 2000, True),  # 1 of 2000 and 2 of 2000 are rounding boundaries of 0.1
    ],
)
def test_a_percentage_of_so_many_responses(printed: str, responses: int, fits: bool) -> None:
    assert attainable(Fraction(printed), TENTH, responses) is fits


@given(st.integers(1, 3000), st.data())
def test_every_count_is_attainable_however_it_was_rounded(responses: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, responses))
    exact = Fraction(100 * count, responses)
    tenths = 10 * exact
    for rounded in {tenths.__floor__() if tenths % 1 <= Fraction(1, 2) else tenths.__ceil__(), round(tenths)}:
        assert attainable(Fraction(rounded, 10), TENTH, responses)
    assert nearest(exact, responses) == exact


@given(st.integers(0, 1000), st.integers(1000, 4000))
def test_a_thousand_responses_can_give_any_printed_value(tenths: int, responses: int) -> None:
    assert attainable(Fraction(tenths, 10), TENTH, responses)


def test_nearest_stays_between_none_and_all() -> None:
    assert nearest(Fraction("120.0"), 10) == 100
    assert nearest(Fraction("33.0"), 3) == Fraction(100, 3)


# ---------------------------------------------------------------- the paper's tables


@pytest.fixture(scope="module")
def findings() -> pd.DataFrame:
    return audit_frame(REPORTED)


def wrong(findings: pd.DataFrame, check: str) -> pd.DataFrame:
    return findings[(findings["check"] == check) & ~findings["consistent"]]


def sizes(findings: pd.DataFrame, benchmark: str) -> dict[str, tuple[int, bool]]:
    rows = findings[(findings["check"] == "size") & (findings["benchmark"] == benchmark)]
    return {row.note.partition(":")[0]: (int(row.recomputed), row.consistent) for row in rows.itertuples()}


def test_every_average_follows_and_one_improvement_does_not(findings: pd.DataFrame) -> None:
    assert wrong(findings, "average").empty
    assert len(findings[findings["check"] == "average"]) == 44
    (row,) = wrong(findings, "improvement").itertuples()
    assert (row.model, row.method, row.reported) == ("Qwen3-4B", "sft", -37.1)
    assert row.recomputed == pytest.approx(-9.7, abs=0.05)


def test_cells_that_no_count_of_responses_gives(findings: pd.DataFrame) -> None:
    unattainable = wrong(findings, "attainable").groupby("benchmark").size()
    assert unattainable.to_dict() == {"gpqa": 9, "humaneval": 1, "ifeval": 5, "minerva_math": 1}


def test_which_readings_of_a_benchmark_fit_all_of_its_cells(findings: pd.DataFrame) -> None:
    assert sizes(findings, "gpqa") == {
        "diamond once": (0, False),
        "diamond x 2": (1, False),
        "diamond x 3": (9, True),
    }
    assert {v for v, (_, fits) in sizes(findings, "livecodebench").items() if fits} == {"v5", "v6"}
    assert {v for v, (_, fits) in sizes(findings, "olympiadbench").items() if fits} == {"675 problems"}
    assert {v for v, (_, fits) in sizes(findings, "amc23").items() if fits} == {"40 problems x 32"}
    assert {v for v, (_, fits) in sizes(findings, "aime25").items() if fits} == {"30 problems x 32"}
    assert {v for v, (_, fits) in sizes(findings, "bigcodebench").items() if fits} == {"full"}
    assert sizes(findings, "ifeval")["541 prompts x 2"] == (9, True)


def test_a_reading_that_any_value_would_fit_says_so(findings: pd.DataFrame) -> None:
    notes = findings[findings["check"] == "size"].set_index(["benchmark", "note"]).index
    blind = {benchmark for benchmark, note in notes if note.endswith("any value would")}
    assert blind == {"amc23", "bigcodebench", "college_math", "ifeval", "livecodebench"}


# ---------------------------------------------------------------- tables with known truth

VARIANTS = [Variant("a", "a", 300, 1, True), Variant("b", "b", 40, 8, True), Variant("c", "c", 173, 1, True)]


def printed(value: float) -> str:
    return f"{value:.1f}"


def synthetic(seed: int) -> list[ReportedCell]:
    """Averages and improvements of exact percentages, every number rounded only when it is printed."""
    rng, cells, averages = np.random.default_rng(seed), [], {}
    for method in ("base", "x", "y"):
        exact = []
        for v in VARIANTS:
            exact.append(100 * int(rng.integers(v.responses // 5, v.responses)) / v.responses)
            cells.append(cell("main", "m", method, v.benchmark, "pass@1", printed(exact[-1])))
        averages[method] = float(np.mean(exact))
        cells.append(cell("main", "m", method, "average", "mean", printed(averages[method])))
    for method in ("x", "y"):
        improvement = printed(100 * (averages[method] / averages["base"] - 1))
        cells.append(cell("main", "m", method, "improvement_pct", "relative", improvement))
    return cells


def false_ones(cells: list[ReportedCell]) -> list[Finding]:
    return [finding for finding in audit(cells, VARIANTS) if not finding.consistent]


@pytest.mark.parametrize("seed", range(25))
def test_consistent_tables_give_no_finding(seed: int) -> None:
    assert false_ones(synthetic(seed)) == []


@pytest.mark.parametrize(
    ("check", "benchmark", "shift"),
    [
        ("average", "average", "0.3"),
        ("improvement", "improvement_pct", "2.0"),
        ("improvement", "improvement_pct", "-27.4"),
    ],
)
def test_a_changed_number_is_found(check: str, benchmark: str, shift: str) -> None:
    cells = synthetic(1)
    at = next(i for i, c in enumerate(cells) if c.method == "x" and c.benchmark == benchmark)
    c = cells[at]
    cells[at] = cell(c.table, c.model, c.method, c.benchmark, c.metric, printed(float(c.value + Fraction(shift))))
    assert (check, "x") in {(finding.check, finding.method) for finding in false_ones(cells)}


def test_an_improvement_may_come_from_printed_averages() -> None:
    """Base cells of mean 10.03 may average to 10.08, print as 10.1, and 99 / 10.1 is a gain of 880.2."""
    texts = {"x": "10.0", "y": "10.0", "z": "10.1"}
    base = [cell("main", "m", "base", name, "pass@1", text) for name, text in texts.items()]
    row = [cell("main", "m", "x", name, "pass@1", "99.0") for name in "xyz"]
    printed_ones = [
        cell("main", "m", "base", "average", "mean", "10.1"),
        cell("main", "m", "x", "average", "mean", "99.0"),
        cell("main", "m", "x", "improvement_pct", "relative", "880.2"),
    ]
    assert false_ones([*base, *row, *printed_ones]) == []


def test_an_unattainable_cell_is_found_and_its_neighbour_named() -> None:
    cells = synthetic(2)
    at = next(i for i, c in enumerate(cells) if c.benchmark == "c")
    c = cells[at]
    cells[at] = cell(c.table, c.model, c.method, c.benchmark, c.metric, "50.6")  # 87 and 88 of 173: 50.3, 50.9
    found = [finding for finding in false_ones(cells) if finding.check == "attainable"]
    assert [(f.benchmark, f.reported) for f in found] == [("c", 50.6)]
    assert found[0].recomputed == pytest.approx(100 * 88 / 173, abs=0.4)


def test_files_say_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(IntroError, match="no such file"):
        read_cells(tmp_path / "reported.csv")
    (tmp_path / "reported.csv").write_text("table,model\nmain,m\n")
    with pytest.raises(IntroError, match="metric, value not found"):
        read_cells(tmp_path / "reported.csv")
