"""One gradient step from credited rationales: weights from global counts, micro-batches, the loss, AdamW."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from intro.lm.scoring import Rationale, head_of, logprob_pass, microbatches, pack, response_hidden
from intro.objectives import Objective, rationale_weights
from intro.training.records import Tally
from intro.training.rollouts import Sample
from intro.types import Outcomes, Scored, Signal


@dataclass(frozen=True, slots=True)
class Networks:
    """The policy being trained, the base model, and the network of the estimated posterior (one of the two, or
    a moving average)."""

    policy: nn.Module
    base: nn.Module
    posterior: nn.Module | None


@dataclass(frozen=True, slots=True)
class Passes:
    """Log-probs that some objectives need before their loss, per rationale [|z|]; None where not asked for."""

    old: list[Tensor] | None
    reference: list[Tensor] | None
    forwards: int  # network passes per rationale that this took


def score(sample: Sample, objective: Objective, networks: Networks, budget: int) -> Passes:
    """The passes without gradient that `objective.needs` names, on all of the step's rationales."""
    old = reference = None
    if Signal.OLD_LOGPROBS in objective.needs:
        old = logprob_pass(networks.policy, sample.rationales, budget)
    if Signal.REFERENCE in objective.needs:
        reference = logprob_pass(networks.base, sample.rationales, budget)
    return Passes(old, reference, (old is not None) + (reference is not None))


def outcomes_of(sample: Sample, passes: Passes) -> Outcomes:
    """Sequence sums [P, G] of the passes; a forced answer is kept apart from the rationale before it."""
    shape = sample.rewards.shape

    def total(parts: list[Tensor], answer: bool) -> Tensor:
        sums = []
        for part, rationale in zip(parts, sample.rationales, strict=True):
            cut = len(rationale.tokens) if rationale.answer_start is None else rationale.answer_start
            sums.append(part[cut:].sum() if answer else part[:cut].sum())
        return torch.stack(sums).view(shape).cpu()

    forced = any(r.answer_start is not None for r in sample.rationales)
    return Outcomes(
        rewards=sample.rewards,
        truncated=sample.truncated,
        logprobs=None if passes.old is None else total(passes.old, False),
        reference_logprobs=None if passes.reference is None else total(passes.reference, False),
        answer_logprobs=total(passes.old, True) if forced and passes.old is not None else None,
    )


@dataclass(frozen=True, slots=True)
class Part:
    """The kept rationales of one update, with everything that belongs to each of them."""

    rationales: list[Rationale]
    advantage: Tensor  # [R]
    weights: Tensor  # [R] of each token of a rationale, from this part's global counts
    old: list[Tensor] | None
    reference: list[Tensor] | None


def parts_of(sample: Sample, passes: Passes, objective: Objective) -> list[Part]:
    """Split the step's prompts into `updates_per_rollout` parts; each sample is used once."""
    credit = objective.credit(outcomes_of(sample, passes))
    keep, advantage = credit.keep.flatten(), credit.advantage.flatten()
    prompts, group = sample.rewards.shape
    parts = []
    for rows in torch.arange(prompts).chunk(objective.updates_per_rollout):
        chosen = [int(i) for i in range(int(rows[0]) * group, (int(rows[-1]) + 1) * group) if keep[i]]
        rationales = [sample.rationales[i] for i in chosen]
        lengths = torch.tensor([len(r.tokens) for r in rationales])
        owners = torch.tensor([r.group for r in rationales])
        weights = rationale_weights(lengths, owners, objective.normalisation) if chosen else torch.empty(0)
        old = None if passes.old is None else [passes.old[i] for i in chosen]
        reference = None if passes.reference is None else [passes.reference[i] for i in chosen]
        parts.append(Part(rationales, advantage[chosen], weights, old, reference))
    return parts


def scored(part: Part, chosen: Sequence[int], networks: Networks) -> tuple[Scored, Tensor]:
    """A micro-batch after its passes, and its per-token weights [N]."""
    rationales = [part.rationales[i] for i in chosen]
    responses = [r.tokens for r in rationales]
    hidden = response_hidden(networks.policy, [r.prompt for r in rationales], responses)
    device, dtype = hidden.device, torch.promote_types(hidden.dtype, torch.float32)
    tokens, owner = pack(rationales)
    posterior_hidden = posterior_head = None
    if networks.posterior is not None:
        with torch.no_grad():  # the second of InTRO's two forward passes
            posterior_hidden = response_hidden(networks.posterior, [r.posterior_prompt for r in rationales], responses)
        if networks.posterior is not networks.policy:
            posterior_head = head_of(networks.posterior).detach()
    answer = [
        torch.arange(len(r.tokens)) >= (len(r.tokens) if r.answer_start is None else r.answer_start) for r in rationales
    ]
    batch = Scored(
        tokens=tokens.to(device),
        rationale=owner.to(device),
        advantage=part.advantage[list(chosen)].to(device, dtype),
        policy_hidden=hidden,
        lm_head=head_of(networks.policy),
        posterior_hidden=posterior_hidden,
        posterior_head=posterior_head,
        old_logprobs=None if part.old is None else torch.cat([part.old[i] for i in chosen]),
        reference_logprobs=None if part.reference is None else torch.cat([part.reference[i] for i in chosen]),
        answer_mask=torch.cat(answer).to(device),
    )
    return batch, part.weights[list(chosen)][owner].to(device, dtype)


def backward(part: Part, objective: Objective, networks: Networks, budget: int, generator: Generator) -> Tally:
    """Accumulate the part's gradient over micro-batches. Nothing rescales the loss: the weights are global."""
    tally = Tally()
    total = 0.0
    for chosen in microbatches(part.rationales, budget):
        batch, weights = scored(part, chosen, networks)
        result = objective.loss(batch, weights, generator)
        result.loss.backward()
        total += float(result.loss.detach())
        tally.add(result.metrics)
    tally.add({"loss": torch.tensor(total, dtype=torch.float64)})
    return tally


class Optimizer:
    """AdamW with gradient clipping and a linear warm-up to a constant learning rate."""

    def __init__(
        self,
        policy: nn.Module,
        lr: float,
        updates: int,
        *,
        betas: tuple[float, float],
        weight_decay: float,
        gradient_clip: float,
        warmup: float,
    ) -> None:
        self.policy, self.lr, self.gradient_clip = policy, lr, gradient_clip
        self.warmup = max(1, math.ceil(warmup * updates))
        self.adamw = torch.optim.AdamW(policy.parameters(), lr=lr, betas=betas, weight_decay=weight_decay)
        self.updates = 0

    @property
    def learning_rate(self) -> float:
        return self.lr * min(1.0, (self.updates + 1) / self.warmup)

    def step(self) -> float:
        """Apply and clear the gradient; returns its norm before clipping."""
        norm = nn.utils.clip_grad_norm_(self.policy.parameters(), self.gradient_clip)
        for group in self.adamw.param_groups:
            group["lr"] = self.learning_rate
        self.adamw.step()
        self.adamw.zero_grad(set_to_none=True)
        self.updates += 1
        return float(norm)

    def state(self) -> dict:
        return {"adamw": self.adamw.state_dict(), "updates": self.updates}

    def restore(self, state: dict) -> None:
        self.adamw.load_state_dict(state["adamw"])
        self.updates = state["updates"]
