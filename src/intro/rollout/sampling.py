"""Sampling of tokens from logits by temperature and top-p, with one uniform number per token."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from intro.model.softmax import draw

SLICE = 256  # number of likeliest tokens that are sorted; a larger nucleus needs the whole vocabulary sorted


@dataclass(frozen=True, slots=True)
class Sampling:
    """temperature 0 is greedy; top_p 1 samples the untruncated policy."""

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0


def choose(logits: Tensor, sampling: Sampling, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens [B], and entropies [B] at temperature 1, in nats, of logits [B, V].

    uniform: [B] in [0, 1), fp64. A row's token depends only on the row's logits and uniform number.
    """
    logp = logits.log_softmax(-1)
    p = logp.exp()
    entropy = -torch.linalg.vecdot(p, logp)
    if sampling.temperature == 0:
        return logits.argmax(-1), entropy
    if sampling.temperature != 1:
        p = (logp / sampling.temperature).softmax(-1)
    if sampling.top_p == 1:
        return draw(p, uniform[:, None]).squeeze(1), entropy
    kept, ids = nucleus(p, sampling.top_p)
    return ids.gather(1, draw(kept, uniform[:, None])).squeeze(1), entropy


def nucleus(p: Tensor, top_p: float) -> tuple[Tensor, Tensor]:
    """The smallest set of likeliest tokens whose mass reaches top_p: their probabilities and ids [B, K], of p [B, V].

    Sorted by probability, then by id; not normalised. The probability is 0 for entries that are not in a row's set.
    """
    if p.shape[-1] > SLICE:
        ids = p.topk(SLICE, sorted=False).indices.sort().values
        ranked, before, ids = _ranked(p.gather(1, ids), ids)
        # tokens outside of the slice may be as likely as its last one, so the result is exact if none of these is kept
        if bool(((before >= top_p) | (ranked > ranked[:, -1:])).all()):
            return ranked.masked_fill_(before >= top_p, 0.0), ids
    ranked, before, ids = _ranked(p, None)
    return ranked.masked_fill_(before >= top_p, 0.0), ids


def _ranked(p: Tensor, ids: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """p in descending order, the mass before each entry, and its id; `ids` [B, K] of p's columns, None: 0, 1, ..."""
    ranked, order = p.sort(dim=-1, descending=True, stable=True)
    return ranked, ranked.cumsum(-1) - ranked, order if ids is None else ids.gather(1, order)
