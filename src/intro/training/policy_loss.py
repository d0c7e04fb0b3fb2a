"""The policy and an objective's loss on top of it, as one module that a backend can wrap."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from intro.model.chunked_loss import loss_by_rows
from intro.model.scoring import head_of, pack, response_hidden
from intro.objectives import Objective
from intro.training.minibatches import MicroBatch
from intro.types import Loss, LossBatch


class PolicyLoss(nn.Module):
    """From a micro-batch to the scalar that is differentiated.

    The head is read inside `forward`: outside of it, a backend that shards parameters holds an empty one.
    """

    def __init__(self, policy: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.policy, self.objective = policy, objective

    def forward(self, batch: MicroBatch, generator: Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """The differentiable loss, and the objective's detached metrics."""
        rationales = batch.rationales
        hidden = response_hidden(self.policy, [r.prompt for r in rationales], [r.tokens for r in rationales])
        head = head_of(self.policy)
        if batch.idle:  # every parameter takes part, so that this rank joins all collective operations of the backend
            return 0.0 * (hidden.sum() + head.sum()), {}
        result = self.loss(batch, hidden, head, generator)
        return result.loss, result.metrics

    def loss(self, batch: MicroBatch, hidden: Tensor, head: Tensor, generator: Generator) -> Loss:
        """The objective's loss, summed over chunks of positions: no [N, V] tensor is kept beyond its chunk.

        hidden [N, d]; head [V, d].
        """
        device, dtype = hidden.device, torch.promote_types(hidden.dtype, torch.float32)
        tokens, owner = pack(batch.rationales)
        position = torch.cat([torch.arange(len(r.tokens)) for r in batch.rationales]).to(device)
        answer = [
            torch.arange(len(r.tokens)) >= (len(r.tokens) if r.answer_start is None else r.answer_start)
            for r in batch.rationales
        ]
        tokens, owner, answer = tokens.to(device), owner.to(device), torch.cat(answer).to(device)
        advantage, weights = batch.advantage.to(device, dtype), batch.weights.to(device, dtype)

        def loss_of(rows: slice, hidden: Tensor, head: Tensor) -> Loss:
            def chunk(values: Tensor | None) -> Tensor | None:
                return None if values is None else values[rows]

            scored = LossBatch(
                tokens=tokens[rows],
                rationale=owner[rows],
                advantage=advantage,
                policy_hidden=hidden,
                lm_head=head,
                posterior_hidden=chunk(batch.posterior_hidden),
                posterior_head=batch.posterior_head,
                old_logprobs=chunk(batch.old_logprobs),
                reference_logprobs=chunk(batch.reference_logprobs),
                answer_mask=answer[rows],
                position=position[rows],
            )
            return self.objective.loss(scored, weights[rows], generator)

        return loss_by_rows(loss_of, hidden, head)
