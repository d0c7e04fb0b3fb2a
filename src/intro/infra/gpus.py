"""GPUs and cores of a command. Snakemake counts GPUs; a command reserves free ones here by file locks."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from intro.types import IntroError

MOST_WORKERS = 16  # each holds a few hundred megabytes, and several commands may run beside one another
VISIBLE = "CUDA_VISIBLE_DEVICES"
TIMEOUT_S = 600.0  # long enough for a command that is about to end, not for one that has just begun


def workers() -> int:
    """Number of processes or threads to grade with: the usable cores divided by the ranks of this node, at most 16."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(MOST_WORKERS, here // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))


def visible_gpus() -> list[str]:
    """Ids of the GPUs that this process may use: those in CUDA_VISIBLE_DEVICES, or all of the machine."""
    if VISIBLE in os.environ:
        return [part.strip() for part in os.environ[VISIBLE].split(",") if part.strip()]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(
        ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True, timeout=60
    )
    return listed.stdout.split() if listed.returncode == 0 else []


@contextmanager
def reserve_gpus(count: int, timeout_s: float = TIMEOUT_S) -> Iterator[list[str]]:
    """Reserve `count` GPUs that no other command has reserved, and make them the only visible ones.

    count: 0 reserves nothing and changes no variable. timeout_s: seconds to wait for free GPUs. Raises IntroError when
    the machine has fewer, or when too few become free in time. The operating system frees the locks of a dead process.
    """
    if count == 0:
        yield []
        return
    ids = visible_gpus()
    if len(ids) < count:
        raise IntroError(
            f"this run wants {count} GPU{'s' * (count > 1)}, found {len(ids)}; lower the model's hardware.gpus, "
            "or run it where they are (`intro doctor` shows what is here)"
        )
    with ExitStack() as held:
        chosen = _acquire(ids, count, held, time.monotonic() + timeout_s)
        before = os.environ.get(VISIBLE)
        os.environ[VISIBLE] = ",".join(chosen)
        # caches of keys and values grow and shrink; fixed segments would pile up until nothing is left for NCCL
        os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
        try:
            yield chosen
        finally:
            if before is None:
                del os.environ[VISIBLE]
            else:
                os.environ[VISIBLE] = before


def _acquire(ids: list[str], count: int, held: ExitStack, deadline: float) -> list[str]:
    from filelock import FileLock, Timeout

    folder = Path(tempfile.gettempdir()) / f"intro-gpus-{os.getuid()}{os.environ.get('SLURM_JOB_ID', '')}"
    folder.mkdir(exist_ok=True)  # of a job, where SLURM shares out GPUs: each job sees its own as number 0
    while True:
        # one command at a time chooses, so that no two wait for each other's GPUs
        with FileLock(folder / "choosing.lock"), ExitStack() as found:
            chosen = []
            for name in ids:
                lock = FileLock(folder / f"{name.replace('/', '_')}.lock")
                try:
                    found.enter_context(lock.acquire(timeout=0))
                except Timeout:
                    continue
                chosen.append(name)
                if len(chosen) == count:
                    held.push(found.pop_all())
                    return chosen
        if time.monotonic() > deadline:
            raise IntroError(
                f"{count} of the GPUs {', '.join(ids)} did not come free: other commands hold them; "
                "give Snakemake the number there is, as in `--resources gpu=8`"
            )
        time.sleep(1.0)
