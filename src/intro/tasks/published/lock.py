"""The lock: a file with one hash per published set, so that every fetch gives the rows of the first one.

The first fetch of a set writes its entry. Rows that differ from an entry are an error.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from filelock import FileLock

from intro.infra.digests import digest
from intro.infra.files import write_json
from intro.types import IntroError


@dataclass(frozen=True, slots=True)
class Entry:
    """Which rows a set had, and where they came from: the Hub or a mirror."""

    hub_id: str
    configs: tuple[str, ...]
    split: str
    revision: str | None  # commit; None for a mirror, whose commit is unknown
    rows: int
    sha256: str
    origin: str


def rows_hash(rows: Iterable[Mapping[str, Any]]) -> str:
    """sha256 over the rows in order, each as JSON with sorted keys, one a line."""
    hash_ = hashlib.sha256()
    for i, row in enumerate(rows):
        line = json.dumps(row, sort_keys=True, ensure_ascii=False, default=str)
        hash_.update(("\n" + line if i else line).encode(errors="surrogatepass"))
    return hash_.hexdigest()


def read_lock(path: Path) -> dict[str, Entry]:
    """Entries by collection; none when there is no file. Raises IntroError when the file is not a lock."""
    try:
        held = json.loads(path.read_text())
        return {name: Entry(**{**entry, "configs": tuple(entry["configs"])}) for name, entry in held.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        expected = f"a JSON object of collections, each with {', '.join(f.name for f in fields(Entry))}"
        remedy = "restore the file, or delete it to trust what is fetched next"
        raise IntroError(f"{path}: expected {expected}, found something else; {remedy}") from None


def hold(path: Path, name: str, entry: Entry, where: str) -> Entry:
    """The lock's entry of a set, after comparing `entry` with it or, for a new set, writing `entry`.

    `where` names where the rows were read, for the message. Raises IntroError when their hash differs from the lock's.
    """
    # not beside the lock, which lies in a folder under version control
    with FileLock(Path(tempfile.gettempdir()) / f"intro-{digest(str(path.resolve()))}.lock"):
        entries = read_lock(path)
        if name not in entries:
            entries[name] = entry
            write_json(path, {key: asdict(entries[key]) for key in sorted(entries)})
    trusted = entries[name]
    if trusted.sha256 != entry.sha256:
        raise IntroError(
            f"{name}: expected the {trusted.rows} rows with sha256 {trusted.sha256} that {path} remembers "
            f"({trusted.origin}: {trusted.hub_id}, revision {trusted.revision or 'unknown'}), "
            f"found {entry.rows} rows with sha256 {entry.sha256} ({where}); "
            f"if these are the ones you want, delete the entry '{name}' from {path}"
        )
    return trusted
