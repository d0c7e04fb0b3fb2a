"""The scoreboard of claims, for the terminal and for a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from intro.analysis.tables.typeset import markdown_table, spread
from intro.types import IntroError

WIDTHS = (24, 5, 23, 24)  # with one space between: 79 columns
HEADS = ("claim", "under", "estimate [95 %]", "verdict")


def _columns(texts: Sequence[str]) -> str:
    return " ".join(f"{text[:width]:<{width}}" for text, width in zip(texts, WIDTHS, strict=True)).rstrip()


def scoreboard(path: Path) -> str:
    """claims.csv as plain text of at most 80 columns. Raises IntroError when there is no such file."""
    if not path.exists():
        raise IntroError(f"{path}: no such file; run `snakemake compare` to make it")
    frame = pd.read_csv(path)
    lines = [_columns(HEADS), _columns(["-" * width for width in WIDTHS])]
    lines += [_columns([row.claim, row.protocol, _estimate(row), row.verdict]) for row in frame.itertuples()]
    counts = frame["verdict"].value_counts()
    return "\n".join([*lines, "", ", ".join(f"{count} {verdict}" for verdict, count in counts.items())])


# ---------------------------------------------------------------- a page

INTRODUCTION = """\
# Scoreboard

Intervals are 95 %. A claim is *reproduced* when its interval lies wholly on the claimed side, *contradicted* when it
lies wholly on the other, *inconclusive* when it lies on neither. It *depends on learning rate* when some rates of the
grid reproduce it and others contradict it, and is *not tested* where nothing comparable was run.
"""

GRID = """\
## The same claims at every learning rate

Validation problems; one shared learning rate for all methods.
"""


def markdown(claims: pd.DataFrame, grid: pd.DataFrame) -> str:
    """claims.md: one table of claims, and one of the learning-rate grid where it was run."""
    heads = ("claim", "protocol", "estimand", "estimate", "verdict", "replicates")
    rows = [
        (row.statement, row.protocol, row.estimand, _estimate(row), f"**{row.verdict}**", row.replicates or "-")
        for row in claims.itertuples()
    ]
    page = f"{INTRODUCTION}\n{markdown_table(heads, rows)}"
    if grid.empty:
        return page
    heads = ("claim", "learning rate", "estimate", "verdict", "replicates")
    points = [
        (row.claim, f"{row.lr:g}", _estimate(row), row.verdict, row.replicates or "-") for row in grid.itertuples()
    ]
    return f"{page}\n{GRID}\n{markdown_table(heads, points)}"


def _estimate(row: Any) -> str:
    return spread(row.estimate, row.ci_low, row.ci_high)
