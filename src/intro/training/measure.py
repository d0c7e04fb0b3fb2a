"""Measurements during training: accuracy on fixed subsets, with and without the answer, and KL to the base model.

Nothing is selected by them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from intro.infra.seeds import generator_for
from intro.model.chunked_loss import map_rows
from intro.model.logprobs import log_distribution
from intro.model.scoring import Rationale, head_of, microbatches, response_hidden
from intro.objectives import Posterior
from intro.rollout.base import RolloutEngine
from intro.rollout.sampling import Sampling
from intro.training.distributed import ALONE, Ranks
from intro.training.minibatches import Networks
from intro.training.samples import Prompter, are_correct
from intro.types import Problem


@dataclass(frozen=True, slots=True)
class Measured:
    """Accuracy in percent, mean response length in tokens, entropy in nats per token, and each response."""

    value: float
    mean_tokens: float
    entropy: float
    correct: list[bool]
    rationales: list[Rationale]


def measure(
    problems: Sequence[Problem],
    prompter: Prompter,
    engine: RolloutEngine,
    sampling: Sampling,
    seed: int,
    ranks: Ranks = ALONE,
    posterior: Posterior | None = None,
) -> Measured:
    """Generate one response per problem and grade it. Ranks share the problems; all return the same result.

    posterior: the prompts are those of this estimated posterior; its accuracy falls when it collapses.
    """
    prompts = [prompter.posterior(p, posterior) if posterior else prompter.question(p) for p in problems]
    mine = engine.generate(ranks.shard(prompts), sampling, generator_for("measure", seed, *ranks.name))
    correct = ranks.gather_in_order(are_correct(mine, ranks.shard(problems), prompter))
    responses = ranks.gather_in_order(mine)
    count = sum(len(r.tokens) for r in responses)
    return Measured(
        value=100 * sum(correct) / len(correct),
        mean_tokens=count / len(correct),
        entropy=sum(r.entropy * len(r.tokens) for r in responses) / count,
        correct=correct,
        rationales=[Rationale(p, r.tokens, i) for i, (p, r) in enumerate(zip(prompts, responses, strict=True))],
    )


@torch.no_grad()
def kl_to_base(networks: Networks, rationales: Sequence[Rationale], budget: int, ranks: Ranks = ALONE) -> float:
    """KL(policy || base) of the next-token distributions, in nats, averaged over response positions.

    budget: tokens of a micro-batch.
    """
    rationales = ranks.shard(rationales)
    total, count = 0.0, 0
    for group in microbatches(rationales, budget):
        prompts, tokens = zip(*((rationales[i].prompt, rationales[i].tokens) for i in group), strict=True)
        policy, base = (response_hidden(net, prompts, tokens) for net in (networks.policy, networks.base))

        def divergence(rows: slice, hidden: Tensor, base: Tensor = base) -> Tensor:
            logp = log_distribution(hidden, head_of(networks.policy))
            return (logp.exp() * (logp - log_distribution(base[rows], head_of(networks.base)))).sum(-1)

        total += float(map_rows(divergence, policy, head_of(networks.policy)).sum())
        count += len(policy)
    totals, counts = zip(*ranks.gather((total, count)), strict=True)
    return sum(totals) / sum(counts)
