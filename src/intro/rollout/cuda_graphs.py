"""The decode step as CUDA graphs: one launch instead of several hundred. Experimental: never run on a GPU."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Step = Callable[[int, int], Tensor]


def bucket(size: int, most: int) -> int:
    """The number of rows that a graph is captured for: the next power of two, at most `most`."""
    return min(1 << max(size - 1, 0).bit_length(), most)


class CudaGraphs:
    """Replays `step(rows, length)` from graphs that are captured when first needed. Experimental: never run on a GPU.

    step: reads its inputs from tensors whose addresses do not change, and is idempotent (a decode step writes the same
    keys and values to the same places). Its sizes are rounded up to a bucket, at most `rows` and `length`, so rows
    beyond the requested ones must hold valid inputs. Weights are read from their addresses at capture; changes in
    place take effect.
    """

    UNIT = 256  # positions

    def __init__(self, step: Step, rows: int, length: int) -> None:
        self.step = step
        self.rows, self.length = rows, length
        self.captured: dict[tuple[int, int], tuple[torch.cuda.CUDAGraph, Tensor]] = {}
        # one memory pool: graphs run one after the other, and an output is read before the next replay
        self.pool = torch.cuda.graph_pool_handle()

    def __call__(self, rows: int, length: int) -> Tensor:
        # few sizes: capturing a graph takes three steps, and every call of `generate` captures anew
        sizes = bucket(rows, self.rows), min(-(-length // self.UNIT) * self.UNIT, self.length)
        if sizes not in self.captured:
            self.captured[sizes] = self._capture(*sizes)
        graph, out = self.captured[sizes]
        graph.replay()
        return out[:rows]

    def _capture(self, rows: int, length: int) -> tuple[torch.cuda.CUDAGraph, Tensor]:
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):  # libraries initialise in their first calls, which must not be captured
            for _ in range(2):
                self.step(rows, length)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        # thread_local: NCCL's watchdog thread may query events during the capture
        with torch.cuda.graph(graph, pool=self.pool, capture_error_mode="thread_local"):
            out = self.step(rows, length)
        return graph, out
