"""What waits for imports and planning: `python benchmarks/pipeline.py [--config config/tiny.yaml] [--out FILE]`.

Wall seconds of commands on a run that is complete, of a whole process each, median over rounds in which they take
turns: the help, a table, a second `snakemake` run that finds nothing to do, and a table that is made again from the
grades that there are. The last deletes that one table; nothing else is touched.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median

from common import parser, report
from intro.config import load
from intro.cost.measure.timing import interleaved, machine

TOOLS = Path(sys.executable).parent
ENVIRONMENT = os.environ | {"PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}"}  # Snakemake's jobs call `intro` by name
GOALS = {"intro --help": 0.3, "intro table main": 1.5, "snakemake, nothing to do": 5.0, "snakemake table_main": 5.0}


def run(*command: str) -> str:
    """What a tool of this environment prints; a failure ends the benchmark with the tool's own words."""
    done = subprocess.run([TOOLS / command[0], *command[1:]], capture_output=True, text=True, env=ENVIRONMENT)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-2000:]}")
    return done.stdout + done.stderr


def works(config: str) -> dict[str, Callable[[], object]]:
    """The commands by name, in the order of GOALS. Ends the process where the run is not complete."""
    folder = load(config).results_dir
    snakemake = ("snakemake", "--cores", "all", "--configfile", config)
    missing = f"expected a complete run below {folder}; make it with `{' '.join(snakemake)}`"
    if not (folder / "report.html").is_file() or "Nothing to be done" not in run(*snakemake, "--dry-run"):
        sys.exit(missing)

    def again() -> None:
        (folder / "tables" / "main.csv").unlink()
        run("snakemake", "table_main", *snakemake[1:])

    done = (
        lambda: run("intro", "--help"),
        lambda: run("intro", "table", "main", "--config", config),
        lambda: run(*snakemake),
        again,
    )
    return dict(zip(GOALS, done, strict=True))


def main() -> None:
    arguments = parser("pipeline", __doc__, rounds=5)
    arguments.add_argument("--config", default="config/tiny.yaml", help="of a run that is complete (config/tiny.yaml)")
    given = arguments.parse_args()
    seconds = interleaved(works(given.config), given.rounds)
    rows = [
        {"command": name, "seconds": median(taken), "fastest": min(taken), "slowest": max(taken), "goal": GOALS[name]}
        | {"rounds": given.rounds, "config": given.config, **machine()}
        for name, taken in seconds.items()
    ]
    report(rows, given.out)


if __name__ == "__main__":
    main()
