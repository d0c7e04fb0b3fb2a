"""Collecting: scores are means over problems of means over samples, and no learning rate is lost to rounding."""

from __future__ import annotations

import pandas as pd
import pytest

import whole_run
from intro.analysis.data.collect import grid_rows, run_record, score_rows, write_frame
from intro.analysis.stats.intervals import Resampling
from intro.infra.files import write_json
from intro.infra.provenance import Provenance

RESAMPLING = Resampling(200, 0)


def test_grid_keeps_small_learning_rates_and_the_base_that_has_none():
    """3e-7 is a rate like any other; percentages are rounded to four decimals, rates are not."""
    rates = [None, 3e-7, 3e-5, 1e-4]
    grid = pd.DataFrame(
        [
            {
                "model": "m",
                "method": "grpo" if lr else "base",
                "lr": lr,
                "train_seed": 0,
                "problem": str(i),
                "correct": i % 3 == 0,
                "tokens": 7,
            }
            for lr in rates
            for i in range(9)
        ]
    )
    rows = grid_rows(grid, RESAMPLING)
    assert rows.method.tolist() == ["base", "grpo", "grpo", "grpo"]
    assert rows.lr.isna().tolist() == [True, False, False, False] and rows.lr.tolist()[1:] == rates[1:]
    assert rows.value.tolist() == [33.3333] * 4 and (rows.problems == 9).all() and (rows.mean_tokens == 7).all()
    assert (rows.ci_low < rows.value).all() and (rows.value < rows.ci_high).all()


def test_score_is_mean_over_problems_of_mean_over_samples(tmp_path):
    """avg@k: a problem counts once however many samples it has; a base row has no n."""
    config = whole_run.config(tmp_path)
    shares = {"a": [1, 1, 0, 0], "b": [1, 0, 0, 0]}
    common = {"suite": "main", "model": "qwen3-m", "pretrain_seed": 0, "train_seed": 0, "benchmark": "chain-3"}
    grades = pd.DataFrame(
        [
            common
            | {"method": m, "protocol": p, "n": n, "problem": problem, "sample": j, "correct": c, "tokens": 10 + j}
            | {"truncated": 0, "verified": c}
            for m, p, n in (("base", "base", None), ("intro", "paper", 5))
            for problem, correct in shares.items()
            for j, c in enumerate(correct)
        ]
    )
    rows = score_rows(config, grades, RESAMPLING).set_index("method")
    assert rows.loc["intro", "value"] == pytest.approx(37.5) and rows.loc["base", "value"] == pytest.approx(37.5)
    assert rows.loc["intro", "n"] == 5 and pd.isna(rows.loc["base", "n"])
    assert (rows.problems == 2).all() and (rows.k == 4).all() and (rows.mean_tokens == 11.5).all()
    assert (rows.stands_for == "Qwen3-4B").all()


def test_records_that_are_being_written_are_not_read(tmp_path):
    """Tables and measurements run beside `collect`: half a record under its temporary name must not stop it."""
    config = whole_run.config(tmp_path)
    (config.results_dir / "tables").mkdir(parents=True)
    (config.results_dir / ".scratch").mkdir()
    write_json(config.results_dir / "tables/main.record.json", {"wall_seconds": 2.0, "commit": "c"})
    for half in ("tables/.77.main.record.json", ".scratch/record.json"):
        (config.results_dir / half).write_text('{"wall_seconds": 1')
    record = run_record(config, Provenance())
    assert record["compute_seconds"] == 2.0 and record["commits"] == ["c"]


def test_equal_frames_give_equal_files(tmp_path):
    """No time and no name of a temporary file, which holds the process's number, in a compressed file's header."""
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
    for name in ("frame.csv", "frame.csv.gz"):
        write_frame(tmp_path / name, frame)
        pd.testing.assert_frame_equal(pd.read_csv(tmp_path / name), frame)
    flags_and_time = (tmp_path / "frame.csv.gz").read_bytes()[3:8]
    assert flags_and_time == bytes(5)
