"""The functions for other programs: `from intro import intro_loss, token_logprobs`. They check their arguments."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from intro.model import logprobs
from intro.model.chunked_loss import loss_by_rows
from intro.objectives.intro import OwnToken, eq_7
from intro.types import Loss, LossBatch

FLATTEN = "flatten batch and time to N positions and leave out padding: x[mask] with a boolean mask [B, T]"


@dataclass(frozen=True, slots=True)
class IntroLoss:
    """`loss` is differentiable; the other fields are detached, for the log."""

    loss: Tensor  # scalar
    correction: Tensor  # [N, n] the clipped w_t^i; [N, 1] their expectation when n is None
    clipped: Tensor  # [N, n] bool; [N, 1] whether any token of the vocabulary was clipped when n is None


def intro_loss(
    policy_hidden: Tensor,
    posterior_hidden: Tensor,
    lm_head: Tensor,
    tokens: Tensor,
    weights: Tensor,
    *,
    n: int | None,
    clip: float,
    posterior_head: Tensor | None = None,
    own_token: OwnToken = "weighted",
    baseline: float = 0.0,
    generator: Generator | None = None,
) -> IntroLoss:
    """Minus Eq. 7 of InTRO: - sum_t weights[t] 1/n sum_i w_t^i log pi(z_t^i | x, z_<t).

    w = min(posterior / policy, clip) is detached: the paper holds the proposal fixed. The loss is differentiable in
    policy_hidden and lm_head. Positions are processed in chunks, so memory does not grow with N x V.

    policy_hidden [N, d]: hidden states that predict the response tokens, without the answer y in the prompt.
    posterior_hidden [N, d]: the same positions, with y in the prompt.
    lm_head [V, d]: the output matrix. posterior_head [V, d]: the posterior's, if it is another network.
    tokens [N], int64: the response tokens z_t.
    weights [N]: the weight of each position; they carry 1/|z| and every other normaliser.
    n: candidates per position, the response token included; None sums over the vocabulary exactly.
    clip: the upper bound c of w (200 in the paper).
    own_token: "weighted" gives the response token its w (the paper), "unit" gives it 1, "excluded" draws all n.
    baseline: subtracted from w of drawn candidates only; 1.0 is the zero-mean control variate.
    generator: draws the candidates; None is torch's global one.

    Raises ValueError for a wrong shape or dtype, for n < 1 and for clip <= 0.
    """
    rows = _check_scored(policy_hidden, lm_head, tokens, "policy_hidden")
    head = lm_head if posterior_head is None else posterior_head
    _check("posterior_hidden", posterior_hidden, (rows, "d"))
    _check("posterior_head", head, (len(lm_head), posterior_hidden.shape[1]))
    _check("weights", weights, (rows,))

    if n is not None and n < 1:
        raise ValueError(f"n: expected at least 1 candidate per position or None, found {n}")
    if clip <= 0:
        raise ValueError(f"clip: expected a positive number, found {clip}")

    def loss_of(part: slice, hidden: Tensor, lm_head: Tensor) -> Loss:
        batch = LossBatch(
            tokens=tokens[part],
            rationale=torch.zeros_like(tokens[part]),
            advantage=weights.new_ones(1),  # InTRO has none
            policy_hidden=hidden,
            lm_head=lm_head,
            posterior_hidden=posterior_hidden[part],
            posterior_head=head,
        )
        return eq_7(batch, weights[part], n, clip, own_token, baseline, generator)

    result = loss_by_rows(loss_of, policy_hidden, lm_head)
    return IntroLoss(result.loss, result.metrics["correction"], result.metrics["clipped"])


def token_logprobs(hidden: Tensor, lm_head: Tensor, tokens: Tensor) -> Tensor:
    """log pi(z_t | prefix) [N] of the tokens [N], differentiable in `hidden` [N, d] and `lm_head` [V, d].

    The logits [N, V] of all positions are held at once. Raises ValueError for a wrong shape or dtype.
    """
    _check_scored(hidden, lm_head, tokens, "hidden")
    return logprobs.token_logprobs(hidden, lm_head, tokens)


def _check_scored(hidden: Tensor, lm_head: Tensor, tokens: Tensor, name: str) -> int:
    """Check the arguments that both functions have; returns N."""
    _check(name, hidden, ("N", "d"))
    _check("lm_head", lm_head, ("V", hidden.shape[1]))
    _check("tokens", tokens, (len(hidden),), torch.int64)
    if hidden.dtype != lm_head.dtype:
        raise ValueError(
            f"{name} and lm_head: expected one dtype, found {hidden.dtype} and {lm_head.dtype}; convert one of them"
        )
    return len(hidden)


def _check(name: str, tensor: Tensor, shape: tuple[int | str, ...], dtype: torch.dtype | None = None) -> None:
    """Raise ValueError unless the tensor has this shape, where letters stand for any size, and dtype (None: floats)."""
    fits = tensor.dim() == len(shape) and all(
        isinstance(wanted, str) or wanted == size for wanted, size in zip(shape, tensor.shape, strict=True)
    )
    if not fits:
        advice = FLATTEN if tensor.dim() > len(shape) else "N and the widths of all tensors must agree"
        raise ValueError(f"{name}: expected shape [{', '.join(map(str, shape))}], found {list(tensor.shape)}; {advice}")
    if not (tensor.is_floating_point() if dtype is None else tensor.dtype == dtype):
        wanted, convert = ("a floating-point dtype", ".float()") if dtype is None else (dtype, ".long()")
        raise ValueError(f"{name}: expected {wanted}, found {tensor.dtype}; convert it with {name}{convert}")
