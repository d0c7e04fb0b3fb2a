"""How an update's time and memory grow, one thing at a time: `python benchmarks/scaling.py`.

With the length of responses (as many tokens in all), the group's size G, the candidates n, the model's depth, and one
against two DeepSpeed ranks (memory: of the first). A number is InTRO's step as a ratio to the first one of its kind,
from interleaved rounds.
"""

from __future__ import annotations

import argparse
import copy
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from common import parser, report
from intro.cost.measure.step import Step
from intro.cost.measure.timing import interleaved, machine, median_interval, paired, peak_bytes
from intro.objectives import build
from updates import OBJECTIVES, model_of, sample_of

N_GRID = (1, 2, 5, 10, 20, 40)  # of the paper's Table 3
BUDGET = 18_000  # tokens of a micro-batch: all of a sample, prompts included, at every length

Row = dict[str, Any]
Works = dict[str, Callable[[], None]]


def lengths(given: argparse.Namespace) -> tuple[str, Works]:
    """Responses of 512 to 16k tokens, 16k in all."""
    model = model_of("small", device=given.device)
    base, works = copy.deepcopy(model), {}
    for length in (512, 1024, 2048, 4096, 8192, 16_384):
        sample = sample_of(16_384 // length, 1, 16, length, model.config.vocab_size, given.seed)
        works[str(length)] = Step(OBJECTIVES["intro"], sample, model, base, BUDGET)
    return "response length", works


def groups(given: argparse.Namespace) -> tuple[str, Works]:
    """G rationales of four prompts: G times the tokens."""
    model = model_of("small", device=given.device)
    base, works = copy.deepcopy(model), {}
    for group in (1, 2, 4, 8, 16):
        sample = sample_of(4, group, 16, 128, model.config.vocab_size, given.seed)
        works[str(group)] = Step(OBJECTIVES["intro"], sample, model, base, BUDGET)
    return "G", works


def candidates(given: argparse.Namespace) -> tuple[str, Works]:
    """n candidates per position, and all of the vocabulary; width and vocabulary of Qwen2.5-1.5B."""
    model = model_of("Qwen2.5-1.5B", layers=1, device=given.device)
    sample, base = sample_of(1, 4, 16, 16, model.config.vocab_size, given.seed), copy.deepcopy(model)
    works: Works = {str(n): Step(build("intro", n=n), sample, model, base) for n in N_GRID}
    return "n", works | {"infinite": Step(build("intro", n="infinite"), sample, model, base)}


def sizes(given: argparse.Namespace) -> tuple[str, Works]:
    """One to eight layers of the small model."""
    works: Works = {}
    for layers in (1, 2, 4, 8):
        model = model_of("small", layers=layers, device=given.device)
        sample = sample_of(4, 4, 16, 128, model.config.vocab_size, given.seed)
        works[str(layers)] = Step(OBJECTIVES["intro"], sample, model, copy.deepcopy(model), BUDGET)
    return "layers", works


SERIES = {"lengths": lengths, "groups": groups, "candidates": candidates, "sizes": sizes}


def measure(name: str, given: argparse.Namespace) -> Iterator[Row]:
    """A series in this process."""
    what, works = SERIES[name](given)
    seconds = interleaved(works, given.rounds, device=given.device)
    peaks = {key: round(peak_bytes(work, given.device) / 2**20) for key, work in works.items()}
    yield from rows_of(what, seconds, peaks, given)


def rows_of(
    what: str, seconds: dict[str, list[float]], peaks: dict[str, int], given: argparse.Namespace
) -> Iterator[Row]:
    ratios, about = paired(seconds, next(iter(seconds))), machine(given.device)
    for key, taken in seconds.items():
        yield {
            "what": what, "value": key, "ratio": ratios[key].median, "low": ratios[key].low, "high": ratios[key].high,
            "seconds": median_interval(taken).median, "peak_mib": peaks.get(key), "rounds": given.rounds, **about,
        }  # fmt: skip


# ---------------------------------------------------------------- DeepSpeed


def ranks(given: argparse.Namespace) -> Iterator[Row]:
    """The same 16 rationales on one DeepSpeed process and on two, a thread each.

    Each round starts new processes, which report the time of their steps; starting is not part of it.
    """
    seconds: dict[str, list[float]] = {"1": [], "2": []}
    peaks: dict[str, int] = {}
    for _ in range(given.rounds):
        for count, taken in seconds.items():
            time, peaks[count] = _launch(int(count), given)
            taken.append(time)
    yield from rows_of("ranks", seconds, peaks, given)


def _launch(count: int, given: argparse.Namespace) -> tuple[float, int]:
    """Seconds of a step of `count` processes, the median of some, and the first one's peak in 2^20 bytes."""
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "told"
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
        done = subprocess.run(
            [
                *launcher,
                __file__,
                "--rank",
                str(count),
                "--out",
                str(told),
                "--device",
                given.device,
                "--seed",
                str(given.seed),
            ],
            capture_output=True,
            text=True,
        )
        if not told.exists():
            sys.exit(f"scaling: {count} DeepSpeed processes gave no result:\n{done.stderr[-2000:]}")
        time, peak = told.read_text().split()
        return float(time), round(float(peak) / 2**20)


def as_rank(given: argparse.Namespace) -> None:
    """One of the processes: ZeRO-2, this rank's share of the rationales, five steps."""
    import torch

    from intro.config import Hardware
    from intro.cost.measure.step import IDLE_ADAMW
    from intro.training.backends.build import build_backend
    from intro.training.launch import exit_rank
    from intro.training.minibatches import Networks, minibatches_of, precompute_logprobs
    from intro.training.policy_loss import PolicyLoss
    from intro.training.samples import Sample
    from intro.training.update import accumulate_gradient

    torch.set_num_threads(1)
    gpus = given.rank if given.device != "cpu" else 0
    hardware = Hardware(gpus=gpus, processes=given.rank, zero=2)
    model, objective = model_of("small", device="cpu"), OBJECTIVES["intro"]
    backend = build_backend(PolicyLoss(model, objective), IDLE_ADAMW, hardware)
    whole, networks = sample_of(4, 4, 16, 128, model.config.vocab_size, given.seed), Networks(model, model, model)
    mine = backend.ranks.shard(range(4))
    part = Sample(
        [r for p in mine for r in whole.rationales[4 * p : 4 * p + 4]],
        whole.rewards[list(mine)], whole.truncated[list(mine)], whole.tokens, None,
    )  # fmt: skip

    def step() -> None:
        precomputed = precompute_logprobs(part, objective, networks, BUDGET)
        for minibatch in minibatches_of(part, precomputed, objective, networks, BUDGET, backend.ranks):
            accumulate_gradient(minibatch, backend, networks, BUDGET, torch.Generator().manual_seed(0))
            backend.step(0.0)

    seconds, peak = interleaved({"step": step}, 5, warmup=2)["step"], peak_bytes(step, given.device)
    if backend.ranks.first:
        given.out.write_text(f"{median_interval(seconds).median} {peak}")
    exit_rank()


def main() -> None:
    arguments = parser("scaling", __doc__, rounds=5)
    arguments.add_argument("--only", choices=[*SERIES, "ranks"], nargs="+", help="some of the series")
    arguments.add_argument("--rank", type=int, default=0, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.rank:
        as_rank(given)
    else:
        chosen = given.only or [*SERIES, "ranks"]
        rows = [row for name in SERIES if name in chosen for row in measure(name, given)]
        report(rows + list(ranks(given) if "ranks" in chosen else []), given.out)


if __name__ == "__main__":
    main()
