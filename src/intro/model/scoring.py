"""The training-side forward: hidden states at response positions, micro-batches, and log-prob passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from intro.model.chunked_loss import map_rows
from intro.model.logprobs import token_logprobs
from intro.model.packing import RowMap, run_packed

PADDED = 3  # places that attention computes on per token of a micro-batch's budget, at most


@dataclass(frozen=True, slots=True)
class Rationale:
    """One response to learn from: its prompt x, the prompt x (+) y where there is one, and z itself."""

    prompt: tuple[int, ...]
    tokens: tuple[int, ...]
    group: int  # index of its prompt within the step
    posterior_prompt: tuple[int, ...] | None = None
    answer_start: int | None = None  # z[answer_start:] is the forced gold answer (LaTRO)

    @property
    def length(self) -> int:
        """Tokens with the longer of its prompts: the passes with and without the answer share a packing."""
        return len(self.tokens) + max(len(self.prompt), len(self.posterior_prompt or ()))


def response_hidden(model: nn.Module, prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[int]]) -> Tensor:
    """Hidden states [N, d] that predict each response token, rationales end to end."""
    sequences = [(*p, *r) for p, r in zip(prompts, responses, strict=True)]
    hidden = run_packed(model, sequences)  # [T, d]
    # position t-1 predicts token t
    asked = [t for p, r in zip(prompts, responses, strict=True) for t in [0] * (len(p) - 1) + [1] * len(r) + [0]]
    wanted = torch.tensor(asked, dtype=torch.bool)
    back = (wanted.cumsum(0) - 1).clamp_(min=0)
    index, back, absent = (x.to(hidden.device) for x in (wanted.nonzero().squeeze(1), back, ~wanted))
    return RowMap(index, back, absent).take(hidden)


def head_of(model: nn.Module) -> Tensor:
    """The output matrix [V, d], tied or not."""
    return model.get_output_embeddings().weight


def pack(rationales: Sequence[Rationale]) -> tuple[Tensor, Tensor]:
    """The tokens [N] of the rationales end to end, and the index of each token's rationale [N]."""
    tokens = torch.tensor([t for r in rationales for t in r.tokens])
    owner = torch.repeat_interleave(torch.arange(len(rationales)), torch.tensor([len(r.tokens) for r in rationales]))
    return tokens, owner


def microbatches(rationales: Sequence[Rationale], budget: int) -> list[list[int]]:
    """Indices in groups of similar length with at most `budget` tokens each (at least one rationale).

    Attention computes on rows as long as the longest, so that one long rationale takes only some short ones along: see
    PADDED.
    """
    groups: list[list[int]] = []
    filled = longest = 0  # of the last group
    for i in sorted(range(len(rationales)), key=lambda i: rationales[i].length, reverse=True):
        length = rationales[i].length
        if groups and filled + length <= budget and (len(groups[-1]) + 1) * longest <= PADDED * budget:
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
        logp = map_rows(lambda rows, h, head=head, own=tokens: token_logprobs(h, head, own[rows]), hidden, head)
        for i, part in zip(group, logp.split([len(r.tokens) for r in chosen]), strict=True):
            out[i] = part
    return out
