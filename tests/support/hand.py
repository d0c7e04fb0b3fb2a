"""Micro-batches with chosen probabilities: hidden states are log-probabilities and the head is the identity."""

from __future__ import annotations

import torch
from torch import Tensor

from intro.types import LossBatch, Outcomes

GENERATOR = torch.Generator()


def log(values: list) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).log()


def scored(
    policy: Tensor, tokens: list[int], rationale: list[int], advantage: list[float], **more: Tensor
) -> LossBatch:
    """policy [N, V] holds log-probabilities, of which the identity head makes the same distribution."""
    return LossBatch(
        tokens=torch.tensor(tokens),
        rationale=torch.tensor(rationale),
        advantage=torch.tensor(advantage, dtype=torch.float64),
        policy_hidden=policy,
        lm_head=torch.eye(policy.shape[1], dtype=torch.float64),
        **more,
    )


def outcomes(rewards: list, truncated: list | None = None, **more: Tensor) -> Outcomes:
    reward = torch.tensor(rewards, dtype=torch.float64)
    cut = torch.zeros_like(reward, dtype=torch.bool) if truncated is None else torch.tensor(truncated)
    return Outcomes(reward, cut, **more)


def random_batch(seed: int, lengths: tuple[int, ...] = (3, 1, 4), vocabulary: int = 6) -> LossBatch:
    """Random logits, old and reference log-probs far enough from the policy that ratio clips act."""
    g = torch.Generator().manual_seed(seed)
    count = sum(lengths)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    hidden = normal(count, vocabulary)
    tokens = torch.randint(vocabulary, (count,), generator=g)
    own = hidden.log_softmax(-1).gather(1, tokens[:, None]).squeeze(1)
    return LossBatch(
        tokens=tokens,
        rationale=torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths)),
        advantage=normal(len(lengths)),
        policy_hidden=hidden.requires_grad_(),
        lm_head=torch.eye(vocabulary, dtype=torch.float64).requires_grad_(),
        posterior_hidden=normal(count, vocabulary),
        old_logprobs=own.detach() + 0.4 * normal(count),
        reference_logprobs=own.detach() + 0.4 * normal(count),
        answer_mask=torch.rand(count, generator=g) < 0.4,
    )
