"""The summary of a finished run for the terminal, at most 80 columns: paths of the results, and the scoreboard."""

from __future__ import annotations

import json

from intro.analysis.claims.scoreboard import scoreboard
from intro.config import Config
from intro.types import IntroError


def summary(config: Config) -> str:
    """Paths of tables, figures and report, then the scoreboard. Raises IntroError before a run is finished."""
    folder = config.results_dir
    claims = folder / "claims.csv"
    if not claims.is_file():
        raise IntroError(f"{claims}: no such file; `snakemake --cores all` makes it")
    lines = [
        "",
        f"tables      {folder}/tables/   (csv, md, tex)",
        f"figures     {config.figures_dir}/   (png, pdf)",
        f"comparison  {folder}/compare/   (reported | reference | yours, audit)",
        f"theory      {folder}/theory/identities.md",
        f"report      {folder}/report.html",
        "",
    ]
    rates = json.loads((folder / "learning_rates.json").read_text())
    lines += [f"shared learning rate, chosen on validation problems: {rates['paper']['learning_rate']:g}", ""]
    return "\n".join(lines) + scoreboard(claims)
