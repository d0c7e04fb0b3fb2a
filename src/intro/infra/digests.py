"""Short stable hashes of settings, files and weights."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def digest(value: Any) -> str:
    """A short stable hash of anything JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """sha256 of a file; of a folder, over its files' names and contents."""
    digest_ = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
        digest_.update(str(file.relative_to(path)).encode())
        with file.open("rb") as opened:  # in parts: weights may be larger than memory
            while part := opened.read(1 << 24):
                digest_.update(part)
    return digest_.hexdigest()[:16]


def weights_digest(folder: Path) -> str:
    """Of a model folder's weights, however many files they are in."""
    return digest({file.name: file_digest(file) for file in sorted(folder.glob("*.safetensors"))})
