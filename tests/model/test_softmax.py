"""The in-place functions for rows of logits against their definitions, and exact draws at every width."""

from __future__ import annotations

import math

import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import Tensor

from intro.model import softmax

BLOCK = softmax.NARROW  # the block size of `draw` for widths up to its square
WIDTHS = (1, 7, BLOCK, BLOCK + 1, 3 * BLOCK + 5, BLOCK**2 + 3)


def fresh(seed: int, rows: int, width: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, torch.Generator]:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(rows, width, generator=g, dtype=torch.float64).mul(3).to(dtype), g


def plain_draw(p: Tensor, u: Tensor) -> Tensor:
    """The definition: the first column whose cumulative sum exceeds u times the total."""
    ends = p.double().cumsum(-1)
    picks = [[int((row > x * row[-1]).nonzero()[0]) for x in us] for row, us in zip(ends, u.tolist(), strict=True)]
    return torch.tensor(picks)


@given(st.sampled_from(WIDTHS), st.integers(0, 10**6))
def test_softmax_in_place(width: int, seed: int) -> None:
    """The buffer becomes p, and log p at the columns is that of the logits."""
    logits, g = fresh(seed, 3, width)
    columns = torch.randint(width, (3, 2), generator=g)
    wanted = logits.log_softmax(-1)
    got = softmax.softmax_(logits, columns)
    torch.testing.assert_close(logits, wanted.exp())
    torch.testing.assert_close(got, wanted.gather(1, columns))


def test_log_probability_of_what_underflows() -> None:
    """exp(-200) is zero in fp32, but its log-probability is exact."""
    logits = torch.tensor([[0.0, -200.0]])
    assert float(softmax.softmax_(logits, torch.tensor([[1]]))) == -200.0
    assert logits[0, 1] == 0.0


@given(st.sampled_from(WIDTHS), st.integers(0, 10**6))
def test_draws_are_those_of_cumulative_sums(width: int, seed: int) -> None:
    """For any number of blocks, each u selects the column that one cumulative sum selects."""
    logits, g = fresh(seed, 4, width)
    p = logits.softmax(-1)
    p[:, torch.randint(width, (width // 3,), generator=g)] = 0.0
    p[:, -1] += 0.01
    u = torch.rand(4, 9, generator=g, dtype=torch.float64)
    assert torch.equal(softmax.draw(p, u), plain_draw(p, u))


def test_draws_never_return_a_column_of_probability_zero() -> None:
    """Also at both ends of [0, 1), and where the sums of blocks are rounded."""
    width = 2 * BLOCK + 3
    p = torch.zeros(3, width)
    p[0, 5] = p[1, BLOCK] = p[2, -1] = 1e-30
    p[0, -1] = p[1, BLOCK - 1] = p[2, 0] = 0.3
    u = torch.tensor([0.0, 0.5, 1 - 1e-16, 1 - 2e-16]).double().expand(3, -1).contiguous()
    assert (p.gather(1, softmax.draw(p, u)) > 0).all()
    assert (softmax.draw(p, u)[:, 0] == torch.tensor([5, BLOCK - 1, 0])).all()


def test_draws_have_the_distribution() -> None:
    """A wide row, so that both levels are used."""
    logits, g = fresh(3, 1, BLOCK + 40)
    p = logits.softmax(-1)
    drawn = softmax.draw(p, torch.rand(1, 60_000, generator=g, dtype=torch.float64))
    counts = torch.bincount(drawn[0], minlength=p.shape[1]).double()
    common = p[0] * 60_000 > 5
    seen = torch.cat([counts[common], counts[~common].sum()[None]])
    expected = torch.cat([p[0][common], p[0][~common].sum()[None]]) * 60_000
    assert chisquare(seen.numpy(), (expected * seen.sum() / expected.sum()).numpy()).pvalue > 1e-3


@given(st.integers(1, 12), st.integers(0, 10**6))
def test_gradient_is_that_of_the_log_probabilities(k: int, seed: int) -> None:
    """d(values . log p[columns]) / d logits by autograd; columns repeat."""
    logits, g = fresh(seed, 3, 8)
    columns = torch.randint(8, (3, k), generator=g)
    values = torch.randn(3, k, generator=g, dtype=torch.float64)
    leaf = logits.clone().requires_grad_()
    (wanted,) = torch.autograd.grad((values * leaf.log_softmax(-1).gather(1, columns)).sum(), leaf)
    got = softmax.gradient_(logits.softmax(-1), -values.sum(-1), columns, values, torch.float64)
    torch.testing.assert_close(got, wanted)


@given(st.sampled_from([0.5, 1.0, 1.3, 200.0]), st.integers(0, 10**6))
def test_exact_sum_and_its_gradient(clip: float, seed: int) -> None:
    """-sum_v min(p'_v, c p_v) log p_v with the minimum held fixed, by autograd."""
    logits, g = fresh(seed, 4, 9)
    posterior_logits = torch.randn(4, 9, generator=g, dtype=torch.float64)
    leaf = logits.clone().requires_grad_()
    logp = leaf.log_softmax(-1)
    m = torch.minimum(posterior_logits.softmax(-1), clip * logp.detach().exp())
    loss = -(m * logp).sum(-1)
    (wanted,) = torch.autograd.grad(loss.sum(), leaf)
    over = (posterior_logits.softmax(-1) > clip * logp.exp()).any(-1)
    got, mass, clipped = softmax.clipped_cross_entropy_(logits, posterior_logits, clip)
    torch.testing.assert_close(got, loss.detach())
    torch.testing.assert_close(mass, m.sum(-1))
    assert torch.equal(clipped, over)
    torch.testing.assert_close(logits, wanted)


def test_exact_sum_of_extremes() -> None:
    """Columns of probability zero in p, p' or both add nothing, and a nan in either makes the loss nan."""
    logits, g = fresh(3, 4, 9)
    posterior_logits = torch.randn(4, 9, generator=g, dtype=torch.float64)
    logits[0, :5], posterior_logits[1, :5], posterior_logits[0, 0] = -math.inf, -math.inf, -math.inf
    logits[2, 4], posterior_logits[3, 4] = math.nan, math.nan
    p, q = logits[:2].softmax(-1), posterior_logits[:2].softmax(-1)
    m = torch.minimum(q, 200.0 * p)
    loss, mass, clipped = softmax.clipped_cross_entropy_(logits, posterior_logits, 200.0)
    torch.testing.assert_close(loss[:2], -torch.special.xlogy(m, p).sum(-1))
    torch.testing.assert_close(mass[:2], m.sum(-1))
    torch.testing.assert_close(logits[:2], mass[:2, None] * p - m)
    assert clipped[0] and loss[2:].isnan().all()
