"""One gradient step from credited rationales: weights from global counts, micro-batches, the loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor, nn

from intro.model.chunked_loss import loss_by_rows
from intro.model.scoring import Rationale, head_of, logprob_pass, microbatches, pack, response_hidden
from intro.objectives import Objective, rationale_weights
from intro.training.distributed import ALONE, Ranks
from intro.training.metrics import MetricAccumulator
from intro.types import Loss, LossBatch, Outcomes, Signal

if TYPE_CHECKING:
    from intro.training.backends.base import Backend
    from intro.training.samples import Sample


@dataclass(frozen=True, slots=True)
class Networks:
    """What passes without gradient run on: the policy (or its replica, where an engine shards it), the base model,
    and the network of the estimated posterior (one of the two, or a moving average)."""

    policy: nn.Module
    base: nn.Module
    posterior: nn.Module | None


@dataclass(frozen=True, slots=True)
class PrecomputedLogprobs:
    """Log-probs that some objectives need before their loss, per rationale [|z|]; None where not asked for."""

    logprobs: list[Tensor] | None
    reference: list[Tensor] | None


def score(sample: Sample, objective: Objective, networks: Networks, budget: int) -> PrecomputedLogprobs:
    """The passes without gradient that `objective.needs` names, on all of the step's rationales."""
    logprobs = reference = None
    if Signal.LOGPROBS in objective.needs:
        logprobs = logprob_pass(networks.policy, sample.rationales, budget)
    if Signal.REFERENCE in objective.needs:
        reference = logprob_pass(networks.base, sample.rationales, budget)
    return PrecomputedLogprobs(logprobs, reference)


def outcomes_of(sample: Sample, passes: PrecomputedLogprobs, ranks: Ranks = ALONE) -> Outcomes:
    """Sequence sums [P, G] of the passes; a forced answer is kept apart from the rationale before it.

    P counts the prompts of all ranks, in the step's order.
    """
    shape = sample.rewards.shape

    def total(parts: list[Tensor] | None, answer: bool) -> Tensor | None:
        if parts is None:
            return None
        sums = []
        for part, rationale in zip(parts, sample.rationales, strict=True):
            cut = len(rationale.tokens) if rationale.answer_start is None else rationale.answer_start
            sums.append(part[cut:].sum() if answer else part[:cut].sum())
        return whole(torch.stack(sums).view(shape).cpu() if sums else torch.empty(shape))

    def whole(rows: Tensor) -> Tensor:
        return torch.stack(ranks.gather_in_order(list(rows.unbind())))

    forced = any(ranks.gather(any(r.answer_start is not None for r in sample.rationales)))
    return Outcomes(
        rewards=whole(sample.rewards),
        truncated=whole(sample.truncated),
        logprobs=total(passes.logprobs, False),
        reference_logprobs=total(passes.reference, False),
        answer_logprobs=total(passes.logprobs, True) if forced else None,
    )


@dataclass(frozen=True, slots=True)
class Part:
    """This rank's kept rationales of one update, with everything that belongs to each of them."""

    rationales: list[Rationale]
    advantage: Tensor  # [R]
    weights: Tensor  # [R] of each token of a rationale, from the counts of all ranks
    old: list[Tensor] | None
    reference: list[Tensor] | None
    kept: int  # rationales of all ranks
    tokens: int  # theirs


