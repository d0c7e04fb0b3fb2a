"""Gather the result files of all runs into one file of each kind."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from intro import experiments
from intro.analysis.data.results import SHARED_RATE, Results, cells_of, resampling
from intro.analysis.stats.intervals import Resampling, within_model
from intro.config import Config
from intro.experiments import Cell, evaluations, grid_file, method_of, suite_file
from intro.infra.files import atomic_file, write_json
from intro.infra.provenance import Provenance
from intro.tasks.jsonl import AGAIN, GRID_KEYS, JUDGED_KEYS, read_jsonl

KEPT = ("benchmark", "problem", "sample", "correct", "tokens", "truncated", "verified")  # of GRADE_KEYS


def collect(config: Config) -> None:
    """Write run.json and the tables of a run: graded responses, scores, curves, metrics and the learning-rate grid."""
    watch, folder, draws = Provenance(), config.results_dir, resampling(config)
    grades = grades_of(config, evaluations(config), experiments.judged_evaluations(config))
    grid = read_grid(config, experiments.sweeps_and_bases(config))
    runs = [cell.folder(config) for cell in experiments.training_runs(config)]
    frames = {
        "graded_responses.csv.gz": grades,
        "scores.csv": score_rows(config, grades, draws),
        "curves.csv": stack(run / "curves.csv" for run in runs),
        "metrics.csv": stack(run / "metrics.csv" for run in runs),
        "grid_graded_responses.csv.gz": grid,
        "grid.csv": grid_rows(grid, draws),
    }
    for name, frame in frames.items():
        write_frame(folder / name, frame)
    write_json(folder / "run.json", run_record(config, watch))


def write_frame(path: Path, frame: pd.DataFrame) -> None:
    """A CSV, compressed where its name ends so: equal frames give equal bytes."""
    # a compressed file holds its name, here a temporary one, and its time unless both are set
    packing = {"method": "gzip", "filename": "", "mtime": 0} if path.suffix == ".gz" else None
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        frame.to_csv(file, index=False, compression=packing)


def grades_of(
    config: Config, asked: Iterable[tuple[Cell, str]], judged: Iterable[tuple[Cell, str]] = ()
) -> pd.DataFrame:
    """One row per graded response. In `judged` evaluations the judge model's `verified` replaces the grader's."""
    judges, columns = set(judged), defaultdict(list)
    for cell, suite in asked:
        graded = read_jsonl(suite_file(config, cell, suite, "grades.jsonl"), KEPT, AGAIN.format("grade"))
        if (cell, suite) in judges:
            lines = read_jsonl(suite_file(config, cell, suite, "judged.jsonl"), JUDGED_KEYS, AGAIN.format("judge"))
            read = {(line["problem"], line["sample"]): line["verified"] for line in lines}
            for line in graded:
                line["verified"] = read.get((line["problem"], line["sample"]), line["verified"])
        for name, value in _names(config, cell, suite).items():
            columns[name] += [value] * len(graded)
        for key in KEPT:
            columns[key] += [line[key] for line in graded]
    return pd.DataFrame(columns)


def results_of(config: Config, asked: Iterable[tuple[Cell, str]], judged: Iterable[tuple[Cell, str]] = ()) -> Results:
    """The grades of some evaluations under the shared rate, without curves, grid and measurements."""
    return Results(config, cells_of(grades_of(config, asked, judged)), protocol=SHARED_RATE)


def _names(config: Config, cell: Cell, suite: str) -> dict[str, Any]:
    base = cell.method == "base"
    names = {"suite": suite, "model": cell.model, "method": cell.method, "protocol": cell.protocol}
    seeds = {"pretrain_seed": cell.pretraining_seed(config), "train_seed": 0 if base else cell.seed}
    return {**names, **seeds, "n": None if base else getattr(method_of(config, cell.method), "n", None)}


def score_rows(config: Config, grades: pd.DataFrame, resampling: Resampling) -> pd.DataFrame:
    """One row per run and benchmark: percent correct with its problem-level interval, length and cut-off share."""
    keys = ["suite", "model", "method", "protocol", "pretrain_seed", "train_seed", "n", "benchmark"]
    rows = []
    for key, group in grades.groupby(keys, dropna=False, sort=False):
        values = 100.0 * group.groupby("problem", sort=False).correct.mean().to_numpy()
        numbers = (*ends(values, resampling), len(values), group["sample"].nunique())
        rows.append((*key, *numbers, group.tokens.mean(), group.truncated.mean()))
    numbers = ["value", "ci_low", "ci_high", "problems", "k", "mean_tokens", "truncated_share"]
    frame = pd.DataFrame(rows, columns=[*keys, *numbers])
    frame["stands_for"] = [config.models[model].stands_for for model in frame.model]
    return frame[["model", "stands_for", *keys[2:], *numbers, "suite"]].round(4)


def ends(values: np.ndarray, resampling: Resampling) -> tuple[float, float, float]:
    """The mean over problems and the ends of its problem-level interval."""
    interval = within_model([values[:, None]], resampling).interval()
    return interval.value, interval.low, interval.high


def read_grid(config: Config, sweeps: Iterable[tuple[str, str]]) -> pd.DataFrame:
    """Validation grades of each (model, method) at every rate of the grid, one row per problem; "base" has no rate."""
    files = [grid_file(config, *pair) for pair in sweeps]
    lines = [line for f in files for line in read_jsonl(f, GRID_KEYS, "run `intro sweep` for it again")]
    return pd.DataFrame(lines, columns=list(GRID_KEYS))


def grid_rows(grid: pd.DataFrame, resampling: Resampling) -> pd.DataFrame:
    """Validation accuracy in percent with its problem-level interval, per model, method and rate (base: none)."""
    keys, rows = ["model", "method", "lr", "train_seed"], []
    numbers = ["value", "ci_low", "ci_high", "mean_tokens"]
    for key, group in grid.groupby(keys, sort=False, dropna=False):
        values = 100.0 * group.correct.to_numpy(dtype=float)
        rows.append((*key, *ends(values, resampling), group.tokens.mean(), len(group)))
    # not the rates: rounded like the percentages, a small one would become zero
    return pd.DataFrame(rows, columns=[*keys, *numbers, "problems"]).round(dict.fromkeys(numbers, 4))


def stack(files: Iterable[Path]) -> pd.DataFrame:
    """The rows of CSV files of one kind."""
    return pd.concat([pd.read_csv(file) for file in files], ignore_index=True)


def run_record(config: Config, watch: Provenance) -> dict[str, Any]:
    """Provenance of the whole run: what computed how long, summed over the records beside the results."""
    folder = config.results_dir
    files = [file.relative_to(folder) for file in folder.rglob("*record.json")]
    # hidden: states in .scratch, and what another command is just writing
    shown = [file for file in files if not any(part.startswith(".") for part in file.parts)]
    records = [json.loads((folder / file).read_text()) for file in shown]
    return watch.record(
        settings=config.model_dump(mode="json"),
        seed=config.seed,
        compute_seconds=round(sum(r.get("wall_seconds", 0.0) for r in records), 1),
        commits=sorted({r["commit"] for r in records if "commit" in r}),
        runs=len(experiments.training_runs(config)),
    )
