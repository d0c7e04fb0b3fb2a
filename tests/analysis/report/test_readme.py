"""The README's findings come from the published files, and stand between two marks."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from intro.analysis.report.readme import BEGIN, END, fill, findings, gains
from intro.config import load
from intro.types import IntroError

ROOT = Path(__file__).resolve().parents[3]
CONFIG = load(ROOT / "config/tiny.yaml")


def test_the_readme_is_filled_from_the_published_run() -> None:
    text = (ROOT / "README.md").read_text()
    block = text.split(BEGIN)[1].split(END)[0]
    assert block == "\n" + findings(CONFIG, ROOT / "results/reference/tiny")


def test_a_gain_is_over_the_base_model_that_the_run_started_from() -> None:
    """Runs from base models at 10 and 50 gain 10, 20 and 24; the tuned run does not count."""
    rows = [
        ("base", "base", 0, 0, 10.0),
        ("base", "base", 1, 0, 50.0),
        ("intro", "paper", 0, 0, 20.0),
        ("intro", "paper", 1, 1, 70.0),
        ("intro", "paper", 1, 2, 74.0),
        ("intro", "tuned", 1, 1, 99.0),
    ]
    scores = pd.DataFrame(rows, columns=["method", "protocol", "pretrain_seed", "train_seed", "value"])
    scores = scores.assign(model="m", suite="main", benchmark="b")
    assert gains(scores).loc["m", "intro"] == pytest.approx((10 + 20 + 24) / 3)


def test_gains_are_those_of_the_claims() -> None:
    """claims.csv estimates them from the graded responses: the same numbers, to the rounding of scores.csv."""
    folder = ROOT / "results/reference/tiny"
    claims = pd.read_csv(folder / "claims.csv").query("protocol == 'paper'").set_index("claim").estimate
    by_method = gains(pd.read_csv(folder / "scores.csv")).mean()
    assert by_method["intro"] == pytest.approx(claims["above_base"], abs=1e-3)
    assert by_method["sft"] == pytest.approx(claims["sft_below_base"], abs=1e-3)


def test_a_readme_without_marks_is_an_error(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("no marks\n")
    with pytest.raises(IntroError, match="expected the marks"):
        fill(CONFIG, readme)
    with pytest.raises(IntroError, match="this config names no published run"):
        fill(CONFIG.model_copy(update={"reference": None}), readme)
