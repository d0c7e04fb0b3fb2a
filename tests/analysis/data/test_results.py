"""Cells hold what was answered: what is unknown makes no average, and what one run left out is compared in none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from intro.analysis.data.results import Results, by_benchmark, cells_of, strata
from synthetic import config, responses

ASK = ("main", "qwen2-s", "intro")


@pytest.fixture
def grades() -> pd.DataFrame:
    return responses({"base": 0.4, "intro": 0.6}, train_seeds=2).assign(verified=True)


def seen(tmp_path: Path, grades: pd.DataFrame) -> Results:
    return Results(config(tmp_path), cells_of(grades), protocol="paper")


def test_a_cell_has_its_own_runs_and_the_mean_over_samples(tmp_path: Path, grades: pd.DataFrame) -> None:
    again = grades.assign(sample=1, correct=1)
    values = seen(tmp_path, pd.concat([grades, again])).values(*ASK)
    rows = grades[(grades.model == "qwen2-s") & (grades.method == "intro")]
    for (pretraining, training), column in values.items():
        run = rows[(rows.pretrain_seed == pretraining) & (rows.train_seed == training)]
        assert column.to_dict() == {(r.benchmark, r.problem): 50.0 * (r.correct + 1) for r in run.itertuples()}
    assert list(values.columns) == [(0, 0), (0, 1)], "not the base model's, which has no training seed"


def test_a_problem_that_one_run_left_out_is_left_out(tmp_path: Path, grades: pd.DataFrame) -> None:
    gone = (grades.method == "intro") & (grades.train_seed == 1) & (grades.problem == "chain-5-7")
    whole, without = (seen(tmp_path, frame).values(*ASK) for frame in (grades, grades[~gone]))
    assert set(whole.index) - set(without.index) == {("chain-5", "chain-5-7")}
    assert whole.loc[without.index].equals(without)


@pytest.mark.parametrize("column", ["correct", "tokens"])
def test_one_unknown_value_makes_its_cell_unknown_and_no_other(
    tmp_path: Path, grades: pd.DataFrame, column: str
) -> None:
    at = grades.index[(grades.method == "intro") & (grades.model == "qwen2-s")][5]
    grades[column] = grades[column].astype(float)
    grades.loc[at, column] = np.nan
    results = seen(tmp_path, grades)
    assert results.values(*ASK, column) is None
    assert results.values("main", "qwen2-m", "intro", column) is not None
    assert results.values("main", "qwen2-s", "base", column) is not None


def test_a_right_response_that_nobody_verified_makes_the_verified_share_unknown(
    tmp_path: Path, grades: pd.DataFrame
) -> None:
    mine = grades.model == "qwen2-s"
    wrong = grades.assign(verified=grades.verified.astype(object).where(~mine | (grades.correct == 1), None))
    assert seen(tmp_path, wrong).values(*ASK, "verified_correct") is not None, "a wrong one counts as wrong"
    right = grades.assign(verified=grades.verified.astype(object).where(~mine | (grades.correct == 0), None))
    results = seen(tmp_path, right)
    assert results.values(*ASK, "verified_correct") is None and results.values(*ASK) is not None


def test_strata_are_a_group_each_in_order_of_name(tmp_path: Path, grades: pd.DataFrame) -> None:
    values = seen(tmp_path, grades).values(*ASK).sample(frac=1.0, random_state=0)
    plain = {name: part.to_numpy() for name, part in values.groupby(level="benchmark")}
    found = by_benchmark(values)
    assert list(found) == sorted(plain)
    assert all(np.array_equal(found[name], plain[name]) for name in plain)
    (one,) = strata(values, ["chain-5"])
    assert np.array_equal(one, plain["chain-5"])
