"""Fill the tables of docs/performance.md from benchmarks/*.csv: `python benchmarks/page.py`.

A table stands between the marks <!-- NAME:begin --> and <!-- NAME:end -->, and comes from benchmarks/NAME.csv. What
does not differ between its rows, such as machine, versions and date, stands below it.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

from common import split
from intro.infra.files import write_text

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "performance.md"
BLOCK = re.compile(r"(<!-- (?P<name>\w+):begin -->\n).*?(<!-- (?P=name):end -->)", re.DOTALL)


def filled(text: str, folder: Path = HERE) -> str:
    """The page with each table as its CSV in `folder` has it."""
    return BLOCK.sub(lambda found: found[1] + block(folder / (found["name"] + ".csv")) + found[3], text)


def block(file: Path) -> str:
    """A GitHub table and the line below it; a sentence when there is no such file."""
    if not file.is_file():
        own = f"python benchmarks/{file.stem}.py --out benchmarks/{file.name}"
        gpu = f"make bench-gpu`, then results/benchmarks/{file.name} to `benchmarks/"
        return f"Not measured yet: `{gpu if file.stem.endswith('gpu') else own}`.\n"
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    shown, same = split(rows)
    numbers = {c for c in shown if all(_is_number(row[c]) for row in rows)}
    lines = [
        [c.replace("_", " ") for c in shown],
        ["--:" if c in numbers else "---" for c in shown],
        *([_short(row[c]) if c in numbers else row[c] for c in shown] for row in rows),
    ]
    below = ", ".join(f"{c.replace('_', ' ')} {rows[0][c]}" for c in same if rows[0][c])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + f"\n<sub>{below}</sub>\n"


def _is_number(value: str) -> bool:
    try:
        float(value or 0)
    except ValueError:
        return False
    return True


def _short(value: str) -> str:
    """Whole numbers with their thousands apart, others to three digits, nothing for nothing."""
    if not value:
        return "–"
    number = float(value)
    return f"{int(number):,}" if number.is_integer() else f"{number:.3g}"


if __name__ == "__main__":
    write_text(PAGE, filled(PAGE.read_text()))
