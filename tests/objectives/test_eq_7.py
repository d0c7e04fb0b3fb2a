"""Eq. 7 against a loop that reads like the equation: value, gradient, and expectation over draws."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from intro import intro_loss
from intro.objectives.intro import draw_candidates
from toy import plain_logp

N, D, V = 6, 5, 11  # positions, width, vocabulary


@dataclass
class Case:
    policy_hidden: Tensor
    posterior_hidden: Tensor
    lm_head: Tensor
    tokens: Tensor
    weights: Tensor
    posterior_head: Tensor | None = None

    def loss(self, **options):
        options = {"n": None, "clip": 200.0, "posterior_head": self.posterior_head} | options
        return intro_loss(self.policy_hidden, self.posterior_hidden, self.lm_head, self.tokens, self.weights, **options)


def seeded(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def case(seed: int, own_head: bool = False, dtype: torch.dtype = torch.float64) -> Case:
    g = seeded(seed)
    hidden, posterior = (torch.randn(N, D, generator=g, dtype=torch.float64) for _ in range(2))
    head, other = (torch.randn(V, D, generator=g, dtype=torch.float64) for _ in range(2))
    return Case(
        hidden.to(dtype).requires_grad_(),
        posterior.to(dtype),
        head.to(dtype).requires_grad_(),
        torch.randint(V, (N,), generator=g),
        torch.rand(N, generator=g, dtype=torch.float64),
        other.to(dtype) if own_head else None,
    )


def own_column(tokens: Tensor, own_token: str) -> Tensor:
    return tokens[:, None][:, : own_token != "excluded"]


def plain_loss(c: Case, n: int | None, clip: float, own_token: str, baseline: float, candidates: Tensor | None):
    """Minus Eq. 7 as three nested sums, and the clipped w of every candidate."""
    logp = plain_logp(c.policy_hidden, c.lm_head)
    head = c.lm_head if c.posterior_head is None else c.posterior_head
    logq = plain_logp(c.posterior_hidden, head)
    total, corrections = torch.zeros((), dtype=logp.dtype), []
    for j in range(N):
        row = []
        if n is None:
            for v in range(V):
                w = min((logq[j, v] - logp[j, v]).exp().item(), clip)
                total = total - c.weights[j] * logp[j, v].exp().item() * w * logp[j, v]
        else:
            for i in range(n):
                v = int(candidates[j, i])
                w = min((logq[j, v] - logp[j, v]).exp().item(), clip)
                row.append(w)
                own = i == 0 and own_token != "excluded"
                factor = (1.0 if own_token == "unit" else w) if own else w - baseline
                total = total - c.weights[j] / n * factor * logp[j, v]
        corrections.append(row)
    return total, torch.tensor(corrections, dtype=logp.dtype)


OPTIONS = [
    (n, clip, own, baseline)
    for n in (1, 5)
    for clip in (200.0, 1.3)
    for own in ("weighted", "unit", "excluded")
    for baseline in (0.0, 1.0)
] + [(None, clip, "weighted", 0.0) for clip in (200.0, 1.3)]


@pytest.mark.parametrize("own_head", [False, True], ids=["shared-head", "own-head"])
@pytest.mark.parametrize(("n", "clip", "own", "baseline"), OPTIONS)
def test_loss_and_gradient_equal_the_loop(n, clip, own, baseline, own_head) -> None:
    """Value, correction factors, clip flags and both gradients are those of Eq. 7 written out."""
    c = case(3 if n is None else n, own_head)
    result = c.loss(n=n, clip=clip, own_token=own, baseline=baseline, generator=seeded())
    got = torch.autograd.grad(result.loss, [c.policy_hidden, c.lm_head])
    candidates = None
    if n is not None:
        p = plain_logp(c.policy_hidden, c.lm_head).detach().exp()
        candidates = draw_candidates(p, own_column(c.tokens, own), n, seeded())
    twin, corrections = plain_loss(c, n, clip, own, baseline, candidates)
    want = torch.autograd.grad(twin, [c.policy_hidden, c.lm_head])
    torch.testing.assert_close(result.loss, twin)
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)
    if n is not None:
        torch.testing.assert_close(result.correction, corrections)
        assert torch.equal(result.clipped, corrections == clip)


def test_low_clip_acts_in_these_cases() -> None:
    """The comparison above is also one of clipped factors."""
    assert case(5).loss(n=5, clip=1.3, generator=seeded()).clipped.any()
    assert case(3).loss(n=None, clip=1.3).clipped.any()
    assert not case(3).loss(n=None, clip=1e6).clipped.any()


@pytest.mark.parametrize("clip", [200.0, 1.3])
def test_exact_gradient_by_finite_differences(clip: float) -> None:
    """The gradient is that of the loss with w held fixed: moving the policy inside w would be another method."""
    c = case(8)
    (gradient,) = torch.autograd.grad(c.loss(n=None, clip=clip).loss, c.policy_hidden)
    with torch.no_grad():
        logp = plain_logp(c.policy_hidden, c.lm_head)
        ratio = (plain_logp(c.posterior_hidden, c.lm_head) - logp).exp().clamp(max=clip)
        mass = logp.exp() * ratio

        def frozen(hidden: Tensor) -> float:
            return float(-(c.weights[:, None] * mass * plain_logp(hidden, c.lm_head)).sum())

        step, numeric = 1e-5, torch.zeros_like(gradient)
        for j in range(N):
            for k in range(D):
                shift = torch.zeros_like(gradient)
                shift[j, k] = step
                numeric[j, k] = (frozen(c.policy_hidden + shift) - frozen(c.policy_hidden - shift)) / (2 * step)
    torch.testing.assert_close(gradient, numeric, rtol=1e-6, atol=1e-8)


def test_exact_correction_is_the_mass_below_the_clip() -> None:
    """Unclipped the expectation of w is 1; clipped it is what min(p', c p) adds up to."""
    c = case(2)
    free, cut = c.loss(n=None, clip=1e9), c.loss(n=None, clip=1.3)
    torch.testing.assert_close(free.correction, torch.ones(N, 1, dtype=torch.float64))
    p = plain_logp(c.policy_hidden, c.lm_head).exp()
    q = plain_logp(c.posterior_hidden, c.lm_head).exp()
    torch.testing.assert_close(cut.correction, torch.minimum(q, 1.3 * p).sum(1, keepdim=True).detach())


@pytest.mark.parametrize("baseline", [0.0, 1.0])
@pytest.mark.parametrize("clip", [200.0, 1.3])
def test_sampled_gradient_has_the_exact_one_as_its_mean(clip: float, baseline: float) -> None:
    """Without the own token, draws estimate the sum over the vocabulary without bias, with and without w - 1."""
    c, draws, rounds = case(4), 200, 60
    # moderate ratios: with heavy tails the spread of the draws would not tell how far off their mean may be
    c.policy_hidden = (c.policy_hidden.detach() / 2).requires_grad_()
    c.posterior_hidden = c.posterior_hidden / 2
    (exact,) = torch.autograd.grad(c.loss(n=None, clip=clip).loss, c.policy_hidden)
    wide = replace(
        c,
        policy_hidden=c.policy_hidden.detach().repeat(draws, 1).requires_grad_(),
        posterior_hidden=c.posterior_hidden.repeat(draws, 1),
        tokens=c.tokens.repeat(draws),
        weights=c.weights.repeat(draws) / draws,
    )
    g, means, losses = seeded(11), [], []
    for _ in range(rounds):
        result = wide.loss(n=3, clip=clip, own_token="excluded", baseline=baseline, generator=g)
        (gradient,) = torch.autograd.grad(result.loss, wide.policy_hidden)
        means.append(gradient.view(draws, N, D).sum(0))
        losses.append(result.loss.detach())
    stacked = torch.stack(means)
    error = stacked.std(0) / math.sqrt(rounds)
    assert ((stacked.mean(0) - exact).abs() < 4.5 * error).all()
    assert (error < 0.1 * exact.abs().max()).all()  # else the line above would let anything pass
    if baseline == 0:
        exact_loss = c.loss(n=None, clip=clip).loss
        assert abs(torch.stack(losses).mean() - exact_loss) < 4.5 * torch.stack(losses).std() / math.sqrt(rounds)


def test_control_variate_narrows_the_estimate_near_the_posterior() -> None:
    """w - 1 is worth its name where policy and posterior nearly agree."""
    c = case(4)
    c.posterior_hidden = c.policy_hidden.detach() + 0.05
    spread = {}
    for baseline in (0.0, 1.0):
        g = seeded(1)
        grads = [
            torch.autograd.grad(
                c.loss(n=4, own_token="excluded", baseline=baseline, generator=g).loss, c.policy_hidden
            )[0]
            for _ in range(100)
        ]
        spread[baseline] = float(torch.stack(grads).var(0).sum())
    assert spread[1.0] < 0.2 * spread[0.0]


@pytest.mark.parametrize("n", [0, -3])
def test_too_few_candidates_raise(n: int) -> None:
    with pytest.raises(ValueError, match=rf"at least 1 .*found {n}"):
        case(0).loss(n=n)


@pytest.mark.parametrize("clip", [0.0, -1.0])
def test_clip_must_be_positive(clip: float) -> None:
    with pytest.raises(ValueError, match=f"clip: expected a positive number, found {clip}"):
        case(0).loss(clip=clip)


def test_reduced_precision_input_keeps_precise_factors() -> None:
    """Correction factors of bf16 input are fp32, those of fp64 input fp64."""
    for dtype, wanted in ((torch.bfloat16, torch.float32), (torch.float64, torch.float64)):
        loss = case(6, dtype=dtype).loss(n=5, generator=seeded())
        assert loss.correction.dtype == wanted and torch.isfinite(loss.loss)


def test_candidates_are_the_own_token_and_draws_with_replacement() -> None:
    """Own token first unless excluded; duplicates occur as often as independent draws have them."""
    p = torch.tensor([[0.7, 0.2, 0.1]]).expand(4000, -1).contiguous()
    tokens = torch.full((4000,), 2)
    drawn = draw_candidates(p, own_column(tokens, "weighted"), 3, seeded())
    assert drawn.shape == (4000, 3) and (drawn[:, 0] == 2).all()
    same = (drawn[:, 1] == drawn[:, 2]).double().mean()
    assert abs(float(same) - (0.49 + 0.04 + 0.01)) < 0.03
    shares = torch.bincount(drawn[:, 1:].flatten(), minlength=3) / 8000
    torch.testing.assert_close(shares, p[0], atol=0.02, rtol=0)
    drawn = draw_candidates(p, own_column(tokens, "excluded"), 3, seeded())
    assert drawn.shape == (4000, 3)
    assert abs(float((drawn[:, 0] == 2).double().mean()) - 0.1) < 0.02
    assert torch.equal(draw_candidates(p, tokens[:, None], 1, None), tokens[:, None])


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize(("n", "baseline"), [(1, 0.0), (5, 0.0), (5, 1.0), (None, 0.0)])
def test_chunks_in_reduced_precision_equal_the_plain_loss(n, baseline, dtype, tolerance, monkeypatch) -> None:
    """fp32 and bf16 weights, many chunks and a posterior head of its own, against autograd over all logits in fp64."""
    monkeypatch.setattr("intro.model.chunked_loss.rows_per_chunk", lambda vocabulary: 7)
    g, rows, width, vocabulary = seeded(21), 40, 8, 700
    hidden, posterior = (torch.randn(rows, width, generator=g).to(dtype) for _ in range(2))
    head, other = (torch.randn(vocabulary, width, generator=g).to(dtype) for _ in range(2))
    tokens, weights = torch.randint(vocabulary, (rows,), generator=g), torch.rand(rows, generator=g)
    leaves = hidden.requires_grad_(), head.requires_grad_()
    options = {"n": n, "clip": 1.5, "posterior_head": other, "baseline": baseline}
    seen: list[Tensor] = []
    monkeypatch.setattr(
        "intro.objectives.intro.draw_candidates", lambda *a: seen.append(draw_candidates(*a)) or seen[-1]
    )
    result = intro_loss(leaves[0], posterior, leaves[1], tokens, weights, generator=seeded(), **options)
    result.loss.backward()

    twins = [leaf.detach().double().requires_grad_() for leaf in leaves]
    logp = (twins[0] @ twins[1].t()).log_softmax(-1)
    with torch.no_grad():
        w = ((posterior.double() @ other.double().t()).log_softmax(-1) - logp).exp().clamp(max=1.5)
    if n is None:
        twin = -(weights.double() * (logp.exp().detach() * w * logp).sum(-1)).sum()
    else:
        columns = torch.cat(seen)
        factor = w.gather(1, columns)
        factor[:, 1:] -= baseline
        twin = -(weights.double() * (factor * logp.gather(1, columns)).mean(-1)).sum()
        torch.testing.assert_close(result.correction.double(), w.gather(1, columns), rtol=1e-4, atol=1e-5)
    twin.backward()
    torch.testing.assert_close(result.loss.double(), twin, rtol=1e-5, atol=1e-5)  # fp32 sums, whatever the weights are
    for leaf, wanted in zip(leaves, twins, strict=True):
        assert leaf.grad.dtype == dtype
        scale = float(wanted.grad.abs().max())
        torch.testing.assert_close(leaf.grad.double(), wanted.grad, rtol=tolerance, atol=tolerance * scale)


def test_second_backward_pass_through_one_graph() -> None:
    """The first pass overwrites the buffer; the second gives the same gradient."""
    c = case(5)
    loss = c.loss(n=4, generator=seeded()).loss
    first, second = (torch.autograd.grad(loss, c.policy_hidden, retain_graph=True)[0] for _ in range(2))
    torch.testing.assert_close(first, second)
