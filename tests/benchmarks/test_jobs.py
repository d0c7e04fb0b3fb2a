"""Jobs' seconds are Snakemake's, their work is their records', and what was not run has no row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import jobs


def job(folder: Path, times: str, seconds: float, record: str, work: float) -> None:
    (file := folder / "benchmarks" / times).parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"s\th:m:s\n{seconds}\t0:00:01\n")
    (file := folder / record).parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"wall_seconds": work} if "score" not in record else {"record": {"wall_seconds": work}}))


def test_start_is_what_is_not_work(tmp_path: Path) -> None:
    """Two grading jobs, one of which grades two suites, and one job of a rule that has one."""
    job(tmp_path, "grade/a.main_ood.tsv", 1.0, "runs/m/a/paper/seed0/main/score.json", 0.25)
    job(tmp_path, "grade/b.main.tsv", 2.0, "runs/m/b/paper/seed0/main/score.json", 0.5)
    job(tmp_path, "grade/a.main_ood.tsv", 1.0, "runs/m/a/paper/seed0/ood/score.json", 0.25)
    job(tmp_path, "theory.tsv", 4.0, "theory/record.json", 3.0)
    rows = {row["rule"]: row for row in jobs.measure(tmp_path, tmp_path)}
    assert list(rows) == ["grade", "theory"]
    assert rows["grade"]["jobs"] == 2 and rows["grade"]["start"] == 2.0 and rows["grade"]["start_of_a_job"] == 1.0
    assert rows["grade"]["share_of_start"] == pytest.approx(2 / 3)
    assert rows["theory"]["share_of_start"] == 0.25


def test_figures_have_their_record_beside_them(tmp_path: Path) -> None:
    pictures = tmp_path / "figures"
    job(tmp_path, "figures.tsv", 4.0, "figures/record.json", 3.0)
    (row,) = jobs.measure(tmp_path, pictures)
    assert row["rule"] == "figures" and row["start"] == 1.0


def test_a_run_that_left_nothing_has_no_rows(tmp_path: Path) -> None:
    assert list(jobs.measure(tmp_path, tmp_path)) == []
