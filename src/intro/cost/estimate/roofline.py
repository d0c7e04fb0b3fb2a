"""Seconds and FLOPs of decoding and of whole passes on one accelerator: the larger of bandwidth and arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass

from intro.cost.estimate.assumptions import Accelerator, Assumptions, EngineSpeed
from intro.cost.estimate.model_shape import ModelShape

POINTS = 64  # of the integral over a response's positions


@dataclass(frozen=True, slots=True)
class Spent:
    """FLOPs and device-seconds of some work, summed over the devices that share it."""

    flops: float = 0.0
    seconds: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.flops + other.flops, self.seconds + other.seconds)

    def __mul__(self, factor: float) -> Spent:
        return Spent(self.flops * factor, self.seconds * factor)


@dataclass(frozen=True, slots=True)
class Lengths:
    """Response lengths: exponential, cut off at `limit`. `scale` is the mean that the uncut distribution has."""

    mean: float
    limit: int
    scale: float

    @classmethod
    def of(cls, mean: float, limit: int) -> Lengths:
        """The scale whose mean after the cut is `mean`, found by bisection; 0 < mean < limit."""
        low, high = mean, 1e6 * limit
        for _ in range(200):
            middle = (low + high) / 2
            short = middle * -math.expm1(-limit / middle) < mean
            low, high = (middle, high) if short else (low, middle)
        return cls(mean, limit, (low + high) / 2)

    def alive(self, position: float) -> float:
        """Share of the responses that are longer than `position`, which is below the limit."""
        return math.exp(-position / self.scale)


@dataclass(frozen=True, slots=True)
class Roofline:
    """One model on `devices` that each hold an equal part of its weights."""

    shape: ModelShape
    accelerator: Accelerator
    assumed: Assumptions
    width: int = 2  # bytes per number
    devices: int = 1

    def whole(self, flops: float) -> Spent:
        """Passes over whole sequences: training, scoring, prefill."""
        return Spent(flops, self.assumed.slack * flops / (self.accelerator.tflops * 1e12 * self.assumed.mfu))

    def step_seconds(self, rows: float, context: float, engine: EngineSpeed) -> float:
        """One token for each of `rows` responses, whose caches hold `context` tokens on average."""
        shape, chip, assumed = self.shape, self.accelerator, self.assumed
        moved = self.width * (shape.matrices + shape.head) + rows * context * shape.cache_bytes(self.width)
        flops = shape.forward_flops(rows, context=2 * context)  # a new token attends to all, not to half
        bandwidth = moved / (chip.bandwidth * 1e12 * assumed.bandwidth_share * self.devices)
        compute = flops / (chip.tflops * 1e12 * assumed.decode_share * self.devices)
        return max(bandwidth, compute) + shape.layers * engine.overhead

    def generate(self, rows: int, prompt: float, lengths: Lengths, batch: int, engine: EngineSpeed) -> Spent:
        """Responses to `rows` prompts, `batch` at a time: prefill, then token by token; finished rows are refilled."""
        if rows == 0:
            return Spent()
        batch = max(1, min(batch, rows))
        prefill = self.whole(self.shape.forward_flops(rows * prompt, rows, prompt))
        flops = self.shape.forward_flops(rows * lengths.mean, context=2 * (prompt + lengths.mean))
        full = (rows - batch) * lengths.mean / batch  # steps with every place taken
        seconds = full * self.step_seconds(batch, prompt + lengths.mean, engine)
        seconds += self._drain(batch, prompt, lengths, engine)
        return prefill + Spent(flops, self.assumed.slack * seconds * self.devices)

    def _drain(self, rows: int, prompt: float, lengths: Lengths, engine: EngineSpeed) -> float:
        """Seconds until the longest of `rows` responses that began together ends."""
        width, total = lengths.limit / POINTS, 0.0
        for point in range(POINTS):
            position = (point + 0.5) * width
            alive = lengths.alive(position)
            any_left = -math.expm1(rows * math.log1p(-min(alive, 1 - 1e-12)))  # a probability
            if any_left > 0:
                total += any_left * width * self.step_seconds(rows * alive / any_left, prompt + position, engine)
        return total
