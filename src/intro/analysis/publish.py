"""Copy a run's small files below results/reference and figures/reference, where they are committed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from intro.config import Config
from intro.provenance import whole_folder
from intro.types import IntroError

KEPT = [
    *("tables/*", "compare/*.csv", "theory/identities.*", "scores.csv", "curves.csv", "grid.csv", "posterior.csv"),
    *("cost.csv", "claims.csv", "claims.md", "protocol.json", "run.json", "config.yaml"),
]
LARGEST = 1_000_000  # bytes: a bigger file does not belong in a repository


def publish(config: Config) -> list[Path]:
    """Replace the reference that `config.reference` names by this run. Raises IntroError for a run not whole."""
    if not config.reference:
        raise IntroError("reference: this config names no folder to publish to; set the key, as in config/tiny.yaml")
    for needed in ("claims.csv", "tables/main.csv", "run.json"):
        if not (config.results_dir / needed).is_file():
            raise IntroError(f"{config.results_dir / needed}: no such file; finish the run with snakemake first")
    record = json.loads((config.results_dir / "run.json").read_text())
    if dirty := [c for c in record["commits"] if c.endswith("+changes")]:
        raise IntroError(f"run.json: made from uncommitted code ({dirty[0]}); commit, run again and publish that")
    results, figures = (Path(root) / "reference" / config.reference for root in (config.results, config.figures))
    return _copy(config.results_dir, KEPT, results) + _copy(config.figures_dir, ["*.png", "*.pdf"], figures)


def _copy(source: Path, patterns: list[str], target: Path) -> list[Path]:
    with whole_folder(target) as folder:
        files = sorted({f for pattern in patterns for f in source.glob(pattern) if f.is_file()})
        for file in files:
            if file.stat().st_size > LARGEST:
                raise IntroError(f"{file}: {file.stat().st_size} bytes are too many to commit; make it smaller")
            copy = folder / file.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)
    return [target / f.relative_to(source) for f in files]
