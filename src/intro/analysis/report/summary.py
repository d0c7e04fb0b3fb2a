"""The summary of a finished run for the terminal, at most 80 columns: paths of the results, and the scoreboard."""

from __future__ import annotations

import json

from intro.analysis.claims.scoreboard import scoreboard
from intro.config import Config


def summary(config: Config) -> str:
    """Paths of tables, figures and report, then the scoreboard. Raises IntroError before a run is finished."""
    folder = config.results_dir
    claims = scoreboard(folder / "claims.csv")
    rate = json.loads((folder / "learning_rates.json").read_text())["paper"]["learning_rate"]
    return f"""
tables      {folder}/tables/   (csv, md, tex)
figures     {config.figures_dir}/   (png, pdf)
comparison  {folder}/compare/   (reported | reference | yours, audit)
theory      {folder}/theory/identities.md
report      {folder}/report.html

shared learning rate, chosen on validation problems: {rate:g}
{claims}"""
