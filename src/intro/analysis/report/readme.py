"""The README's table reported | reference | yours, filled from compare/main.csv between two marks."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from intro.config import Config
from intro.infra.files import write_text
from intro.types import IntroError

BEGIN, END = "<!-- comparison:begin -->", "<!-- comparison:end -->"
SHOWN = ("base", "grpo", "intro")  # of the table's seven rows per model; the rest is in compare/main.md


def comparison_block(config: Config) -> str:
    """A GitHub table of the averages: the paper's, our published run's and the last run's here."""
    path = config.results_dir / "compare" / "main.csv"
    if not path.is_file():
        raise IntroError(f"{path}: no such file; `snakemake compare` makes it")
    frame = pd.read_csv(path)
    frame = frame[(frame.benchmark == "average") & frame.method.isin(SHOWN)]
    lines = [
        "| model | stands for | method | reported | reference | yours | 95 % interval |",
        "|---|---|---|--:|--:|--:|:-:|",
    ]
    for row in frame.itertuples():
        label = "base" if row.method == "base" else config.methods[row.method].label
        values = [f"{v:.1f}" if pd.notna(v) else "–" for v in (row.reported, row.reference, row.ours)]
        interval = f"{row.ci_low:.1f} to {row.ci_high:.1f}" if pd.notna(row.ci_low) else "–"
        cells = [f"`{row.model}`", config.models[row.model].stands_for, label, *values, interval]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def fill(config: Config, readme: Path = Path("README.md")) -> None:
    """Replace what stands between the marks. Raises IntroError when the file has no marks."""
    text = readme.read_text()
    if BEGIN not in text or END not in text:
        raise IntroError(f"{readme}: expected the marks {BEGIN} and {END}, found none; put them where the table goes")
    before, rest = text.split(BEGIN, 1)
    write_text(readme, f"{before}{BEGIN}\n{comparison_block(config)}\n{END}{rest.split(END, 1)[1]}")
