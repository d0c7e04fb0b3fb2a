"""`make bench-gpu` is tried on a CPU, as in an environment that holds the base dependencies only."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

from page import HERE as FOLDER

# what this project installs and neither torch nor transformers needs; psutil is there: on a CPU, and there alone,
# transformers' continuous batching asks it for free memory
ABSENT = (
    "pandas pyarrow snakemake deepspeed accelerate math_verify datasets typer pebble matplotlib scipy sklearn trl"
).split()
BARE = f"""
import importlib.machinery as machinery, runpy, sys

class Bare(machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] in {ABSENT} else super().find_spec(name, path, target)

sys.meta_path = [machinery.BuiltinImporter, machinery.FrozenImporter, Bare]
sys.argv = sys.argv[1:]
sys.path.insert(0, {str(FOLDER)!r})
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def bare(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(FOLDER.parent / "src"), "TRITON_INTERPRET": "0"}
    command = [sys.executable, "-c", BARE, str(FOLDER / script), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def measured(out: Path, script: str, arguments: str) -> list[dict[str, str]]:
    """The rows that a script writes."""
    done = bare(script, *arguments.split(), "--out", str(out))
    assert done.returncode == 0, done.stderr
    with out.open(newline="") as opened:
        return list(csv.DictReader(opened))


def test_the_update_is_measured_with_the_base_dependencies(tmp_path: Path) -> None:
    rows = measured(tmp_path / "out.csv", "gpu.py", "--device cpu --shapes small --tokens 64 --rounds 1")
    assert {"update, sft", "update, intro", "update, exact intro", "update, grpo"} <= {row["what"] for row in rows}
    assert all(float(row["seconds"]) > 0 for row in rows)


def test_rollouts_need_no_more(tmp_path: Path) -> None:
    """All engines, transformers' included."""
    rows = measured(tmp_path / "out.csv", "rollouts.py", "--batch 4 8 --tokens 4 --rounds 1")
    assert len(rows) == 16 and all(float(row["tokens_per_s"]) > 0 for row in rows)


def test_rollouts_end_in_time_and_say_what_they_left_out(tmp_path: Path) -> None:
    done = bare("rollouts.py", *"--batch 4 --tokens 4 --rounds 1 --minutes 0 --out".split(), str(tmp_path / "out.csv"))
    assert done.returncode == 0 and "left out, 0 minutes being over: tiny, batch 4, ragged" in done.stderr
