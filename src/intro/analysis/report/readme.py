"""The README's findings, filled between two marks from the published run: claims with verdicts, and paired gains."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from intro.analysis.claims.judge import ANY
from intro.analysis.data.results import BASE, SHARED_RATE
from intro.analysis.stats.intervals import of_replicates
from intro.analysis.tables.typeset import markdown_table, spread
from intro.config import Config
from intro.infra.files import write_text
from intro.types import IntroError

BEGIN, END = "<!-- findings:begin -->", "<!-- findings:end -->"


def findings(config: Config, folder: Path) -> str:
    """Two tables from `claims.csv` and `scores.csv` in `folder`: claims under the shared rate, gains by method."""
    claims = _read(folder / "claims.csv")
    rows = [
        (claim.statement, spread(claim.estimate, claim.ci_low, claim.ci_high), claim.estimand, claim.verdict)
        for claim in claims[claims.protocol.isin([SHARED_RATE, ANY])].itertuples()
    ]
    by_model, of_methods = gains(_read(folder / "scores.csv")), []
    for name, method in config.methods.items():
        if name in by_model:
            gain = of_replicates(by_model[name].dropna(), "models")
            of_methods.append((method.label, spread(gain.value, gain.low, gain.high)))
    first = markdown_table(("claim of the paper", "estimate [95 %]", "measured as", "verdict"), rows)
    return f"{first}\n{markdown_table(('method', 'gain over the base model, points [95 %]'), of_methods)}"


def gains(scores: pd.DataFrame) -> pd.DataFrame:
    """Points over the base model that each run started from, averaged over benchmarks and runs: [model, method]."""
    main = scores[(scores.suite == "main") & scores.protocol.isin([BASE, SHARED_RATE])]
    start = ["model", "pretrain_seed"]
    base = main[main.method == BASE].groupby(start).value.mean().rename("base")
    runs = main[main.method != BASE].groupby([*start, "method", "train_seed"]).value.mean().reset_index()
    runs = runs.join(base, on=start)
    return runs.assign(gain=runs.value - runs.base).groupby(["model", "method"]).gain.mean().unstack("method")


def _read(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise IntroError(f"{path}: no such file; `intro publish` copies it from a finished run")
    return pd.read_csv(path)


def fill(config: Config, readme: Path = Path("README.md")) -> None:
    """Replace what stands between the marks by the findings of the published run that `config.reference` names.

    Raises IntroError for a config without one, for missing files, and for a README without the marks.
    """
    if not config.reference:
        raise IntroError("reference: this config names no published run; set the key, as in config/tiny.yaml")
    text = readme.read_text()
    if BEGIN not in text or END not in text:
        raise IntroError(f"{readme}: expected the marks {BEGIN} and {END}, found none; put them where the tables go")
    before, rest = text.split(BEGIN, 1)
    tables = findings(config, Path(config.results) / "reference" / config.reference)
    write_text(readme, f"{before}{BEGIN}\n{tables}{END}{rest.split(END, 1)[1]}")
