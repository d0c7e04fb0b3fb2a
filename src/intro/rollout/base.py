"""The interface of rollout engines, their options and responses, and how a generator seeds them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Generator, nn

from intro.rollout.sampling import Sampling

Source = str | Path | nn.Module  # a model folder, or a live model
Prompts = Sequence[Sequence[int]]  # token ids
Progress = Callable[[int], None]  # called with a number of responses


def ignore(responses: int) -> None:
    """Report nothing."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """The options of all engines; an engine ignores those that it does not have."""

    batch: int = 256  # number of rows that are decoded at once
    dtype: str = "float32"  # dtype of the weights that are read from a folder; a live model keeps its own
    device: str | torch.device = "cpu"  # device of the weights that are read from a folder
    gpus: int = 1  # number of GPUs over which vLLM splits the weights
    # share of the GPU's free memory for keys and values; for vLLM the share of all its memory, weights included
    memory: float = 0.5
    cuda_graphs: bool = False  # replay the native engine's decode step on a GPU (experimental: never run on a GPU)


@dataclass(frozen=True, slots=True)
class Response:
    """Token ids up to and including the stop token, which is missing when `truncated`."""

    tokens: tuple[int, ...]
    truncated: bool
    # mean over the tokens of the policy's entropy before temperature and top-p, in nats; nan if the engine has none
    entropy: float


class RolloutEngine(Protocol):
    """Generates one response per prompt."""

    def generate(
        self, prompts: Prompts, sampling: Sampling, generator: Generator | None = None, progress: Progress = ignore
    ) -> list[Response]:
        """One response per prompt, in order. `progress` is called with the number of responses that have ended since
        its last call."""


def cut_at_stop(tokens: Sequence[int], stop: Sequence[int]) -> Response:
    """A response without entropy that ends with the first stop token; truncated when there is none."""
    at = next((i for i, token in enumerate(tokens) if token in stop), None)
    return Response(tuple(tokens if at is None else tokens[: at + 1]), at is None, math.nan)


def draw_seed(generator: Generator | None) -> int:
    """A seed below 2^31 drawn from a generator, for an engine with its own random number generator."""
    device = "cpu" if generator is None else generator.device
    return int(torch.randint(2**31, (), generator=generator, device=device))


def on_device(generator: Generator | None, device: torch.device) -> Generator | None:
    """The generator itself if it can draw on the device, else a new one there, seeded from it."""
    if generator is None or generator.device.type == device.type:
        return generator
    return Generator(device).manual_seed(draw_seed(generator))
