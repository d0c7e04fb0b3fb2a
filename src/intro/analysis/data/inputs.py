"""What tables, figures and the report read. A file that does not exist is read as an empty frame."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from intro.analysis.data import collect
from intro.analysis.data.results import BASE, SHARED_RATE, Results, load_results, read_table, resampling, result_table
from intro.config import Config
from intro.infra.provenance import ROOT
from intro.sources import Sources

REPORTED = ROOT / "workflow" / "reported"  # the paper's numbers: reported.csv and benchmarks.csv
REPORTED_COLUMNS = ["table", "model", "method", "benchmark", "metric", "value"]


@dataclass(frozen=True)
class Inputs:
    """Reads below results/{scale}."""

    config: Config

    def frame(self, name: str) -> pd.DataFrame:
        """`name` as in `results.COLUMNS`."""
        return result_table(self.config, name)

    @cached_property
    def results(self) -> Results:
        """Every graded response under the protocol with one shared learning rate."""
        return load_results(self.config).under(SHARED_RATE)

    def compare(self, table: str) -> pd.DataFrame:
        path = self.config.results_dir / "compare" / f"{table}.csv"
        return pd.read_csv(path) if path.exists() else pd.DataFrame()

    @cached_property
    def reported(self) -> pd.DataFrame:
        """The numbers that the paper reports; empty when the package runs outside its repository."""
        path = REPORTED / "reported.csv"
        return pd.read_csv(path) if path.exists() else pd.DataFrame(columns=REPORTED_COLUMNS)

    def record(self, name: str) -> Any:
        """A JSON file below results/{scale}, None when it was not made."""
        path = self.config.results_dir / name
        return json.loads(path.read_text()) if path.exists() else None


@dataclass(frozen=True)
class SourceInputs(Inputs):
    """What one table or figure shows, from the files of its runs alone; `collect` gathers those of all runs."""

    sources: Sources

    @cached_property
    def results(self) -> Results:
        return collect.results_of(self.config, self.sources.evaluations, self.sources.judged)

    def frame(self, name: str) -> pd.DataFrame:
        if name == "grid":
            return collect.grid_rows(collect.read_grid(self.config, self.sources.sweeps), resampling(self.config))
        runs = {"curves": self.sources.curves, "metrics": self.sources.metrics}.get(name)
        if runs is None:
            return super().frame(name)
        return read_table(name, [cell.folder(self.config) / f"{name}.csv" for cell in runs])


def under(frame: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """Rows of one protocol; the base model belongs to every one, and so do rows that name none."""
    return frame[frame.protocol.isin([protocol, BASE]) | frame.protocol.isna() | (frame.method == BASE)]
