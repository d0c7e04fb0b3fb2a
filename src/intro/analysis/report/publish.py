"""Copy a run's small files below results/reference and figures/reference, where they are committed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import yaml

from intro.config import Config
from intro.infra.files import atomic_folder
from intro.types import IntroError

KEPT = [
    *("tables/*", "compare/*.csv", "theory/identities.*", "scores.csv", "curves.csv", "grid.csv", "posterior.csv"),
    *("cost.csv", "claims.csv", "claims.md", "learning_rates.json", "run.json"),
]
CONFIG_FILE = "config.yaml"  # the whole config of the run, after `extends`
LARGEST = 1_000_000  # bytes: a bigger file does not belong in a repository


def publish(config: Config) -> list[Path]:
    """Replace the published run that `config.reference` names by this run; return the files written.

    Both folders are written completely before either old one is removed. Raises IntroError for an incomplete run, for
    one from uncommitted code, for a file of more than `LARGEST` bytes and for a folder outside `reference`.
    """
    if not config.reference:
        raise IntroError("reference: this config names no folder to publish to; set the key, as in config/tiny.yaml")
    results, figures = (_published(root, config.reference) for root in (config.results, config.figures))
    for needed in ("claims.csv", "tables/main.csv", "run.json"):
        if not (config.results_dir / needed).is_file():
            raise IntroError(f"{config.results_dir / needed}: no such file; finish the run with snakemake first")
    record = json.loads((config.results_dir / "run.json").read_text())
    if dirty := [c for c in record["commits"] if c.endswith("+changes")]:
        raise IntroError(f"run.json: made from uncommitted code ({dirty[0]}); commit, run again and publish that")
    with atomic_folder(results) as new_results, atomic_folder(figures) as new_figures:
        tables = _copy(config.results_dir, KEPT, new_results)
        (new_results / CONFIG_FILE).write_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
        pictures = _copy(config.figures_dir, ["*.png", "*.pdf"], new_figures)
    return [results / name for name in [*tables, CONFIG_FILE]] + [figures / name for name in pictures]


def _published(root: str, name: str) -> Path:
    """The folder `name` directly in `root`/reference: it is replaced as a whole, so nothing else may lie in it."""
    home = Path(root) / "reference"
    if (home / name).resolve().parent != home.resolve():
        raise IntroError(
            f"reference: expected the name of a folder directly in {home}, found {name!r}, which leads to "
            f"{(home / name).resolve()}; choose a plain name such as 'tiny', or remove the link"
        )
    return home / name


def _copy(source: Path, patterns: list[str], folder: Path) -> list[Path]:
    """Copy the files that match; return their paths relative to `source`."""
    files = sorted({f for pattern in patterns for f in source.glob(pattern) if f.is_file()})
    for file in files:
        if file.stat().st_size > LARGEST:
            raise IntroError(f"{file}: {file.stat().st_size} bytes are too many to commit; make it smaller")
        copy = folder / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    return [f.relative_to(source) for f in files]
