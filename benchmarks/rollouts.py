"""How many tokens a second a policy generates: `python benchmarks/rollouts.py`, with `--device cuda` on a GPU.

The native engine against transformers: `generate` with a dynamic and with a static cache, and continuous batching. On
the tiny world's shape, and on a GPU on that of Qwen2.5-1.5B in bfloat16, with random weights; every prompt occurs G = 4
times. Lengths are "fixed", or "ragged": any token may be the last, so they are about exponential, and there are twice
as many prompts as rows. `native` is the native engine's time per token over the row's; `floor` is a bound on tokens per
second: the bytes of weights, keys and values that a step reads, at the speed at which the device copies.
Needs this package's base dependencies only. `--shapes small` and the like choose others.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn
from transformers import GenerationConfig

from common import parser, report
from intro.cost.measure.timing import interleaved, machine, median_interval, paired
from intro.model.tokenizer import ModelTokenizer
from intro.rollout.base import EngineOptions
from intro.rollout.decoder_config import DecoderConfig
from intro.rollout.native import NativeEngine
from intro.rollout.sampling import Sampling
from intro.rollout.transformers import TransformersEngine
from updates import SHAPES, model_of

GROUP, PAD = 4, 0
LENGTHS = {"tiny": (32, 96)}  # of prompt and response; of the others:
USUAL = (150, 512)

Work = Callable[[], int]  # returns how many tokens it generated


def prompts_of(count: int, length: int, vocabulary: int, g: Generator) -> list[tuple[int, ...]]:
    """Prompts of up to a quarter less than `length`, each GROUP times."""
    sizes = torch.randint(length - length // 4, length + 1, (count // GROUP,), generator=g).tolist()
    distinct = [tuple(torch.randint(1, vocabulary, (n,), generator=g).tolist()) for n in sizes]
    return [prompt for prompt in distinct for _ in range(GROUP)]


def by_engine(engine: Any, prompts: Sequence[tuple[int, ...]], tokens: int) -> Work:
    g = Generator().manual_seed(0)
    return lambda: sum(len(r.tokens) for r in engine.generate(prompts, Sampling(tokens), g))


def by_generate(
    model: nn.Module, prompts: Sequence[tuple[int, ...]], tokens: int, stop: Sequence[int], batch: int, cache: str
) -> Work:
    """Batches of `batch` rows, padded on the left, each until its last row has ended."""
    settings = GenerationConfig(
        max_new_tokens=tokens, do_sample=True, top_k=0, eos_token_id=list(stop), pad_token_id=PAD,
        cache_implementation=cache,
    )  # fmt: skip
    ends = torch.tensor(stop, device=model.device)

    def one(some: Sequence[tuple[int, ...]]) -> int:
        longest = max(map(len, some))
        ids = torch.tensor([[*[PAD] * (longest - len(p)), *p] for p in some], device=model.device)
        mask = torch.tensor([[*[0] * (longest - len(p)), *[1] * len(p)] for p in some], device=model.device)
        with torch.inference_mode():
            return _generated(model.generate(ids, attention_mask=mask, generation_config=settings)[:, longest:], ends)

    ordered = sorted(prompts, key=len)
    return lambda: sum(one(ordered[i : i + batch]) for i in range(0, len(ordered), batch))


def _generated(tokens: Tensor, ends: Tensor) -> int:
    """How many of tokens [B, L] stand before or at their row's first end."""
    ended = torch.isin(tokens, ends)
    return int((ended.cumsum(1) - ended.long() == 0).sum())


