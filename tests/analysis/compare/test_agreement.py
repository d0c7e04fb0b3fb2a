"""Values are compared on the paper's own models, directions on all others."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from intro.analysis.compare import agreement
from intro.analysis.compare.agreement import Agreement, Key, read_reference, read_reported, table_frame
from intro.analysis.data.results import Results, cells_of, load_results
from intro.analysis.stats.intervals import Interval
from synthetic import BENCHMARKS, EASY, HARD, MODELS, config, responses, write

REPORTED = Path(__file__).parents[3] / "workflow" / "reported" / "reported.csv"
RATES = {"base": 0.4, "sft": 0.2, "grpo": 0.42, "intro": 0.6, "intro-n1": 0.2}


@pytest.fixture(scope="module")
def reported() -> dict[Key, float]:
    return read_reported(REPORTED)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    run = config(tmp_path_factory.mktemp("run"))
    write(run, graded_responses=responses(RATES))
    return load_results(run).under("paper")


@pytest.fixture(scope="module")
def main(results: Results, reported: dict[Key, float]) -> pd.DataFrame:
    return table_frame(results, reported, {}, "main")


def pick(frame: pd.DataFrame, model: str, method: str, benchmark: str) -> pd.Series:
    (index,) = frame.index[(frame.model == model) & (frame.method == method) & (frame.benchmark == benchmark)]
    return frame.loc[index]


def test_directions_of_a_scale_model(main: pd.DataFrame) -> None:
    frame, columns = main, len(BENCHMARKS) + 2
    assert len(frame) == len(MODELS) * (4 * columns - 1), "no improvement of base over itself"
    intro = pick(frame, "qwen2-s", "intro", "average")
    assert intro.reported == 24.9
    assert intro.ci_low < intro.ours < intro.ci_high
    assert intro.agreement == "same direction"
    assert pick(frame, "qwen2-s", "sft", "average").agreement == "same direction"
    assert pick(frame, "qwen2-s", "intro", "improvement_pct").agreement == "same direction"
    assert pick(frame, "qwen2-s", "base", "average").agreement == "not compared"
    assert frame.reference.isna().all()


def test_opposite_and_inconclusive_directions(results: Results, reported: dict[Key, float]) -> None:
    flipped = responses({**RATES, "intro": 0.2, "grpo": 0.4})
    frame = table_frame(replace(results, cells=cells_of(flipped)), reported, {}, "main")
    assert pick(frame, "qwen2-s", "intro", "average").agreement == "opposite direction"
    assert pick(frame, "qwen2-m", "grpo", "average").agreement == "inconclusive"


def test_a_method_that_was_not_run_is_not_compared(results: Results, reported: dict[Key, float]) -> None:
    only_base = replace(results, cells=cells_of(responses({"base": 0.4})))
    row = pick(table_frame(only_base, reported, {}, "main"), "qwen2-s", "intro", EASY)
    assert row.agreement == "not run"
    assert math.isnan(row.ours)


def test_the_improvement_is_relative_to_base(main: pd.DataFrame) -> None:
    base, intro = (pick(main, "qwen3-m", method, "average").ours for method in ("base", "intro"))
    row = pick(main, "qwen3-m", "intro", "improvement_pct")
    assert row.ours == pytest.approx(100 * (intro / base - 1))
    assert row.ci_low < row.ours < row.ci_high


def test_values_are_compared_on_the_papers_own_models(tmp_path: Path, reported: dict[Key, float]) -> None:
    shape = {"architecture": "qwen2", "hidden": 32, "layers": 1, "heads": 2, "kv_heads": 2}
    models = {paper: {"stands_for": paper, **shape} for paper in MODELS.values()}
    names = dict.fromkeys(models, 0.0)
    changes = {"models": models, "ablation_n": {"model": "Qwen2.5-1.5B", "method": "intro", "grid": [1, 2, 5]}}
    few = {"training": {**config(tmp_path).training.model_dump(), "sweep_models": [], "learning_rates": [1e-4]}}
    elsewhere = {"controls": {"model": "Qwen2.5-3B"}, "cost": {"model": "Qwen2.5-3B"}, "posterior": {}}
    paper = config(tmp_path, **changes, **few, **elsewhere)
    write(paper, graded_responses=responses({"base": 0.504, "intro": 0.95}, models=names))
    frame = table_frame(load_results(paper).under("paper"), reported, {}, "main")
    assert pick(frame, "Qwen2.5-1.5B", "base", EASY).agreement == "within interval"  # MATH500 50.4
    assert pick(frame, "Qwen2.5-1.5B", "intro", HARD).agreement == "outside interval"  # 19.6


def test_the_ablation_goes_by_n_and_borrows_the_base_of_the_main_table(
    results: Results, reported: dict[Key, float]
) -> None:
    frame = table_frame(results, reported, {}, "ablation_n")
    assert list(frame.method) == ["intro-n1", "intro-n2", "intro", "intro-n40"]
    assert list(frame.reported) == [20.1, 24.4, 24.9, 23.8]
    assert list(frame.agreement) == ["same direction", "not run", "same direction", "not run"]


@pytest.mark.parametrize(
    ("reported_gain", "ours", "expected"),
    [
        (2.0, (0.5, 3.0), Agreement.SAME),
        (-2.0, (-3.0, -0.5), Agreement.SAME),
        (2.0, (-3.0, -0.5), Agreement.OPPOSITE),
        (2.0, (-0.5, 3.0), Agreement.INCONCLUSIVE),
        (0.1, (0.5, 3.0), Agreement.INCONCLUSIVE),  # the paper's own gap may be rounding
    ],
)
def test_the_rule_of_directions(reported_gain: float, ours: tuple[float, float], expected: Agreement) -> None:
    assert agreement.same_direction(reported_gain, Interval(sum(ours) / 2, *ours, "")) == expected


def test_a_printed_number_counts_with_its_rounding() -> None:
    ours = Interval(10.0, 9.0, 10.96, "")
    assert agreement.same_value(11.0, ours) == Agreement.WITHIN
    assert agreement.same_value(11.1, ours) == Agreement.OUTSIDE


def test_our_published_run_fills_the_reference_column(results: Results, reported: dict[Key, float]) -> None:
    tables = Path(results.config.results) / "reference" / "tiny" / "tables"
    tables.mkdir(parents=True)
    wide = pd.DataFrame(
        {"model": ["qwen2-s"], "stands_for": ["x"], "method": ["intro"], EASY: [61.5], "average": [59.0]}
    )
    wide.to_csv(tables / "main.csv", index=False)
    pd.DataFrame({"n": [1, 5], "average": [21.0, 58.0]}).to_csv(tables / "ablation_n.csv", index=False)
    reference = read_reference(results.config)
    main = table_frame(results, reported, reference, "main")
    assert pick(main, "qwen2-s", "intro", EASY).reference == 61.5
    assert math.isnan(pick(main, "qwen2-m", "intro", EASY).reference)
    ablation = table_frame(results, reported, reference, "ablation_n")
    assert list(ablation.reference.fillna(-1)) == [21.0, -1, 58.0, -1]
