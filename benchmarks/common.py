"""What the benchmarks share: their arguments, and how a result is printed and written."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from intro.infra.files import to_csv, write_text

WIDTH = 80
# columns of `intro.cost.measure.timing.machine`
MACHINE = "processor cores gpu system python torch transformers threads commit date".split()


def parser(name: str, description: str | None, rounds: int = 10) -> argparse.ArgumentParser:
    """The arguments that every benchmark has; results go to results/benchmarks/NAME.csv unless --out says else."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--rounds", type=int, default=rounds, help=f"measured turns of each piece of work ({rounds})")
    made.add_argument("--out", type=Path, default=Path(f"results/benchmarks/{name}.csv"), help="the CSV to write")
    made.add_argument("--device", default="cpu", help="cpu or cuda (cpu)")
    made.add_argument("--seed", type=int, default=0, help="of weights, tokens and samples (0)")
    return made


def needs_trl() -> None:
    """Ends the process with one sentence where the peer is not installed."""
    if find_spec("trl") is None:
        sys.exit("this benchmark compares with trl, which is not installed; `pip install -e '.[bench]'` installs it")


def report(rows: Sequence[Mapping[str, Any]], out: Path) -> None:
    """Print the rows and write all of their columns to `out`. Rows have the same columns in the same order."""
    print(table(rows))
    write_text(out, to_csv(list(rows[0]), rows))
    print(f"written to {out}")


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as text of at most 80 columns. What does not differ between rows stands below the table, once."""
    shown, same = split(rows)
    columns = [[c, *(_cell(row[c]) for row in rows)] for c in shown]
    below = ", ".join(f"{c} {_cell(rows[0][c])}" for c in same)
    return "\n".join([*_blocks(columns), *textwrap.wrap(below, WIDTH)])


def split(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """The columns that a table shows, and those that are the same in all rows; of a single row, the machine's."""
    same = [c for c in rows[0] if (c in MACHINE if len(rows) == 1 else len({row[c] for row in rows}) == 1)]
    return [c for c in rows[0] if c not in same], same


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _blocks(columns: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of a table. Columns that find no room in 80 characters follow below, beside the first column again."""
    widths = [max(map(len, column)) for column in columns]
    rest = list(range(1, len(columns)))
    while columns:
        block, taken = [0], widths[0]
        while rest and (len(block) == 1 or taken + 2 + widths[rest[0]] <= WIDTH):
            taken += 2 + widths[rest[0]]
            block.append(rest.pop(0))
        for line in zip(*(columns[i] for i in block), strict=True):
            cells = [line[0].ljust(widths[0]), *(c.rjust(widths[i]) for c, i in zip(line[1:], block[1:], strict=True))]
            yield "  ".join(cells).rstrip()
        if not rest:
            break
        yield ""
