"""What a run's jobs spend on starting and on working: `python benchmarks/jobs.py [--config FILE] [--out FILE]`.

Reads what a complete run has left behind, and runs nothing. A job's seconds are Snakemake's, from `benchmarks/`; its
work is what the command itself measured, after its imports. The rest is start: the shell, Python and imports.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import parser, report
from intro.config import load

# the records that the jobs of a rule write beside their results, below the run's folder or that of its figures
RECORDS = {
    "make_data": "problems/record.json",
    "pretrain": "models/**/record.json",
    "sweep": "grid/*/*.record.json",
    "select": "learning_rates.json",
    "train": "runs/*/*/*/*/record.json",
    "generate": "runs/*/*/*/*/*/generations.record.json",
    "grade": "runs/*/*/*/*/*/score.json",
    "posterior": "posterior.record.json",
    "cost": "cost.record.json",
    "theory": "theory/record.json",
    "collect": "run.json",
    "tables": "tables/*.record.json",
    "compare": "compare/record.json",
    "figures": "*record.json",
    "report": "report.record.json",
}


def measure(folder: Path, pictures: Path) -> Iterator[dict[str, Any]]:
    """A row per rule that the run left times and records of, in the order of RECORDS."""
    for rule, pattern in RECORDS.items():
        times = [*folder.glob(f"benchmarks/{rule}.tsv"), *folder.glob(f"benchmarks/{rule}/*.tsv")]
        place = pictures if rule == "figures" else folder
        records = [json.loads(file.read_text()) for file in place.glob(pattern)]
        if not (times and records):
            continue
        seconds = sum(float(file.read_text().splitlines()[1].split("\t")[0]) for file in times)
        work = sum(float(record.get("record", record)["wall_seconds"]) for record in records)
        yield {
            "rule": rule, "jobs": len(times), "seconds": seconds, "work": work, "start": seconds - work,
            "start_of_a_job": (seconds - work) / len(times), "share_of_start": 1 - work / seconds,
        }  # fmt: skip


def main() -> None:
    arguments = parser("jobs", __doc__)
    arguments.add_argument("--config", default="config/tiny.yaml", help="of a run that is complete (config/tiny.yaml)")
    given = arguments.parse_args()
    config = load(given.config)
    folder = config.results_dir
    rows = list(measure(folder, config.figures_dir))
    if not rows:
        sys.exit(f"expected a complete run below {folder}; make it with `snakemake --configfile {given.config}`")
    run = json.loads((folder / "run.json").read_text())
    about = {"commit": run["commit"], "processor": run["hardware"]["processor"], "cores": run["hardware"]["cores"]}
    report([{**row, "config": given.config, **about, "date": run["started"][:10]} for row in rows], given.out)


if __name__ == "__main__":
    main()
