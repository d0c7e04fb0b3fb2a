"""The decode step as CUDA graphs: one launch in place of several hundred. experimental: never run here."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Step = Callable[[int, int], Tensor]


def bucket(size: int, most: int) -> int:
    """The next number of rows that a graph is captured for: a power of two, or `most` where that is less."""
    return min(1 << max(size - 1, 0).bit_length(), most)


class Graphs:
    """`step(rows, length)` replayed from graphs that are captured when first needed. experimental: never run here.

    step: must read its inputs from tensors that stay where they are, and may only be called again with the same effect
    (a decode step writes the same keys and values to the same places). It is called with sizes rounded up to a bucket,
    up to `rows` and `length`: rows beyond the asked ones must hold valid inputs. Weights are read where they lie at
    the capture, so changes in place are followed.
    """

    UNIT = 256  # positions

    def __init__(self, step: Step, rows: int, length: int) -> None:
        self.step = step
        self.rows, self.length = rows, length
        self.captured: dict[tuple[int, int], tuple[torch.cuda.CUDAGraph, Tensor]] = {}
        # one pool for all: they run one after the other, and an output is read before the next replay
        self.pool = torch.cuda.graph_pool_handle()

    def __call__(self, rows: int, length: int) -> Tensor:
        # few sizes: each graph takes three steps to capture, and a call of the engine captures its own
        sizes = bucket(rows, self.rows), min(-(-length // self.UNIT) * self.UNIT, self.length)
        if sizes not in self.captured:
            self.captured[sizes] = self._capture(*sizes)
        graph, out = self.captured[sizes]
        graph.replay()
        return out[:rows]

    def _capture(self, rows: int, length: int) -> tuple[torch.cuda.CUDAGraph, Tensor]:
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):  # libraries set themselves up in their first calls, which must not be captured
            for _ in range(2):
                self.step(rows, length)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        # thread_local: NCCL's watchdog, in its own thread, may go on asking for events
        with torch.cuda.graph(graph, pool=self.pool, capture_error_mode="thread_local"):
            out = self.step(rows, length)
        return graph, out
