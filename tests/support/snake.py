"""Snakemake in a copy of the working tree, so that a user's own run and its lock are left alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COPIED = ["Snakefile", "environment.yml", "pyproject.toml", "constraints.txt", "workflow", "config", "profiles", "src"]
# the tools of the environment that runs the tests, whether or not it is activated
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def tool(folder: Path, *command: str, ok: bool = True) -> str:
    """Run a command there; its output, stdout and stderr together."""
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)
    text = done.stdout + done.stderr
    assert (done.returncode == 0) == ok, text[-4000:]
    return text


def snakemake(folder: Path, config: str, *more: str, ok: bool = True) -> str:
    # targets come first: the config option would take them for more files
    return tool(folder, "snakemake", *more, "--cores", "2", "--configfile", f"config/{config}.yaml", ok=ok)


def planned(text: str) -> dict[str, int]:
    """Rule -> number of jobs of a dry run."""
    lines = text.split("Job stats:")[-1].splitlines() if "Job stats:" in text else []
    counts = [line.split() for line in lines]
    return {words[0]: int(words[1]) for words in counts if len(words) == 2 and words[1].isdigit()}


def evaluated(jobs: dict[str, int], verb: str = "generate") -> int:
    """Jobs of the rules of that kind: there is one rule for each set of suites that share a process."""
    return sum(count for rule, count in jobs.items() if rule.startswith(f"{verb}_"))


def copy_tree(folder: Path) -> Path:
    for name in COPIED:
        source = ROOT / name
        ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(source, folder / name, ignore=ignore) if source.is_dir() else shutil.copy(source, folder)
    return folder
