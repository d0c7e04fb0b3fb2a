"""One table in every format: Markdown, a LaTeX tabular (booktabs) and, by a template of the report, HTML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from intro.infra.files import write_text

DASH = "–"
MINUS = "−"
SPECIAL = {c: f"\\{c}" for c in "%&_#$"} | {"–": "--", MINUS: "$-$"}


# ---------------------------------------------------------------- numbers


def number(value: float, form: str = "{:.1f}") -> str:
    """A missing value is a dash; a negative one gets a true minus sign."""
    return DASH if not np.isfinite(value) else form.format(value).replace("-", MINUS)


def bracket(low: float, high: float) -> str:
    return f"[{number(low)}, {number(high)}]" if np.isfinite(low) and np.isfinite(high) else ""


def three_figures(value: float) -> str:
    """Three figures or a whole number, for values of any unit, in ASCII: a terminal and a CSV reader show it."""
    if not np.isfinite(value):
        return "-"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def spread(estimate: float, low: float, high: float) -> str:
    """ "1.20 [0.40, 2.00]"; the estimate alone where it has no interval."""
    ends = "" if np.isnan(low) else f" [{three_figures(low)}, {three_figures(high)}]"
    return three_figures(estimate) + ends


# ---------------------------------------------------------------- tables


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a column, with a second line where `below` is filled. `latex` replaces the text in LaTeX."""

    text: str
    below: str = ""
    latex: str | None = None
    words: bool = False  # a column of words is aligned left, one of numbers right


@dataclass(frozen=True, slots=True)
class Entry:
    """The text of one table cell; the best of its column is set in bold."""

    text: str
    best: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """Rows that belong to one model, or to nothing in particular where `model` is empty."""

    rows: list[list[Entry]]
    model: str = ""
    stands_for: str = ""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table before it is written in one of the formats."""

    heads: list[Head]
    blocks: list[Block]
    note: str = ""

    @property
    def named(self) -> bool:
        """Whether a column of models comes first."""
        return any(block.model for block in self.blocks)


def sheet(frame: pd.DataFrame) -> Sheet:
    """A frame as it is: numbers in the shortest form, missing values empty."""
    numbers = set(frame.select_dtypes("number").columns)
    texts = [["" if pd.isna(v) else f"{v:g}" if c in numbers else str(v) for v in frame[c]] for c in frame.columns]
    return Sheet(
        [Head(str(c), words=c not in numbers) for c in frame.columns], [Block(plain(zip(*texts, strict=True)))]
    )


def plain(rows: Iterable[Iterable[str]]) -> list[list[Entry]]:
    """Rows of text in which nothing is the best."""
    return [[Entry(text) for text in row] for row in rows]


def entries(values: Sequence[float], form: str = "{:.1f}") -> list[Entry]:
    """Numbers of one column or row of which the highest, as printed with one decimal, is the best."""
    best = pd.Series(values).round(1).max()
    return [Entry(number(value, form), bool(round(value, 1) == best)) for value in values]


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]], ruler: str = "") -> str:
    """A pipe table. `ruler` is its second line; without one, columns have no alignment."""
    lines = [" ".join(["|", *(f"{head} |" if head else "|" for head in heads)])]
    lines.append(ruler or "| " + " | ".join(["---"] * len(heads)) + " |")
    # a bar would end a cell
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def markdown(table: Sheet) -> str:
    """The table and its note in italics."""
    heads = [f"{head.text}<br>{head.below}" if head.below else head.text for head in table.heads]
    ruler = "|" + ":--|" * table.named + "".join(":--|" if head.words else "--:|" for head in table.heads)
    rows = []
    for block in table.blocks:
        below = "" if block.stands_for in ("", block.model) else f"<br>{block.stands_for}"
        for place, row in enumerate(block.rows):
            name = [f"**{block.model}**{below}" if place == 0 else ""] if table.named else []
            rows.append([*name, *(f"**{entry.text}**" if entry.best else entry.text for entry in row)])
    return markdown_table([*["Model"] * table.named, *heads], rows, ruler) + f"\n*{table.note}*\n"


def latex(table: Sheet) -> str:
    """A booktabs tabular; a model's name spans the columns above its rows."""
    width = len(table.heads)
    lines = [f"\\begin{{tabular}}{{l{'r' * (width - 1)}}}", "\\toprule"]
    lines.append(_line([escape(head.text) if head.latex is None else head.latex for head in table.heads]))
    if any(head.below for head in table.heads):
        lines.append(_line([f"\\scriptsize {escape(head.below)}" if head.below else "" for head in table.heads]))
    for block in table.blocks:
        lines.append("\\midrule")
        if block.model:
            paper = "" if block.model == block.stands_for else f" (for {escape(block.stands_for)})"
            lines.append(f"\\multicolumn{{{width}}}{{l}}{{\\textit{{{escape(block.model)}}}{paper}}} \\\\")
        for row in block.rows:
            lines.append(_line([f"\\textbf{{{escape(e.text)}}}" if e.best else escape(e.text) for e in row]))
    foot = f"\\multicolumn{{{width}}}{{p{{0.95\\linewidth}}}}{{\\footnotesize {escape(table.note)}}}"
    return "\n".join([*lines, "\\bottomrule", foot, "\\end{tabular}", ""])


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def escape(text: str) -> str:
    """Text with LaTeX's special characters escaped."""
    return "".join(SPECIAL.get(c, c) for c in text)


def write(path: Path, texts: Mapping[str, str]) -> list[Path]:
    """Write `path` with each ending, the keys of `texts`; return the paths."""
    files = [path.with_name(f"{path.name}.{ending}") for ending in texts]
    for file, text in zip(files, texts.values(), strict=True):
        write_text(file, text)
    return files
