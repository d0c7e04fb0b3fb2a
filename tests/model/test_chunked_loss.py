"""Chunked losses equal the losses over all rows in value, gradients and metrics."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from intro import intro_loss
from intro.model.chunked_loss import loss_by_rows, map_rows, rows_per_chunk
from intro.model.logprobs import token_logprobs
from intro.types import Loss

V, D = 11, 4


def random_case(n: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(n)
    hidden, other = (torch.randn(n, D, generator=g, dtype=torch.float64).to(dtype) for _ in range(2))
    head = torch.randn(V, D, generator=g, dtype=torch.float64).to(dtype)
    tokens = torch.randint(V, (n,), generator=g)
    return hidden.requires_grad_(), other, head.requires_grad_(), tokens, torch.rand(n, generator=g, dtype=dtype)


@given(st.integers(1, 30), st.integers(1, 30))
def test_chunks_do_not_change_exact_intro(n: int, rows: int) -> None:
    """Value, both gradients and the correction factors of Eq. 7 at n = infinity, for any chunk size."""
    results = []
    for size in (n, rows):
        hidden, other, head, tokens, weights = random_case(n)

        def loss_of(part: slice, h: Tensor, w: Tensor, other=other, tokens=tokens, weights=weights) -> Loss:
            got = intro_loss(h, other[part], w, tokens[part], weights[part], n=None, clip=3.0)
            return Loss(got.loss, {"correction": got.correction})

        result = loss_by_rows(loss_of, hidden, head, size)
        (2.5 * result.loss).backward()
        results.append((result.loss.detach(), hidden.grad, head.grad, result.metrics["correction"].flatten()))
    for whole, chunked in zip(*results, strict=True):
        torch.testing.assert_close(chunked, whole, rtol=1e-12, atol=1e-14)


def test_a_gradient_of_the_gradient_is_refused() -> None:
    """The forward pass stores gradients as constants, so a second derivative would silently be wrong."""
    hidden, _, head, tokens, weights = random_case(9)

    def loss_of(part: slice, h: Tensor, w: Tensor) -> Loss:
        return Loss(-(weights[part] * token_logprobs(h, w, tokens[part])).sum())

    loss = loss_by_rows(loss_of, hidden, head, 4).loss
    (first,) = torch.autograd.grad(loss.square(), hidden, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


def test_gradients_by_finite_differences() -> None:
    """The gradient computed in the forward pass is that of the loss."""
    hidden, _, head, tokens, weights = random_case(7)

    def loss(h: Tensor, w: Tensor) -> Tensor:
        def loss_of(part: slice, h: Tensor, w: Tensor) -> Loss:
            return Loss(-(weights[part] * token_logprobs(h, w, tokens[part])).sum())

        return loss_by_rows(loss_of, h, w, 3).loss

    assert torch.autograd.gradcheck(loss, (hidden, head))


def test_bfloat16_sums_in_fp32() -> None:
    """The head's gradient from many small chunks is within one rounding of the gradient from a single chunk."""
    grads = []
    for rows in (1, 512):
        hidden, _, head, tokens, weights = random_case(512, torch.bfloat16)

        def loss_of(part: slice, h: Tensor, w: Tensor, tokens=tokens, weights=weights) -> Loss:
            return Loss(-(weights[part].float() * token_logprobs(h, w, tokens[part])).sum())

        loss_by_rows(loss_of, hidden, head, rows).loss.backward()
        grads.append(head.grad.float())
    torch.testing.assert_close(*grads, rtol=2e-2, atol=2e-2 * float(grads[1].abs().max()))


def test_mapped_rows_come_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden, _, head, tokens, _ = random_case(23)
    whole = token_logprobs(hidden, head, tokens)
    monkeypatch.setattr("intro.model.chunked_loss.CHUNK_BYTES", 0)
    monkeypatch.setattr("intro.model.chunked_loss.rows_per_chunk", lambda vocabulary: 5)
    seen: list[int] = []

    def function(part: slice, h: Tensor) -> Tensor:
        seen.append(len(h))
        return token_logprobs(h, head, tokens[part])

    torch.testing.assert_close(map_rows(function, hidden, head), whole)
    assert seen == [5, 5, 5, 5, 3]


def test_a_chunk_is_bounded_in_bytes() -> None:
    """A chunk has 883 rows at Qwen2.5's vocabulary, and at least one row at any."""
    assert rows_per_chunk(151_936) == (512 << 20) // (4 * 151_936) == 883
    assert rows_per_chunk(1 << 40) == 1