def copy_rate(device: str) -> float:
    """Bytes that the device reads and writes a second when it copies."""
    source = torch.zeros(2**28 if device == "cpu" else 2**31, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    seconds = interleaved({"copy": lambda: target.copy_(source)}, 5, 2, device)["copy"]
    return 2 * len(source) / median_interval(seconds).median


def floor(model: nn.Module, rows: int, context: float, rate: float) -> float:
    """Tokens a second if each step took as long as reading the weights and the keys and values of all rows."""
    size = model.dtype.itemsize
    tied = model.config.tie_word_embeddings
    weights = sum(p.numel() for name, p in model.named_parameters() if tied or "embed_tokens" not in name)
    cached = DecoderConfig.of(model.config.to_dict(), "model").cached_per_token * context * rows
    return rows * rate / (size * (weights + cached))


def measure(shape: str, batch: int, lengths: str, rate: float, given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row per engine, from interleaved rounds."""
    ragged = lengths == "ragged"
    dtype = "bfloat16" if shape in ("Qwen2.5-1.5B", "Qwen2.5-7B") else "float32"
    model = model_of(shape, dtype=dtype, device=given.device)
    vocabulary, (prompt, tokens) = model.config.vocab_size, LENGTHS.get(shape, USUAL)
    tokens = given.tokens or tokens
    # with random weights all tokens are about equally likely; an end that is no token never comes
    stop = tuple(range(1, 1 + max(1, 4 * vocabulary // tokens))) if ragged else (vocabulary,)
    prompts = prompts_of(batch * (1 + ragged), prompt, vocabulary, Generator().manual_seed(given.seed))
    tokenizer = ModelTokenizer(None, PAD, stop)
    made = {
        "native": by_engine(NativeEngine.open(model, tokenizer, EngineOptions(batch)), prompts, tokens),
        "generate, dynamic cache": by_generate(model, prompts, tokens, stop, batch, "dynamic"),
        "generate, static cache": by_generate(model, prompts, tokens, stop, batch, "static"),
        "continuous batching": by_engine(TransformersEngine(model, tokenizer, EngineOptions(batch)), prompts, tokens),
    }
    counts: dict[str, list[int]] = {name: [] for name in made}
    works = {name: lambda n=name, work=work: counts[n].append(work()) for name, work in made.items()}
    seconds = interleaved(works, given.rounds, device=given.device)
    each = {name: [s / n for s, n in zip(seconds[name], counts[name][-given.rounds :], strict=True)] for name in made}
    for name in made:
        own = paired(each, name)["native"]
        yield {
            "shape": shape, "batch": batch, "lengths": lengths, "engine": name,
            "tokens_per_s": 1 / median_interval(each[name]).median,
            "native": own.median, "low": own.low, "high": own.high,
            "floor": None if ragged else floor(model, batch, 0.875 * prompt + tokens / 2, rate),
            "prompts": len(prompts), "prompt_tokens": prompt, "most_tokens": tokens, "dtype": dtype,
            "rounds": given.rounds,
        } | machine(given.device)  # fmt: skip


def main() -> None:
    arguments = parser("rollouts", __doc__, rounds=5)
    arguments.add_argument("--shapes", nargs="+", choices=SHAPES, help="tiny; on a GPU Qwen2.5-1.5B")
    arguments.add_argument("--tokens", type=int, help="at most so many a response (96 of tiny, else 512)")
    arguments.add_argument("--batch", type=int, nargs="+", default=[64, 512], help="rows at a time (64 512)")
    arguments.add_argument("--minutes", type=float, default=float("inf"), help="begin nothing more after so many")
    given = arguments.parse_args()
    end = time.monotonic() + 60 * given.minutes
    shapes = given.shapes or (["tiny"] if given.device == "cpu" else ["Qwen2.5-1.5B"])
    rate = copy_rate(given.device)
    kinds = [(shape, batch, kind) for shape in shapes for batch in given.batch for kind in ("fixed", "ragged")]
    rows: list[dict[str, Any]] = []
    for shape, batch, lengths in kinds:
        if not rows or time.monotonic() < end:
            rows += measure(shape, batch, lengths, rate, given)
        else:
            print(f"left out, {given.minutes:g} minutes being over: {shape}, batch {batch}, {lengths}", file=sys.stderr)
    report([row | {"copy_gb_per_s": rate / 1e9} for row in rows], given.out)


if __name__ == "__main__":
    main()
