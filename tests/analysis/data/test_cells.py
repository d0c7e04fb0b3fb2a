"""A gain is over the base model that the same run began with, not over the average of several."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from intro.analysis.data import cells
from intro.analysis.data.results import Results, cells_of
from synthetic import config

# correct answers of two problems: per method those of the runs from two base models, which differ much
CORRECT = {"base": [(1, 1), (0, 0)], "intro": [(1, 1), (1, 0)]}


def results(tmp_path: Path) -> Results:
    rows = [
        {
            "suite": "main", "model": "qwen2-s", "method": method, "protocol": "base" if method == "base" else "paper",
            "pretrain_seed": seed, "train_seed": 0 if method == "base" else seed, "benchmark": "chain-2",
            "problem": str(problem), "correct": right, "tokens": 10,
        }
        for method, runs in CORRECT.items()
        for seed, answers in enumerate(runs)
        for problem, right in enumerate(answers)
    ]  # fmt: skip
    return Results(config(tmp_path), cells_of(pd.DataFrame(rows)), protocol="paper")


def test_gains_are_over_a_runs_own_base(tmp_path: Path) -> None:
    run = results(tmp_path)
    assert cells.gain_by_run(run, "qwen2-s", "intro").to_dict() == {(0, 0): 0.0, (1, 1): 50.0}
    gain = cells.gain(run, "qwen2-s", "intro")
    assert gain.value == 25.0 and gain.low <= 25.0 <= gain.high
    average = cells.accuracy(run, "qwen2-s", "intro").value - cells.accuracy(run, "qwen2-s", "base").value
    assert average == gain.value, "the same mean, with another interval"


def test_what_was_not_run_has_no_gain(tmp_path: Path) -> None:
    run = results(tmp_path)
    assert cells.gain(run, "qwen2-s", "grpo") is cells.NOTHING
    assert cells.gain(run, "qwen2-s", "intro", benchmarks=["chain-5"]) is cells.NOTHING
    assert len(cells.gain_by_run(run, "qwen2-m", "intro")) == 0 and np.isnan(cells.NOTHING.value)
