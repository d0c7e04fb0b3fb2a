"""What an accelerator makes of the update: `make bench-gpu`, or `PYTHONPATH=src python benchmarks/gpu.py`.

Needs this package's base dependencies only; planned for five minutes. Measures the device (matrix
products, copies), the update of each method at the shapes of Qwen2.5-1.5B and 7B with random weights in bfloat16
(seconds, response tokens per second, ratio to SFT, share of the matrix ceiling, peak memory beyond weights), and the
head's kernels against plain torch.
experimental: never run here. `--device cpu --shapes small --tokens 256` tries the script without an accelerator.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from common import parser, report
from intro.cost.measure.step import Step
from intro.cost.measure.timing import interleaved, machine, median_interval, paired, peak_bytes
from intro.model import softmax
from intro.model.kernels import launch as kernels
from updates import OBJECTIVES, SHAPES, model_of, sample_of

Row = dict[str, Any]
COLUMNS = "what shape tokens ratio low high seconds tokens_per_s tflops of_ceiling gb_per_s peak_gib".split()


def row(what: str, shape: str, **known: Any) -> Row:
    return dict.fromkeys(COLUMNS) | {"what": what, "shape": shape} | known


def ceilings(given: argparse.Namespace) -> Iterator[Row]:
    """The rates that everything else is held against: products in bf16, and copies."""
    size = 8192 if given.device != "cpu" else 512
    a, b = (torch.randn(size, size, device=given.device, dtype=given.dtype) for _ in range(2))
    seconds = interleaved({"products": lambda: torch.mm(a, b)}, given.rounds, 3, given.device)["products"]
    time = median_interval(seconds).median
    yield row("matrix products", f"{size} x {size} x {size}", seconds=time, tflops=2 * size**3 / time / 1e12)
    source = torch.empty(size * size * 8, device=given.device, dtype=given.dtype)
    target = torch.empty_like(source)
    seconds = interleaved({"copies": lambda: target.copy_(source)}, given.rounds, 3, given.device)["copies"]
    time, moved = median_interval(seconds).median, 2 * source.numel() * source.element_size()
    yield row("copies", f"{moved >> 21} MiB", seconds=time, gb_per_s=moved / time / 1e9)


def flops(model: nn.Module, sample: Any, passes: float) -> float:
    """Of `passes` without gradient and the one with it, whose backward pass takes twice as much."""
    config = model.config
    body = sum(p.numel() for name, p in model.named_parameters() if ".layers." in name and p.ndim == 2)
    lengths = [len(r.prompt) + len(r.tokens) for r in sample.rationales]
    attention = 2 * config.num_hidden_layers * config.hidden_size * sum(n * n for n in lengths)
    forward = 2 * body * sum(lengths) + attention + 2 * config.hidden_size * config.vocab_size * sample.tokens
    return forward * (passes + 3)


def updates(shape: str, ceiling: float, given: argparse.Namespace) -> Iterator[Row]:
    """Every method's update on the same tokens, its micro-batch as large as the paper's config has it."""
    large = SHAPES[shape][0] > 2048
    model = model_of(shape, dtype=str(given.dtype).removeprefix("torch."), device=given.device)
    if large:  # activations of all layers would not fit beside the gradients
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.train()
    sample = sample_of(4, 4, 128, given.tokens // 16, model.config.vocab_size, given.seed)
    # the reference of GRPO is the model itself: a second one would only take memory
    steps = {name: Step(objective, sample, model, model, 8192) for name, objective in OBJECTIVES.items()}
    works: dict[str, Callable[[], None]] = dict(steps)
    seconds = interleaved(works, given.rounds, 1, given.device)
    ratios = paired(seconds, "sft")
    for name, step in steps.items():
        # what is computed again is no progress, so it does not count
        passes = step.objective.forward_passes.total - 1
        time, rate = median_interval(seconds[name]).median, flops(model, sample, passes)
        yield row(
            f"update, {name}" + (", recomputed" if large else ""), shape, tokens=sample.tokens,
            ratio=ratios[name].median, low=ratios[name].low, high=ratios[name].high, seconds=time,
            tokens_per_s=sample.tokens / time, tflops=rate / time / 1e12, of_ceiling=rate / time / 1e12 / ceiling,
            peak_gib=peak_bytes(step, given.device) / 2**30,
        )  # fmt: skip


def heads(given: argparse.Namespace) -> Iterator[Row]:
    """The kernels as ratios to plain torch on one chunk of logits."""
    rows, width = (883, 151_936) if given.device != "cpu" else (8, 4096)
    g = torch.Generator(given.device).manual_seed(given.seed)
    logits = torch.randn(rows, width, generator=g, device=given.device)
    kernels.select("triton")
    if not kernels.available(logits):
        return
    p, other = logits.softmax(-1), torch.randn(rows, width, generator=g, device=given.device)
    columns = torch.randint(width, (rows, 5), generator=g, device=given.device)
    values = torch.rand(rows, 5, generator=g, device=given.device)
    u = torch.rand(rows, 4, generator=g, device=given.device, dtype=torch.float64)

    # a buffer that was worked on before is as good: the same numbers of reads and writes
    def pieces(module: Any) -> dict[str, Callable[[], Any]]:
        return {
            "softmax": lambda: module.softmax_(logits, columns),
            "draw": lambda: module.draw(p, u),
            "gradient": lambda: module.gradient_(p, values.sum(-1), columns, values, torch.bfloat16),
            "exact": lambda: module.clipped_cross_entropy_(logits, other, 200.0),
        }

    for name, plain in pieces(softmax).items():
        works = {"plain": plain, "kernel": pieces(kernels)[name]}
        seconds = interleaved(works, given.rounds, 3, given.device)
        ratio = paired(seconds, "plain")["kernel"]
        time = median_interval(seconds["kernel"]).median
        yield row(
            f"kernel, {name}", f"{rows} x {width}", ratio=ratio.median, low=ratio.low, high=ratio.high, seconds=time
        )


def main() -> None:
    arguments = parser("gpu", __doc__)
    arguments.set_defaults(device="cuda")
    arguments.add_argument("--shapes", nargs="+", choices=SHAPES, default=["Qwen2.5-1.5B", "Qwen2.5-7B"])
    arguments.add_argument("--tokens", type=int, default=8192, help="of the responses (8192)")
    given = arguments.parse_args()
    if given.device != "cpu" and not torch.cuda.is_available():
        sys.exit("bench-gpu: expected a CUDA device, found none; run it where there is one, or try --device cpu")
    given.dtype = torch.bfloat16 if given.device != "cpu" else torch.float32
    rows = list(ceilings(given))
    ceiling = rows[0]["tflops"]
    for shape in given.shapes:
        try:
            rows += updates(shape, ceiling, given)
        except torch.cuda.OutOfMemoryError:
            rows.append(row("update: out of memory", shape, tokens=given.tokens))
        if given.device != "cpu":
            torch.cuda.empty_cache()
    rows += heads(given)
    about = machine(given.device)
    report([r | {"rounds": given.rounds} | about for r in rows], given.out)


if __name__ == "__main__":
    main()
