"""Problems, generations and grades as JSON Lines. A damaged line raises an error that names file and line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from intro.infra.files import atomic_file
from intro.types import IntroError, Problem

CHUNK = 1 << 20  # bytes, about, that are parsed at a time
# what each line of these files holds
GENERATION_KEYS = ("benchmark", "problem", "sample", "tokens", "truncated", "text")
GRADE_KEYS = ("benchmark", "problem", "sample", "correct", "reason", "extracted", "verified", "tokens", "truncated")
JUDGED_KEYS = ("benchmark", "problem", "sample", "verified", "reply")
GRID_KEYS = ("model", "method", "lr", "train_seed", "benchmark", "problem", "correct", "tokens")
AGAIN = "delete it and run `intro {}` for it again"  # remedy; the field is the command that writes the file


def write_jsonl(path: Path, records: Iterable[dict[str, Any]]) -> None:
    with atomic_file(path) as temporary, temporary.open("w") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def read_jsonl(path: Path, keys: Iterable[str], remedy: str) -> list[dict[str, Any]]:
    """Records that all hold `keys`. Raises IntroError naming the file, the line and the `remedy`."""
    if not path.is_file():
        raise IntroError(f"{path}: no such file; {remedy}")
    records: list[dict[str, Any]] = []
    wanted = set(keys)
    with path.open("rb") as file:
        # in chunks: a parser call per line is slower, and LiveCodeBench takes gigabytes
        while lines := file.readlines(CHUNK):
            found = _parse_chunk(lines, wanted)
            records += _parse_lines(lines, len(records), path, wanted, remedy) if found is None else found
    return records


def _parse_chunk(lines: list[bytes], wanted: set[str]) -> list[dict[str, Any]] | None:
    """The records of lines that hold one each, by a parser that is faster than json; None for any other lines."""
    if not all(line.startswith(b"{") and line.rstrip().endswith(b"}") for line in lines):
        return None
    try:
        found = from_json(b"[" + b",".join(lines) + b"]")
    except ValueError:
        return None
    return found if len(found) == len(lines) and all(wanted <= record.keys() for record in found) else None


def _parse_lines(lines: list[bytes], before: int, path: Path, wanted: set[str], remedy: str) -> list[dict[str, Any]]:
    """The records of lines that follow `before` others. Raises IntroError for the first invalid line."""
    records = []
    for number, line in enumerate(lines, start=before + 1):
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
