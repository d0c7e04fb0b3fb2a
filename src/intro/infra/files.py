"""Files that are either absent or complete, and how tables and records are written."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from intro.types import IntroError


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, renamed to `path` at the end, so a file that exists is complete.

    An error leaves `path` as it was. Raises IntroError when the folder cannot be made or written.
    """
    ensure_folder(path.parent)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")  # keeps the ending: writers choose a format by it
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Like `atomic_file`, for a folder. A folder that exists is replaced."""
    ensure_folder(path.parent)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        shutil.rmtree(path, ignore_errors=True)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def ensure_folder(folder: Path) -> None:
    """Raises IntroError when the folder cannot be made or written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise IntroError(
            f"{folder}: cannot make this results folder ({error.strerror}); choose another or fix it"
        ) from None
    if not os.access(folder, os.W_OK):
        raise IntroError(f"{folder}: the results folder is not writable; choose another or change its permissions")


def write_text(path: Path, text: str) -> None:
    with atomic_file(path) as temporary:
        temporary.write_text(text)


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=1, default=str) + "\n")


def to_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """CSV text; a missing value is an empty field, floats are short but exact enough to plot (7 digits)."""
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n", extrasaction="raise")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: f"{v:.7g}" if isinstance(v, float) else v for k, v in row.items()})
    return out.getvalue()
