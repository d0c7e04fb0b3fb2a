"""Forward passes of training: hidden states at response positions, micro-batches, and log-probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from intro.model.chunked_loss import map_rows
from intro.model.logprobs import token_logprobs
from intro.model.packing import RowMap, run_packed

MAX_PADDING = 3  # largest number of padded positions in attention per token of a micro-batch's budget


@dataclass(frozen=True, slots=True)
class Rationale:
    """A response z with its prompt x, and the prompt x (+) y if the method has a posterior."""

    prompt: tuple[int, ...]
    tokens: tuple[int, ...]
    group: int  # index of its prompt within the step
    posterior_prompt: tuple[int, ...] | None = None
    answer_start: int | None = None  # z[answer_start:] is the forced gold answer (LaTRO)

    @property
    def length(self) -> int:
        """Number of tokens with the longer prompt: both passes, with and without the answer, use one micro-batch."""
        return len(self.tokens) + max(len(self.prompt), len(self.posterior_prompt or ()))


def response_hidden(model: nn.Module, prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[int]]) -> Tensor:
    """Hidden states [N, d] that predict each response token, concatenated over rationales."""
    sequences = [(*p, *r) for p, r in zip(prompts, responses, strict=True)]
    hidden = run_packed(model, sequences)  # [T, d]
    # position t-1 predicts token t
    flags = [t for p, r in zip(prompts, responses, strict=True) for t in [0] * (len(p) - 1) + [1] * len(r) + [0]]
    predicts = torch.tensor(flags, dtype=torch.bool)
    back = (predicts.cumsum(0) - 1).clamp_(min=0)
    index, back, absent = (x.to(hidden.device) for x in (predicts.nonzero().squeeze(1), back, ~predicts))
    return RowMap(index, back, absent).take(hidden)


def head_of(model: nn.Module) -> Tensor:
    """The output matrix [V, d], tied or not."""
    return model.get_output_embeddings().weight


def pack(rationales: Sequence[Rationale]) -> tuple[Tensor, Tensor]:
    """The concatenated tokens [N] of the rationales, and the index of each token's rationale [N]."""
    tokens = torch.tensor([t for r in rationales for t in r.tokens])
    owner = torch.repeat_interleave(torch.arange(len(rationales)), torch.tensor([len(r.tokens) for r in rationales]))
    return tokens, owner


def microbatches(rationales: Sequence[Rationale], budget: int) -> list[list[int]]:
    """Groups of indices of rationales of similar length, with at most `budget` tokens or a single rationale each.

    Attention pads every row to the longest in its group, so MAX_PADDING limits how many short rationales share a group
    with a long one.
    """
    groups: list[list[int]] = []
    filled = longest = 0  # of the last group
    for i in sorted(range(len(rationales)), key=lambda i: rationales[i].length, reverse=True):
        length = rationales[i].length
        if groups and filled + length <= budget and (len(groups[-1]) + 1) * longest <= MAX_PADDING * budget:
            groups[-1].append(i)
            filled += length
        else:
            groups.append([i])
            filled = longest = length
    return groups


@torch.no_grad()
def logprob_pass(model: nn.Module, rationales: Sequence[Rationale], budget: int) -> list[Tensor]:
    """log pi(z_t | x, z_<t) of each rationale [|z|], without gradient."""
    out: list[Tensor | None] = [None] * len(rationales)
    for group in microbatches(rationales, budget):
        chosen = [rationales[i] for i in group]
        tokens, _ = pack(chosen)
        hidden, head = response_hidden(model, [r.prompt for r in chosen], [r.tokens for r in chosen]), head_of(model)
        tokens = tokens.to(hidden.device)
        logp = map_rows(lambda rows, h, head=head, z=tokens: token_logprobs(h, head, z[rows]), hidden, head)
        for i, part in zip(group, logp.split([len(r.tokens) for r in chosen]), strict=True):
            out[i] = part
    return out
