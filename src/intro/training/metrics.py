"""Columns of metrics.csv (one row per step) and curves.csv (one row per measured subset), and the means in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

METRICS = (
    "model method protocol train_seed step learning_rate loss accuracy mean_tokens truncated_share entropy kept_share "
    "correction_mean correction_max clipped_share ratio_clipped_share k3 kl posterior_accuracy posterior_tokens "
    "gradient_norm forward_passes trained_tokens seconds_rollout seconds_score seconds_update seconds_eval"
).split()
CURVES = "model method train_seed step subset value mean_tokens protocol lr".split()


@dataclass
class MetricAccumulator:
    """Sums over micro-batches: means by count, maxima for names that end in `_max`."""

    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, metrics: Mapping[str, Any]) -> None:
        """Add the elements of detached tensors of any shape."""
        for name, value in metrics.items():
            if value.numel():
                self._include(name, float(value.max() if _is_maximum(name) else value.sum()), value.numel())

    def merge(self, other: MetricAccumulator) -> None:
        """Add everything that another accumulator has seen."""
        for name, value in other.sums.items():
            self._include(name, value, other.counts[name])

    def _include(self, name: str, value: float, count: int) -> None:
        if _is_maximum(name):
            self.sums[name], self.counts[name] = max(self.sums.get(name, value), value), 1
        else:
            self.sums[name] = self.sums.get(name, 0.0) + value
            self.counts[name] = self.counts.get(name, 0) + count

    def means(self) -> dict[str, float]:
        return {name: total / self.counts[name] for name, total in self.sums.items()}


def _is_maximum(name: str) -> bool:
    return name.endswith("_max")
