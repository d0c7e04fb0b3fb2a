"""Where a result came from: command, commit, versions, hardware, config hash, seed and wall time."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from intro.infra.digests import digest
from intro.infra.files import write_json

PACKAGES = (
    *("torch", "transformers", "tokenizers", "numpy", "scipy", "pandas", "sympy", "matplotlib", "snakemake"),
    *("datasets", "huggingface_hub", "math-verify", "lm_eval", "deepspeed", "vllm"),
)
ROOT = Path(__file__).resolve().parents[3]


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
    """Started with a command, which writes a record beside its result."""

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

    def write(self, path: Path, **record: Any) -> None:
        """Write the record with these arguments as JSON."""
        write_json(path, self.record(**record))
