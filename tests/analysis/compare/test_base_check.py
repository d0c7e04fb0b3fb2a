"""The base check: base rows from their grades alone, compared with the paper's only for the paper's own models."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import toy
from intro import experiments
from intro.analysis.compare.base_check import base_check
from intro.config import parse
from intro.tasks.jsonl import GRADE_KEYS, write_jsonl
from intro.types import IntroError

REPORTED = "table,model,method,benchmark,value\n" + "".join(
    f"main,Qwen2.5-1.5B,base,{name},{value}\n"
    for name, value in (("math500", 50.0), ("aime25", 90.0), ("average", 70.0))
)


@pytest.fixture
def config(tmp_path: Path):
    """One model that is the paper's own and one that only stands for one; each solves every other problem."""
    mapping = toy.mapping(tmp_path)
    mapping["models"]["Qwen2.5-1.5B"] = mapping["models"].pop("qwen2-s")
    for place in ("ablation_n", "controls", "cost"):
        mapping[place]["model"] = "Qwen2.5-1.5B"
    mapping["training"]["sweep_models"] = ["Qwen2.5-1.5B"]
    config = parse(mapping)
    for cell, suite in experiments.base_check_evaluations(config):
        lines = [
            dict(zip(GRADE_KEYS, (b, f"{b}/{i}", 0, i % 2, "", None, None, 5, 0), strict=True))
            for b in ("chain-2", "chain-3")
            for i in range(60)
        ]
        write_jsonl(experiments.suite_file(config, cell, suite, "grades.jsonl"), lines)
    (tmp_path / "reported.csv").write_text(REPORTED)
    return config


def test_cells_outside_sampling_error_are_flagged(config, tmp_path: Path) -> None:
    """Half of 60 problems: 50.0 fits, 90.0 does not, and a stand-in is compared with nothing."""
    csv, page = base_check(config, tmp_path)
    rows = pd.read_csv(csv).set_index(["model", "benchmark"])
    paper = rows.loc["Qwen2.5-1.5B"]
    assert paper.agreement.to_dict() == {
        "chain-2": "within interval", "chain-3": "outside interval", "average": "outside interval"
    }  # fmt: skip
    assert paper.ours.tolist() == [50.0] * 3 and (paper.ci_low < 50).all() and (paper.ci_high > 50).all()
    assert set(rows.loc["qwen3-m"].agreement) == {"not compared"}
    text = page.read_text()
    assert text.count("**outside**") == 2 and "2 of 3 comparable cells lie outside" in text


def test_only_base_models_are_needed(config, tmp_path: Path) -> None:
    """No trained run exists here; a missing base file is one sentence that says what to do."""
    cell, suite = experiments.base_check_evaluations(config)[0]
    assert {cell.method for cell, _ in experiments.base_check_evaluations(config)} == {"base"}
    experiments.suite_file(config, cell, suite, "grades.jsonl").unlink()
    with pytest.raises(IntroError, match=r"grades\.jsonl: no such file; .*intro grade"):
        base_check(config, tmp_path)
