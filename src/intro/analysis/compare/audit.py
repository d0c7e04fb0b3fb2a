"""The audit of the reported tables: recomputed averages and improvements, and whether each cell is attainable.

Every printed number stands for an interval of half a unit of its last decimal on each side; a finding is a
number that no values inside those intervals could give. Arithmetic is exact (fractions), so a cell on a
rounding boundary is never a finding. No check refers to a particular cell.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import ceil, floor
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import pandas as pd

from intro.analysis.data.inputs import REPORTED_COLUMNS
from intro.types import IntroError

COMPUTED = ("mean", "relative")  # metrics of reported.csv that follow from other cells
VARIANT_COLUMNS = ["benchmark", "variant", "problems", "samples", "expected"]


class ReportedCell(NamedTuple):
    """One reported number; `value` is exact, `half` is half a unit of its last printed decimal."""

    table: str
    model: str
    method: str
    benchmark: str
    metric: str
    value: Fraction
    half: Fraction

    @property
    def row(self) -> tuple[str, str, str]:
        return self.table, self.model, self.method

    @property
    def low(self) -> Fraction:
        return self.value - self.half

    @property
    def high(self) -> Fraction:
        return self.value + self.half


class Variant(NamedTuple):
    """One reading of a benchmark: so many problems, so many samples each. `expected`: what the paper describes."""

    benchmark: str
    variant: str
    problems: int
    samples: int
    expected: bool

    @property
    def responses(self) -> int:
        return self.problems * self.samples


class Finding(NamedTuple):
    """A row of compare/audit.csv. For check "size", `reported` counts cells and `recomputed` those that fit."""

    check: str
    table: str
    model: str
    method: str
    benchmark: str
    reported: float
    recomputed: float
    consistent: bool
    note: str


Rows = dict[tuple[str, str, str], list[ReportedCell]]  # (table, model, method) -> the cells that nothing computes


# ---------------------------------------------------------------- reading


def _read(path: Path, columns: list[str]) -> pd.DataFrame:
    if not path.exists():
        raise IntroError(f"{path}: no such file; it comes with the project, restore it from version control")
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)  # text keeps the printed decimals
    missing = [column for column in columns if column not in frame]
    if missing:
        raise IntroError(f"{path}: expected columns {', '.join(columns)}; {', '.join(missing)} not found")
    return frame


def cell(table: str, model: str, method: str, benchmark: str, metric: str, text: str) -> ReportedCell:
    """A cell from its printed text: "19.9" stands for [19.85, 19.95]."""
    decimals = len(text.partition(".")[2])
    return ReportedCell(table, model, method, benchmark, metric, Fraction(text), Fraction(1, 2 * 10**decimals))


def read_cells(path: Path) -> list[ReportedCell]:
    """The reported numbers (percent). Raises IntroError when the file or a column is missing."""
    frame = _read(path, REPORTED_COLUMNS)
    return [cell(*row) for row in frame[REPORTED_COLUMNS].itertuples(index=False, name=None)]


def read_variants(path: Path) -> list[Variant]:
    """Sizes of the benchmarks, in every version that the paper may have used."""
    rows = _read(path, VARIANT_COLUMNS)[VARIANT_COLUMNS].itertuples(index=False, name=None)
    return [Variant(name, what, int(n), int(k), expected == "1") for name, what, n, k, expected in rows]


# ---------------------------------------------------------------- attainability (GRIM)


def attainable(value: Fraction, half: Fraction, responses: int) -> bool:
    """Whether some count of correct responses gives a percentage within `half` of `value`."""
    least = max(0, ceil((value - half) * responses / 100))
    most = min(responses, floor((value + half) * responses / 100))
    return least <= most


def nearest(value: Fraction, responses: int) -> Fraction:
    """The percentage closest to `value` that so many responses can give."""
    return Fraction(100 * min(responses, max(0, round(value * responses / 100))), responses)


def _finding(check: str, c: ReportedCell, recomputed: Fraction, consistent: bool, note: str) -> Finding:
    return Finding(check, *c.row, c.benchmark, float(c.value), round(float(recomputed), 3), consistent, note)


def _attainability(cells: list[ReportedCell], variants: list[Variant]) -> Iterator[Finding]:
    expected = {variant.benchmark: variant.responses for variant in variants if variant.expected}
    for c in cells:
        if responses := expected.get(c.benchmark):
            fits = attainable(c.value, c.half, responses)
            note = f"{'' if fits else 'not '}a multiple of 1/{responses}"
            yield _finding("attainable", c, nearest(c.value, responses), fits, note)


def _sizes(cells: list[ReportedCell], variants: list[Variant]) -> Iterator[Finding]:
    """Which readings of a benchmark fit all of its cells."""
    for variant in variants:
        printed = [c for c in cells if c.benchmark == variant.benchmark]
        if not printed:
            continue
        fits = sum(attainable(c.value, c.half, variant.responses) for c in printed)
        # steps no wider than the rounding interval can give any printed value
        blind = all(Fraction(100, variant.responses) <= 2 * c.half for c in printed)
        note = f"{variant.variant}: {fits} of {len(printed)} cells fit {variant.responses} responses"
        note += "; any value would" if blind else ""
        row = (printed[0].table, "", "", variant.benchmark, len(printed), fits, fits == len(printed), note)
        yield Finding("size", *row)


# ---------------------------------------------------------------- averages and improvements


def _mean(cells: list[ReportedCell], printed: ReportedCell | None = None) -> tuple[Fraction, Fraction, Fraction]:
    """Mean of the values, and the least and the highest that it can be; with `printed`, it may be that one as well."""
    low, high = mean(c.low for c in cells), mean(c.high for c in cells)
    also = [printed.value] if printed else []
    return mean(c.value for c in cells), min([low, *also]), max([high, *also])


def _averages(cells: list[ReportedCell], rows: Rows) -> Iterator[Finding]:
    for c in cells:
        if c.benchmark == "average" and (parts := rows.get(c.row)):
            exact, low, high = _mean(parts)
            yield _finding("average", c, exact, low <= c.high and c.low <= high, f"mean of {len(parts)} cells")


def _improvements(cells: list[ReportedCell], rows: Rows) -> Iterator[Finding]:
    """Relative gain over the base row, whether it was taken from the printed averages or from exact ones."""
    averages = {c.row: c for c in cells if c.benchmark == "average"}
    for c in cells:
        base_row = (c.table, c.model, "base")
        if c.benchmark == "improvement_pct" and c.row in rows and base_row in rows:
            exact, low, high = _mean(rows[c.row], averages.get(c.row))
            base, base_low, base_high = _mean(rows[base_row], averages.get(base_row))
            least, most = 100 * (low / base_high - 1), 100 * (high / base_low - 1)
            note = f"cells allow {float(least):.2f} to {float(most):.2f}"
            yield _finding("improvement", c, 100 * (exact / base - 1), least <= c.high and c.low <= most, note)


def audit(cells: list[ReportedCell], variants: list[Variant]) -> list[Finding]:
    """Every check on every number; `consistent` is false where a number cannot follow from the others."""
    single = [c for c in cells if c.metric not in COMPUTED]
    rows: Rows = {}
    for c in single:
        rows.setdefault(c.row, []).append(c)
    recomputed = [*_averages(cells, rows), *_improvements(cells, rows)]
    return [*recomputed, *_attainability(single, variants), *_sizes(single, variants)]


def audit_frame(folder: Path) -> pd.DataFrame:
    """compare/audit.csv from the folder with reported.csv and benchmarks.csv."""
    findings = audit(read_cells(folder / "reported.csv"), read_variants(folder / "benchmarks.csv"))
    return pd.DataFrame(findings, columns=Finding._fields)
