"""What every rollout engine has in common: its interface, its responses, and how a generator seeds it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Generator

from intro.rollout.sampling import Sampling

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Response:
    """Token ids up to and including the end token, which is missing when `truncated`."""

    tokens: tuple[int, ...]
    truncated: bool
    # mean over the tokens of the policy's entropy before temperature and top-p, in nats; nan where an engine has none
    entropy: float


class RolloutEngine(Protocol):
    """Generates one response per prompt."""

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        generator: Generator | None = None,
        progress: Progress = lambda rows: None,
    ) -> list[Response]:
        """One response per prompt, in order. `progress` is called with the number of responses that have ended since
        its last call."""
        ...


def cut_at_stop(tokens: Sequence[int], stop: Sequence[int]) -> Response:
    """A response without entropy: cut after its first stop token, truncated when there is none."""
    at = next((i for i, token in enumerate(tokens) if token in stop), None)
    return Response(tuple(tokens if at is None else tokens[: at + 1]), at is None, math.nan)


def draw_seed(generator: Generator | None) -> int:
    """A seed below 2^31 drawn from a generator, for an engine with random numbers of its own."""
    device = "cpu" if generator is None else generator.device
    return int(torch.randint(2**31, (), generator=generator, device=device))


def on_device(generator: Generator | None, device: torch.device) -> Generator | None:
    """The generator itself if it can draw on the device, else a new one there, seeded from it."""
    if generator is None or generator.device.type == device.type:
        return generator
    return Generator(device).manual_seed(draw_seed(generator))
