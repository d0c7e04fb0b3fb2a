"""Where a checkpoint's generations and grades are, and what their lines hold."""

from __future__ import annotations

from pathlib import Path

from intro.config import Config
from intro.plan import Cell, check_model, method_of
from intro.types import IntroError

GENERATION_KEYS = ("benchmark", "problem", "sample", "tokens", "truncated", "text")
GRADE_KEYS = ("benchmark", "problem", "sample", "correct", "reason", "extracted", "verified", "tokens", "truncated")


def suite_file(config: Config, cell: Cell, suite: str, name: str) -> Path:
    """`name` is generations.jsonl, grades.jsonl or score.json."""
    return cell.folder(config) / suite / name


def check(config: Config, cell: Cell, suite: str) -> None:
    """Raises IntroError for a model, method or suite that this config does not have."""
    check_model(config, cell.model)
    if cell.method != "base":
        method_of(config, cell.method)
    if suite not in config.evaluation.suites:
        raise IntroError(f"suite: unknown '{suite}'; this config has {', '.join(config.evaluation.suites)}")
