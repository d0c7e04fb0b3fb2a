"""One update without the optimizer's step, for timing: everything between rollouts and AdamW, for any objective."""

from __future__ import annotations

from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from intro.infra.seeds import generator_for
from intro.objectives import Objective
from intro.rollout.base import on_device
from intro.training.backends.base import AdamW
from intro.training.backends.torch import Torch
from intro.training.minibatches import Networks, minibatches_of, precompute_logprobs
from intro.training.policy_loss import PolicyLoss
from intro.training.samples import Sample
from intro.training.update import accumulate_gradient
from intro.types import Signal

IDLE_ADAMW = AdamW(lr=0.0, updates=1, betas=(0.9, 0.95), weight_decay=0.0, gradient_clip=1.0, warmup=0.0)  # no step


class Step:
    """The passes that an objective needs on fixed rationales, its loss and the gradient, which is discarded.

    budget: tokens of a micro-batch; None: all rationales in one.
    """

    def __init__(
        self, objective: Objective, sample: Sample, policy: nn.Module, base: nn.Module, budget: int | None = None
    ) -> None:
        self.objective, self.sample = objective, sample
        posterior = policy if Signal.POSTERIOR in objective.needs else None
        self.networks = Networks(policy, base, posterior)
        self.backend = Torch(PolicyLoss(policy, self.objective), IDLE_ADAMW)
        self.device = next(policy.parameters()).device
        longest = max(r.length for r in sample.rationales)
        self.budget = len(sample.rationales) * longest if budget is None else budget

    def __call__(self) -> None:
        """Run once. Weights stay as they are, and gradients are cleared."""
        precomputed = precompute_logprobs(self.sample, self.objective, self.networks, self.budget)
        generator = on_device(generator_for("cost"), self.device)
        for minibatch in minibatches_of(self.sample, precomputed, self.objective, self.networks, self.budget):
            accumulate_gradient(minibatch, self.backend, self.networks, self.budget, generator)
        self.networks.policy.zero_grad(set_to_none=True)

    def flops(self) -> int:
        """FLOPs of one run, as torch counts them."""
        with FlopCounterMode(display=False) as counter:
            self()
        return counter.get_total_flops()
