"""The files that tables, figures and the report read, with their types; one that was not made is an empty frame."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from intro import experiments
from intro.analysis.claims.judge import SHARED_RATE
from intro.analysis.compare.audit import REPORTED_COLUMNS
from intro.analysis.data import collect
from intro.analysis.data.results import BASE, Results, load_results, results_of
from intro.config import Config
from intro.infra.provenance import ROOT

TEXT = dict.fromkeys(["model", "method", "protocol", "benchmark", "suite", "problem"], str)
REPORTED = ROOT / "workflow" / "reported" / "reported.csv"
COLUMNS = {
    "curves": "model method train_seed step subset value mean_tokens protocol",
    "metrics": "model method protocol train_seed step accuracy mean_tokens entropy kept_share correction_mean "
    "posterior_accuracy",
    "grid": "model method lr train_seed value ci_low ci_high mean_tokens problems",
    "posterior": "model estimate problem rationales kl effective_sample_size",
    "cost": "method forward_passes backward_passes tokens flops seconds_median ratio_median ratio_low ratio_high "
    "peak_bytes runs",
    "claims": "claim statement protocol estimand estimate ci_low ci_high verdict replicates",
}


@dataclass(frozen=True)
class Inputs:
    """Reads below results/{scale}, each file once."""

    config: Config

    def frame(self, name: str) -> pd.DataFrame:
        """`name` as in COLUMNS. Columns that the file lacks come as missing values, so older runs still draw."""
        path = self.config.results_dir / f"{name}.csv"
        wanted = COLUMNS[name].split()
        if not path.exists():
            return pd.DataFrame({column: pd.Series(dtype=TEXT.get(column, float)) for column in wanted})
        read = pd.read_csv(path, dtype=TEXT)
        return read.reindex(columns=[*wanted, *(c for c in read.columns if c not in wanted)])

    @cached_property
    def results(self) -> Results:
        """Every response, problem by problem, under the paper's protocol."""
        return load_results(self.config).under(SHARED_RATE)

    @cached_property
    def curves(self) -> pd.DataFrame:
        return self.frame("curves")

    @cached_property
    def metrics(self) -> pd.DataFrame:
        return self.frame("metrics")

    def compare(self, table: str) -> pd.DataFrame:
        path = self.config.results_dir / "compare" / f"{table}.csv"
        return pd.read_csv(path) if path.exists() else pd.DataFrame()

    @cached_property
    def reported(self) -> pd.DataFrame:
        """The paper's own numbers, for orientation in figures; empty when the package runs outside its repository."""
        return pd.read_csv(REPORTED) if REPORTED.exists() else pd.DataFrame(columns=REPORTED_COLUMNS)

    def record(self, name: str) -> Any:
        """A JSON file below results/{scale}, None when it was not made."""
        path = self.config.results_dir / name
        return json.loads(path.read_text()) if path.exists() else None


@dataclass(frozen=True)
class Behind(Inputs):
    """What one table rests on, from the files of its own runs: `collect` gathers those of all."""

    table: str

    @cached_property
    def results(self) -> Results:
        grades = collect.grades_of(self.config, experiments.table_evaluations(self.config, self.table))
        return results_of(self.config, grades).under(SHARED_RATE)

    @cached_property
    def metrics(self) -> pd.DataFrame:
        cells = [cell for cell, _ in experiments.table_evaluations(self.config, self.table) if cell.method != BASE]
        return collect.stack(cell.folder(self.config) / "metrics.csv" for cell in cells)


def under(frame: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """Rows of one protocol; the base model belongs to every one, and so do rows that name none."""
    return frame[frame.protocol.isin([protocol, BASE]) | frame.protocol.isna() | (frame.method == BASE)]
