"""What the trainer asks of a method, and the one place where a loss gets its normalisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Generator, Tensor

from intro.types import Credit, Loss, LossBatch, Outcomes, Signal

Normalisation = Literal["prompt", "rationale", "token", "sum"]


@dataclass(frozen=True, slots=True)
class Posterior:
    """Where pi(. | x (+) y) comes from: which network, and what its prompt holds."""

    network: Literal["live", "frozen", "average"]
    decay: float  # of the moving average, per step
    prompt: str  # name of the template of x (+) y
    answer: Literal["gold", "wrong", "none"]


class Objective(Protocol):
    """A method: the signals it needs, which rationales it credits, and its loss."""

    needs: frozenset[Signal]
    normalisation: Normalisation
    updates_per_rollout: int

    def credit(self, outcomes: Outcomes) -> Credit:
        """Which of the P x G rationales enter the loss, and their advantages."""
        ...

    def loss(self, batch: LossBatch, weights: Tensor, generator: Generator) -> Loss:
        """Scalar to minimise: the sum over positions of weights [N] times the per-token loss."""
        ...


def rationale_weights(lengths: Tensor, prompts: Tensor, normalisation: Normalisation) -> Tensor:
    """The weight of each token of each kept rationale [R], from GLOBAL counts over the whole update.

    lengths [R]: |z|; prompts [R]: which prompt a rationale answers. With p the prompt of a rationale:
    "prompt"     1 / (|z| * kept of p * prompts that kept any)   Eq. 7: the mean is per (x, y)
    "rationale"  1 / (|z| * kept rationales)                     weights a prompt by its success rate
    "token"      1 / (all kept tokens)
    "sum"        1 / (kept rationales)                           Prop. 2.1: no 1/|z|
    The trainer multiplies nothing else in, so any split into micro-batches gives the same gradient.
    """
    lengths = lengths.to(torch.float64)
    total = max(len(lengths), 1)
    match normalisation:
        case "prompt":
            _, which, kept = prompts.unique(return_inverse=True, return_counts=True)
            return 1 / (lengths * kept[which] * max(len(kept), 1))
        case "rationale":
            return 1 / (lengths * total)
        case "token":
            return (1 / lengths.sum()).expand(len(lengths))
        case "sum":
            return torch.full_like(lengths, 1 / total)
    raise ValueError(f"normalisation: expected prompt, rationale, token or sum, found {normalisation!r}")


def forward_passes(objective: Objective) -> float:
    """PrecomputedLogprobs of a network per rationale that an update learns from, the one with gradient included.

    Old log-probs are asked for once the policy has moved: not for the first of a step's updates.
    """
    asked = sum(s in objective.needs for s in (Signal.POSTERIOR, Signal.LOGPROBS, Signal.REFERENCE))
    later = 1 - 1 / objective.updates_per_rollout
    return 1 + asked + later * (Signal.OLD_LOGPROBS in objective.needs)


def correct_and_complete(outcomes: Outcomes) -> Tensor:
    """The filter of Algorithm 1 [P, G]: right answer, and not cut off (a cut rationale has no end to learn)."""
    return (outcomes.rewards > 0) & ~outcomes.truncated


def group_advantage(rewards: Tensor) -> Tensor:
    """r - mean over the group's G samples [P, G]."""
    return rewards - rewards.mean(dim=1, keepdim=True)


def clipped_ratio(logp: Tensor, old_logprobs: Tensor | None, advantage: Tensor, clip: float) -> tuple[Tensor, Tensor]:
    """PPO's per-token loss -min(rho A, clip(rho, 1-e, 1+e) A) [N], and where the clip acts [N] bool.

    Without old log-probs the policy is still the one that sampled, and rho is 1; its gradient is not zero.
    """
    rho = (logp - (logp.detach() if old_logprobs is None else old_logprobs)).exp()
    free, held = rho * advantage, rho.clamp(1 - clip, 1 + clip) * advantage
    return -torch.minimum(free, held), held < free
