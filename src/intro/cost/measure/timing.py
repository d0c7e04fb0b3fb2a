"""Seconds, ratios and peak memory of pieces of work, and the machine that they were measured on.

Imports torch and the standard library only, so that a benchmark runs wherever torch does.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import torch
from torch import Generator
from torch.profiler import ProfilerActivity, profile

from intro.infra.provenance import commit, processor

Device = str | torch.device


@dataclass(frozen=True, slots=True)
class Ratio:
    """A median of ratios with its 95 % interval."""

    median: float
    low: float
    high: float


def synchronise(device: Device) -> None:
    """Wait for the work that a GPU has queued; the clock must not stop before it."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def interleaved(
    works: Mapping[str, Callable[[], Any]], rounds: int, warmup: int = 1, device: Device = "cpu"
) -> dict[str, list[float]]:
    """Seconds of each work in each round, after `warmup` rounds that are not counted.

    Each round runs every work once, so that a drift of the machine's speed affects all of them. The order rotates from
    round to round, so that none of them is always first.
    """
    names = list(works)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(warmup + rounds):
        first = number % max(1, len(names))
        for name in (*names[first:], *names[:first]):
            synchronise(device)
            start = time.perf_counter()
            works[name]()
            synchronise(device)
            if number >= warmup:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def median_interval(values: Sequence[float], resamples: int = 10_000) -> Ratio:
    """The median of the values with its 95 % bootstrap interval; the same values give the same interval."""
    kept = torch.tensor(list(values), dtype=torch.float64)
    drawn = torch.randint(len(kept), (resamples, len(kept)), generator=Generator().manual_seed(0))
    medians = kept[drawn].quantile(0.5, dim=1)
    low, high = medians.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return Ratio(float(kept.quantile(0.5)), low, high)


def paired(seconds: Mapping[str, Sequence[float]], baseline: str, resamples: int = 10_000) -> dict[str, Ratio]:
    """Each work's seconds over the baseline's of the same round: what slows a whole round cancels."""
    return {
        name: median_interval([a / b for a, b in zip(own, seconds[baseline], strict=True)], resamples)
        for name, own in seconds.items()
    }


def peak_bytes(work: Callable[[], Any], device: Device = "cpu") -> int:
    """The most bytes of the device that `work` allocates at a time, beyond those allocated before."""
    if torch.device(device).type == "cuda":
        synchronise(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        synchronise(device)
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    held = peak = 0
    for event in profiler.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return peak


def installed(package: str) -> str:
    """The version of a package; "none" where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"


def machine(device: Device = "cpu") -> dict[str, str]:
    """Hardware and versions of a measurement, as columns of a benchmark's CSV."""
    cuda = torch.device(device).type == "cuda"
    return {
        "processor": processor(),
        "cores": str(os.cpu_count()),
        "gpu": torch.cuda.get_device_name(device) if cuda else "none",
        "system": f"{platform.machine()} {platform.system()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": installed("transformers"),
        "threads": str(torch.get_num_threads()),
        "commit": commit("benchmarks"),
        "date": time.strftime("%Y-%m-%d"),
    }
