"""The gradient of one update, summed over micro-batches and ranks."""

from __future__ import annotations

from torch import Generator

from intro.model.scoring import microbatches
from intro.training.backends.base import Backend
from intro.training.metrics import MetricAccumulator
from intro.training.minibatches import IDLE, Minibatch, Networks, micro_batch_of


def accumulate_gradient(
    minibatch: Minibatch, backend: Backend, networks: Networks, budget: int, generator: Generator
) -> MetricAccumulator:
    """Add the minibatch's gradient to the backend's, `budget` tokens at a time; return this rank's metrics.

    Nothing rescales the loss: the weights already hold the counts of all ranks.
    """
    metrics, total = MetricAccumulator(), 0.0
    groups = microbatches(minibatch.rationales, budget)
    count = backend.ranks.max(len(groups))
    for i in range(count):
        batch = micro_batch_of(minibatch, groups[i], networks) if i < len(groups) else IDLE
        loss, detached = backend.backward(batch, generator, last=i == count - 1)
        total += loss
        metrics.add(detached)
    # each rank holds a summand of one loss: the sum over ranks counts once
    metrics.sums["loss"], metrics.counts["loss"] = total, int(backend.ranks.first)
    return metrics
