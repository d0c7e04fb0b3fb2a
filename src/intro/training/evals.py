"""What is measured while training: fixed subsets for the curves, the posterior's own accuracy, KL to the base.

Nothing selects on any of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from intro.lm.engine import Engine, Sampling
from intro.lm.head import log_distribution
from intro.lm.scoring import Rationale, head_of, microbatches, response_hidden
from intro.objectives import Posterior
from intro.seeds import generator_for
from intro.training.rollouts import Prompter, grade_responses
from intro.training.update import Networks
from intro.types import Graded, Problem


@dataclass(frozen=True, slots=True)
class Measured:
    """Accuracy in percent, mean response length in tokens, entropy in nats per token, and the rationales."""

    value: float
    mean_tokens: float
    entropy: float
    graded: list[Graded]
    rationales: list[Rationale]


def measure(
    problems: Sequence[Problem],
    prompts: Sequence[tuple[int, ...]],
    prompter: Prompter,
    engine: Engine,
    sampling: Sampling,
    seed: int,
) -> Measured:
    """Generate one response per prompt and grade it."""
    responses = engine.generate(prompts, sampling, generator_for("measure", seed))
    graded = grade_responses(responses, problems, prompter.text, prompter.source)
    count = sum(len(r.tokens) for r in responses)
    return Measured(
        value=100 * sum(g.verdict.correct for g in graded) / len(graded),
        mean_tokens=count / len(graded),
        entropy=sum(r.entropy * len(r.tokens) for r in responses) / count,
        graded=graded,
        rationales=[Rationale(p, r.tokens, i) for i, (p, r) in enumerate(zip(prompts, responses, strict=True))],
    )


@torch.no_grad()
def kl_to_base(networks: Networks, rationales: Sequence[Rationale], budget: int) -> float:
    """Mean over positions of KL(policy || base) of the next-token distributions, in nats."""
    total, count = 0.0, 0
    for group in microbatches(rationales, budget):
        prompts, tokens = zip(*((rationales[i].prompt, rationales[i].tokens) for i in group), strict=True)
        logp, logq = (
            log_distribution(response_hidden(net, prompts, tokens), head_of(net))
            for net in (networks.policy, networks.base)
        )
        total += float((logp.exp() * (logp - logq)).sum())
        count += len(logp)
    return total / count


def posterior_accuracy(
    problems: Sequence[Problem], prompter: Prompter, engine: Engine, posterior: Posterior, sampling: Sampling, seed: int
) -> Measured:
    """How well the network of the posterior answers when its prompt holds the answer: falls when it collapses."""
    prompts = [prompter.posterior(p, posterior) for p in problems]
    return measure(problems, prompts, prompter, engine, sampling, seed)
