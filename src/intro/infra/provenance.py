"""Where a result came from: commit, versions, hardware, config hash, seed, wall time. And whole-file writing."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from intro.types import IntroError

PACKAGES = (
    *("torch", "transformers", "tokenizers", "numpy", "scipy", "pandas", "sympy", "matplotlib", "snakemake"),
    *("datasets", "huggingface_hub", "math-verify", "lm_eval", "deepspeed", "vllm"),
)
ROOT = Path(__file__).resolve().parents[3]


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


# a mended grader grades again what was generated and trains nothing again: that may be a week of GPUs. A run keeps the
# reward that it was trained with, and its record the commit of that
GRADERS = "tasks/graders/"


@cache
def training_code() -> tuple[str, ...]:
    """The modules that decide what a run learns, below the package."""
    package = Path(__file__).parents[1]
    rooms = ("objectives", "model", "rollout", "pretraining", "tasks", "training")
    found = {str(f.relative_to(package)) for room in rooms for f in (package / room).rglob("*.py")}
    return ("infra/seeds.py", *sorted(name for name in found if not name.startswith(GRADERS)))


@cache
def code_digest() -> str:
    """Hash of those modules: stale checkpoints are never taken up by newer code."""
    package = Path(__file__).parents[1]
    return digest({name: file_digest(package / name) for name in training_code()})


def commit(*also: str) -> str:
    """The commit this code runs from, with "+changes" when code, workflow, config or `also` differ from it."""
    git = ["git", "-C", str(ROOT)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=20, check=True)
        decides = ["src", "workflow", "config", "Snakefile", *also]
        status = [*git, "status", "--porcelain", "-uno", "--", *decides]
        dirty = subprocess.run(status, capture_output=True, text=True, timeout=20)
        return head.stdout.strip() + ("+changes" if dirty.stdout.strip() else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown (not a git checkout)"


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


class Provenance:
    """Started with a command; `record` is what the command writes beside its result."""

    def __init__(self) -> None:
        self.started, self._clock = time.strftime("%Y-%m-%dT%H:%M:%S%z"), time.perf_counter()

    def record(self, *, settings: Any, seed: int | None, inputs: dict[str, Path] | None = None, **more: Any) -> dict:
        return {
            "command": " ".join(["intro", *sys.argv[1:]]),
            "commit": commit(),
            "config_hash": digest(settings),
            "settings": settings,
            "seed": seed,
            "inputs": {name: str(path) for name, path in (inputs or {}).items()},
            "versions": _versions(),
            "hardware": {"processor": processor(), "cores": os.cpu_count(), "system": platform.platform()},
            "started": self.started,
            "wall_seconds": round(time.perf_counter() - self._clock, 3),
            **more,
        }


# ---------------------------------------------------------------- writing whole files


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, renamed to it at the end: a file that exists is whole."""
    _ensure_folder(path.parent)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")  # keeps the ending: writers choose a format by it
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Like `atomic_file`, for a folder; an older one is replaced."""
    _ensure_folder(path.parent)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        shutil.rmtree(path, ignore_errors=True)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _ensure_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise IntroError(
            f"{folder}: cannot make this results folder ({error.strerror}); choose another or mend it"
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
