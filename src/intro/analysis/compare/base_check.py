"""The base check: base models beside the paper's base rows, from their grades alone, before any training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from intro import experiments
from intro.analysis.compare import agreement
from intro.analysis.data.collect import results_of
from intro.analysis.data.inputs import REPORTED
from intro.analysis.data.results import BASE
from intro.analysis.tables import typeset
from intro.analysis.tables.build import PAPER
from intro.analysis.tables.typeset import Block, Head, Sheet, bracket, number, plain
from intro.config import Config

FLAGS = {agreement.Agreement.WITHIN: "", agreement.Agreement.OUTSIDE: " **outside**"}


def base_check(config: Config, reported: Path = REPORTED) -> list[Path]:
    """Write tables/main_base.csv (a row per cell) and .md (a row per model); return their paths."""
    results = results_of(config, experiments.base_check_evaluations(config))
    paper, reference = agreement.read_reported(reported / "reported.csv"), agreement.read_reference(config)
    frame = agreement.table_frame(results, paper, reference, "main")
    frame = frame[frame.method == BASE].drop(columns="table")
    texts = {"csv": frame.round(4).to_csv(index=False), "md": markdown(config, frame)}
    return typeset.write(config.results_dir / "tables" / "main_base", texts)


def markdown(config: Config, frame: pd.DataFrame) -> str:
    """One row per model: our value with its interval, the paper's below it, and a flag where that lies outside."""
    columns = list(dict.fromkeys(frame.benchmark))
    heads = [PAPER.get(config.data.benchmarks[c].stands_for, c) if c in config.data.benchmarks else c for c in columns]
    blocks = [
        Block(plain([map(_compared, rows.itertuples())]), str(model), str(model))
        for model, rows in frame.groupby("model", sort=False)
    ]
    outside = int((frame.agreement == agreement.Agreement.OUTSIDE).sum())
    compared = int(frame.agreement.isin(list(FLAGS)).sum())
    note = (
        f"Base models: ours with the 95 % interval over problems, the paper's value below. {outside} of {compared} "
        "comparable cells lie outside; training on a base that differs compares other things than the paper did."
    )
    return typeset.markdown(Sheet([Head(head) for head in heads], blocks, note))


def _compared(row: Any) -> str:
    ours = f"{number(row.ours)} {bracket(row.ci_low, row.ci_high)}"
    return f"{ours}<br>{number(row.reported)}{FLAGS.get(row.agreement, '')}"
