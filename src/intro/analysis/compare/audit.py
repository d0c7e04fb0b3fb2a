"""Can the reported tables be right? Recomputed averages and improvements, and attainability of every cell.

Every printed number stands for an interval of half a unit of its last decimal on each side; a finding is a
number that no values inside those intervals could give. Arithmetic is exact (fractions), so a cell on a
rounding boundary is never a finding. Nothing here knows what the tables contain.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from fractions import Fraction
from math import ceil, floor
from pathlib import Path

import pandas as pd

from intro.analysis.data.inputs import REPORTED_COLUMNS
from intro.types import IntroError

COMPUTED = ("mean", "relative")  # metrics of reported.csv that follow from other cells
VARIANT_COLUMNS = ["benchmark", "variant", "problems", "samples", "expected"]


@dataclass(frozen=True, slots=True)
class ReportedCell:
    """One reported number; `value` is exact, `half` is half a unit of its last printed decimal."""

    table: str
    model: str
    method: str
    benchmark: str
    metric: str
    value: Fraction
    half: Fraction


@dataclass(frozen=True, slots=True)
class Variant:
    """One reading of a benchmark: so many problems, so many samples each. `expected`: what the paper describes."""

    benchmark: str
    variant: str
    problems: int
    samples: int
    expected: bool

    @property
    def responses(self) -> int:
        return self.problems * self.samples


@dataclass(frozen=True, slots=True)
class Finding:
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
    """Sizes of the benchmarks and of what else they could have been."""
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


def _attainability(cells: Iterable[ReportedCell], variants: list[Variant]) -> list[Finding]:
    expected = {variant.benchmark: variant for variant in variants if variant.expected}
    found = []
    for c in cells:
        if c.benchmark in expected:
            responses = expected[c.benchmark].responses
            fits = attainable(c.value, c.half, responses)
            near = round(float(nearest(c.value, responses)), 3)
            note = f"a multiple of 1/{responses}" if fits else f"not a multiple of 1/{responses}"
            row = (c.table, c.model, c.method, c.benchmark, float(c.value), near, fits, note)
            found.append(Finding("attainable", *row))
    return found


def _sizes(cells: list[ReportedCell], variants: list[Variant]) -> list[Finding]:
    """Which readings of a benchmark fit all of its cells."""
    found = []
    for variant in variants:
        own = [c for c in cells if c.benchmark == variant.benchmark]
        if not own:
            continue
        fits = sum(attainable(c.value, c.half, variant.responses) for c in own)
        # steps no wider than the rounding interval can give any printed value
        blind = all(Fraction(100, variant.responses) <= 2 * c.half for c in own)
        note = f"{variant.variant}: {fits} of {len(own)} cells fit {variant.responses} responses"
        note += "; any value would" if blind else ""
        row = (own[0].table, "", "", variant.benchmark, len(own), fits, fits == len(own), note)
        found.append(Finding("size", *row))
    return found


# ---------------------------------------------------------------- averages and improvements


@dataclass(frozen=True, slots=True)
class Range:
    """A closed range of possible values."""

    low: Fraction
    high: Fraction

    def meets(self, other: Range) -> bool:
        return self.low <= other.high and other.low <= self.high

    def with_point(self, point: Fraction) -> Range:
        return Range(min(self.low, point), max(self.high, point))


def _printed(c: ReportedCell) -> Range:
    return Range(c.value - c.half, c.value + c.half)


def _mean(cells: list[ReportedCell]) -> Fraction:
    return sum((c.value for c in cells), Fraction(0)) / len(cells)


def _mean_range(cells: list[ReportedCell]) -> Range:
    slack = sum((c.half for c in cells), Fraction(0)) / len(cells)
    return Range(_mean(cells) - slack, _mean(cells) + slack)


def _row(c: ReportedCell, cells: list[ReportedCell], method: str) -> list[ReportedCell]:
    key = (c.table, c.model, method)
    return [o for o in cells if (o.table, o.model, o.method) == key and o.metric not in COMPUTED]


def _averages(cells: list[ReportedCell]) -> list[Finding]:
    found = []
    for c in cells:
        parts = _row(c, cells, c.method)
        if c.benchmark == "average" and parts:
            follows = _mean_range(parts).meets(_printed(c))
            mean = round(float(_mean(parts)), 3)
            note = f"mean of {len(parts)} cells"
            row = (c.table, c.model, c.method, c.benchmark, float(c.value), mean, follows, note)
            found.append(Finding("average", *row))
    return found


def _improvements(cells: list[ReportedCell]) -> list[Finding]:
    """Relative gain over the base row, whether it was taken from the printed averages or from exact ones."""
    averages = {(c.table, c.model, c.method): c for c in cells if c.benchmark == "average"}
    found = []
    for c in cells:
        parts, base_parts = _row(c, cells, c.method), _row(c, cells, "base")
        if c.benchmark != "improvement_pct" or not parts or not base_parts:
            continue
        own, base = _mean_range(parts), _mean_range(base_parts)
        if printed := averages.get((c.table, c.model, c.method)):
            own = own.with_point(printed.value)
        if printed := averages.get((c.table, c.model, "base")):
            base = base.with_point(printed.value)
        possible = Range(100 * (own.low / base.high - 1), 100 * (own.high / base.low - 1))
        exact = round(float(100 * (_mean(parts) / _mean(base_parts) - 1)), 3)
        note = f"cells allow {float(possible.low):.2f} to {float(possible.high):.2f}"
        follows = possible.meets(_printed(c))
        row = (c.table, c.model, c.method, c.benchmark, float(c.value), exact, follows, note)
        found.append(Finding("improvement", *row))
    return found


def audit(cells: list[ReportedCell], variants: list[Variant]) -> list[Finding]:
    """Every check on every number; `consistent` is false where a number cannot follow from the others."""
    single = [c for c in cells if c.metric not in COMPUTED]
    recomputed = [*_averages(cells), *_improvements(cells)]
    return [*recomputed, *_attainability(single, variants), *_sizes(single, variants)]


def audit_frame(folder: Path) -> pd.DataFrame:
    """compare/audit.csv from the folder with reported.csv and benchmarks.csv."""
    findings = audit(read_cells(folder / "reported.csv"), read_variants(folder / "benchmarks.csv"))
    return pd.DataFrame([astuple(f) for f in findings], columns=[field.name for field in fields(Finding)])
