"""Problems, generations and grades as JSON Lines; a damaged line is one clear sentence."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from intro.provenance import whole_file
from intro.types import IntroError, Problem

# what each line of these files holds
GENERATION_KEYS = ("benchmark", "problem", "sample", "tokens", "truncated", "text")
GRADE_KEYS = ("benchmark", "problem", "sample", "correct", "reason", "extracted", "verified", "tokens", "truncated")
JUDGED_KEYS = ("benchmark", "problem", "sample", "verified", "reply")
GRID_KEYS = ("model", "method", "lr", "train_seed", "benchmark", "problem", "correct", "tokens")


def write_jsonl(path: Path, records: Iterable[dict[str, Any]]) -> None:
    with whole_file(path) as temporary, temporary.open("w") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def read_jsonl(path: Path, keys: Iterable[str], remedy: str) -> list[dict[str, Any]]:
    """Records that all hold `keys`. Raises IntroError naming the file, the line and the `remedy`."""
    if not path.is_file():
        raise IntroError(f"{path}: no such file; {remedy}")
    records, wanted = [], set(keys)
    with path.open("rb") as file:  # line by line: LiveCodeBench's problems are gigabytes
        for number, line in enumerate(file, start=1):
            try:
                record = json.loads(line)
            except ValueError:
                raise IntroError(f"{path}: line {number} is not JSON, so the file is damaged; {remedy}") from None
            missing = wanted - set(record) if isinstance(record, dict) else wanted
            if missing:
                raise IntroError(f"{path}: line {number} lacks {', '.join(sorted(missing))}; {remedy}")
            records.append(record)
    return records


def write_problems(path: Path, problems: Iterable[Problem]) -> None:
    write_jsonl(path, (asdict(p) for p in problems))


def read_problems(path: Path) -> list[Problem]:
    records = read_jsonl(path, ("id", "benchmark", "question", "answer"), "make it with `intro data`")
    return [Problem(**record) for record in records]
