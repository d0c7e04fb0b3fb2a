"""What one update learns from: a step's sampled rationales, credited, weighted and split into minibatches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from intro.model.scoring import Rationale, head_of, logprob_pass, pack, response_hidden
from intro.objectives import Objective, rationale_weights
from intro.training.distributed import ALONE, Ranks
from intro.training.samples import Sample
from intro.types import Outcomes, Signal

# Log-probs that some objectives need before their loss, per rationale [|z|], by the signal that asks for them
Precomputed = dict[Signal, list[Tensor]]


@dataclass(frozen=True, slots=True)
class Networks:
    """The networks of the forward passes without gradient.

    policy: the policy, or its replica where a backend shards it. base: the base model. posterior: the network of the
    estimated posterior, which is the policy, the base model or a moving average; None for methods without one.
    """

    policy: nn.Module
    base: nn.Module
    posterior: nn.Module | None

    @property
    def average(self) -> nn.Module | None:
        """The posterior's network where it is a moving average, a network of its own."""
        return None if self.posterior in (None, self.policy, self.base) else self.posterior


@dataclass(frozen=True, slots=True)
class Minibatch:
    """The kept rationales of one update on this rank, and what the loss needs of each of them."""

    rationales: list[Rationale]
    advantage: Tensor  # [R]
    weights: Tensor  # [R] of each token of a rationale, from the counts of all ranks
    old: list[Tensor] | None
    reference: list[Tensor] | None
    kept: int  # rationales on all ranks
    tokens: int  # tokens of those rationales


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Input of one differentiable pass: R rationales, packed end to end to N positions."""

    rationales: list[Rationale]
    advantage: Tensor  # [R]
    weights: Tensor  # [N]
    posterior_hidden: Tensor | None = None  # [N, d]
    posterior_head: Tensor | None = None  # [V, d]; None: the policy's own
    old_logprobs: Tensor | None = None  # [N]
    reference_logprobs: Tensor | None = None  # [N]
    idle: bool = False  # its gradient is zero


# What a rank computes when it has no micro-batch left and other ranks have: a backend's passes are collective. A
# sequence needs two tokens to have one position that predicts a token.
IDLE = MicroBatch([Rationale((0,), (0,), 0)], torch.zeros(1), torch.zeros(1), idle=True)


def precompute_logprobs(sample: Sample, objective: Objective, networks: Networks, budget: int) -> Precomputed:
    """Run the passes without gradient that `objective.needs` names, on all rationales of the step.

    budget: tokens of a micro-batch.
    """
    passes = {Signal.LOGPROBS: networks.policy, Signal.REFERENCE: networks.base}
    needed = {signal: network for signal, network in passes.items() if signal in objective.needs}
    return {signal: logprob_pass(network, sample.rationales, budget) for signal, network in needed.items()}


def outcomes_of(sample: Sample, precomputed: Precomputed, ranks: Ranks = ALONE) -> Outcomes:
    """Rewards and summed log-probs [P, G] of all ranks, in the step's order of prompts.

    A forced answer is summed apart from the rationale before it.
    """
    shape = sample.rewards.shape

    def sums(signal: Signal, answer: bool) -> Tensor | None:
        if signal not in precomputed:
            return None
        totals = []
        for values, rationale in zip(precomputed[signal], sample.rationales, strict=True):
            cut = len(rationale.tokens) if rationale.answer_start is None else rationale.answer_start
            totals.append(values[cut:].sum() if answer else values[:cut].sum())
        return of_all_ranks(torch.stack(totals).view(shape).cpu() if totals else torch.empty(shape))

    def of_all_ranks(rows: Tensor) -> Tensor:
        return torch.stack(ranks.gather_in_order(list(rows.unbind())))

    forced = any(ranks.gather(any(r.answer_start is not None for r in sample.rationales)))
    return Outcomes(
        rewards=of_all_ranks(sample.rewards),
        truncated=of_all_ranks(sample.truncated),
        logprobs=sums(Signal.LOGPROBS, answer=False),
        reference_logprobs=sums(Signal.REFERENCE, answer=False),
        answer_logprobs=sums(Signal.LOGPROBS, answer=True) if forced else None,
    )


def minibatches_of(
    sample: Sample,
    precomputed: Precomputed,
    objective: Objective,
    networks: Networks,
    budget: int,
    ranks: Ranks = ALONE,
) -> list[Minibatch]:
    """Split the step's prompts into `updates_per_rollout` minibatches; each sample is used once.

    Must be called before the first update: the policy is then the one that sampled, and its log-probs are the old ones
    of every minibatch but the first, whose update starts from that policy.
    """
    credit = objective.credit(outcomes_of(sample, precomputed, ranks))
    prompts, group = credit.keep.shape
    mine = [len(r.tokens) for r in sample.rationales]
    lengths = torch.tensor(ranks.gather_in_order([mine[i : i + group] for i in range(0, len(mine), group)]))  # [P, G]
    reference, minibatches = precomputed.get(Signal.REFERENCE), []
    for number, rows in enumerate(torch.arange(prompts).chunk(objective.updates_per_rollout)):
        kept = torch.zeros_like(credit.keep)
        kept[rows] = credit.keep[rows]
        owners, columns = kept.nonzero(as_tuple=True)  # [K] of all ranks
        weights = rationale_weights(lengths[kept], owners, objective.normalisation) if len(owners) else torch.empty(0)
        here = owners % ranks.size == ranks.rank
        chosen = (owners[here] // ranks.size * group + columns[here]).tolist()
        rationales = [sample.rationales[i] for i in chosen]
        moved = number > 0 and Signal.OLD_LOGPROBS in objective.needs
        minibatches.append(
            Minibatch(
                rationales=rationales,
                advantage=credit.advantage[kept][here],
                weights=weights[here],
                old=logprob_pass(networks.policy, rationales, budget) if moved else None,
                reference=None if reference is None else [reference[i] for i in chosen],
                kept=len(owners),
                tokens=int(lengths[kept].sum()),
            )
        )
    return minibatches


def micro_batch_of(minibatch: Minibatch, chosen: Sequence[int], networks: Networks) -> MicroBatch:
    """The chosen rationales of a minibatch, after InTRO's pass of the posterior, which has no gradient."""
    rationales = [minibatch.rationales[i] for i in chosen]
    _, owner = pack(rationales)
    hidden = head = None
    if networks.posterior is not None:
        with torch.no_grad():
            prompts = [r.posterior_prompt for r in rationales]
            hidden = response_hidden(networks.posterior, prompts, [r.tokens for r in rationales])
        if networks.posterior is not networks.policy:
            head = head_of(networks.posterior).detach()
    return MicroBatch(
        rationales,
        minibatch.advantage[list(chosen)],
        minibatch.weights[list(chosen)][owner],
        posterior_hidden=hidden,
        posterior_head=head,
        old_logprobs=None if minibatch.old is None else torch.cat([minibatch.old[i] for i in chosen]),
        reference_logprobs=None if minibatch.reference is None else torch.cat([minibatch.reference[i] for i in chosen]),
    )