def parts_of(
    sample: Sample,
    passes: PrecomputedLogprobs,
    objective: Objective,
    networks: Networks,
    budget: int,
    ranks: Ranks = ALONE,
) -> list[Part]:
    """Split the step's prompts into `updates_per_rollout` parts; each sample is used once.

    Called before the first update, so the policy is the one that sampled: its log-probs are the old ones of all parts
    but the first, which meets that very policy.
    """
    credit = objective.credit(outcomes_of(sample, passes, ranks))
    prompts, group = credit.keep.shape
    mine = [len(r.tokens) for r in sample.rationales]
    lengths = torch.tensor(ranks.gather_in_order([mine[i : i + group] for i in range(0, len(mine), group)]))  # [P, G]
    parts = []
    for number, rows in enumerate(torch.arange(prompts).chunk(objective.updates_per_rollout)):
        kept = torch.zeros_like(credit.keep)
        kept[rows] = credit.keep[rows]
        owners, columns = kept.nonzero(as_tuple=True)  # [K] of all ranks
        counted = lengths[kept]
        weights = rationale_weights(counted, owners, objective.normalisation) if len(owners) else torch.empty(0)
        here = owners % ranks.size == ranks.rank
        chosen = (owners[here] // ranks.size * group + columns[here]).tolist()
        rationales = [sample.rationales[i] for i in chosen]
        moved = number > 0 and Signal.OLD_LOGPROBS in objective.needs
        parts.append(
            Part(
                rationales=rationales,
                advantage=credit.advantage[kept][here],
                weights=weights[here],
                old=logprob_pass(networks.policy, rationales, budget) if moved else None,
                reference=None if passes.reference is None else [passes.reference[i] for i in chosen],
                kept=len(owners),
                tokens=int(counted.sum()),
            )
        )
    return parts


@dataclass(frozen=True, slots=True)
class Batch:
    """A micro-batch before its differentiable pass: R rationales, packed end to end to N positions."""

    rationales: list[Rationale]
    advantage: Tensor  # [R]
    weights: Tensor  # [N]
    posterior_hidden: Tensor | None = None  # [N, d]
    posterior_head: Tensor | None = None  # [V, d]; None: the policy's own
    old_logprobs: Tensor | None = None  # [N]
    reference_logprobs: Tensor | None = None  # [N]
    idle: bool = False  # nothing to learn: a rank keeps step with the others


# two tokens are the least that has a position which predicts one
IDLE = Batch([Rationale((0,), (0,), 0)], torch.zeros(1), torch.zeros(1), idle=True)


def batch_of(part: Part, chosen: Sequence[int], networks: Networks) -> Batch:
    """A micro-batch with its passes that need no gradient."""
    rationales = [part.rationales[i] for i in chosen]
    _, owner = pack(rationales)
    hidden = head = None
    if networks.posterior is not None:
        with torch.no_grad():  # the second of InTRO's two forward passes
            prompts = [r.posterior_prompt for r in rationales]
            hidden = response_hidden(networks.posterior, prompts, [r.tokens for r in rationales])
        if networks.posterior is not networks.policy:
            head = head_of(networks.posterior).detach()
    return Batch(
        rationales,
        part.advantage[list(chosen)],
        part.weights[list(chosen)][owner],
        posterior_hidden=hidden,
        posterior_head=head,
        old_logprobs=None if part.old is None else torch.cat([part.old[i] for i in chosen]),
        reference_logprobs=None if part.reference is None else torch.cat([part.reference[i] for i in chosen]),
    )


class Update(nn.Module):
    """The policy and the loss on top of it: the one entry that a distributed engine wraps.

    The head is taken inside `forward`: outside, an engine that shards parameters has an empty one.
    """

    def __init__(self, policy: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.policy, self.objective = policy, objective

    def forward(self, batch: Batch, generator: Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, differentiable, and the objective's detached metrics."""
        rationales = batch.rationales
        hidden = response_hidden(self.policy, [r.prompt for r in rationales], [r.tokens for r in rationales])
        head = head_of(self.policy)
        if batch.idle:  # the same passes, forward and backward, as a rank that learns: engines wait for each of them
            return 0.0 * (hidden.sum() + head.sum()), {}
        result = self.loss(batch, hidden, head, generator)
        return result.loss, result.metrics

    def loss(self, batch: Batch, hidden: Tensor, head: Tensor, generator: Generator) -> Loss:
        """The objective's loss, a sum over positions, by chunks of them: no [N, V] tensor outlives its chunk."""
        device, dtype = hidden.device, torch.promote_types(hidden.dtype, torch.float32)
        tokens, owner = pack(batch.rationales)
        answer = [
            torch.arange(len(r.tokens)) >= (len(r.tokens) if r.answer_start is None else r.answer_start)
            for r in batch.rationales
        ]
        tokens, owner, answer = tokens.to(device), owner.to(device), torch.cat(answer).to(device)
        advantage, weights = batch.advantage.to(device, dtype), batch.weights.to(device, dtype)

        def loss_of(rows: slice, hidden: Tensor, head: Tensor) -> Loss:
            def part(values: Tensor | None) -> Tensor | None:
                return None if values is None else values[rows]

            scored = LossBatch(
                tokens=tokens[rows],
                rationale=owner[rows],
                advantage=advantage,
                policy_hidden=hidden,
                lm_head=head,
                posterior_hidden=part(batch.posterior_hidden),
                posterior_head=batch.posterior_head,
                old_logprobs=part(batch.old_logprobs),
                reference_logprobs=part(batch.reference_logprobs),
                answer_mask=answer[rows],
            )
            return self.objective.loss(scored, weights[rows], generator)

        return loss_by_rows(loss_of, hidden, head)


def backward(part: Part, backend: Backend, networks: Networks, budget: int, generator: Generator) -> MetricAccumulator:
    """Accumulate the part's gradient over micro-batches. Nothing rescales the loss: the weights are global."""
    tally, total = MetricAccumulator(), 0.0
    groups = microbatches(part.rationales, budget)
    count = backend.ranks.max(len(groups))
    for i in range(count):
        batch = batch_of(part, groups[i], networks) if i < len(groups) else IDLE
        loss, metrics = backend.backward(batch, generator, last=i == count - 1)
        total += loss
        tally.add(metrics)
    # every rank has its summand of one loss, so it counts once
    tally.sums["loss"], tally.counts["loss"] = total, int(backend.ranks.first)
    return tally
