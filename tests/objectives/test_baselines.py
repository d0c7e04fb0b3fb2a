"""SFT, RAFT++, GPG, GRPO and LaTRO: losses and advantages worked out by hand, and what Sect. 7 says of their limits."""

from __future__ import annotations

from dataclasses import replace
from math import exp
from math import log as ln

import pytest
import torch

from hand import GENERATOR, log, outcomes, random_batch, scored
from intro.model.logprobs import token_logprobs
from intro.objectives import OBJECTIVES, build, rationale_weights
from intro.types import LossBatch, Signal


def value(name: str, batch: LossBatch, weights: list[float], **options):
    return build(name, **options).loss(batch, torch.tensor(weights, dtype=torch.float64), GENERATOR)


# ---------------------------------------------------------------- SFT


def test_sft_by_hand() -> None:
    """Eq. 1: the weighted sum of -log p of the gold tokens, 0.5 ln 4 + 0.25 ln 2."""
    batch = scored(log([[0.25, 0.75], [0.5, 0.5]]), [0, 1], [0, 0], [1.0])
    assert value("sft", batch, [0.5, 0.25]).loss.item() == pytest.approx(0.5 * ln(4) + 0.25 * ln(2))


def test_sft_learns_from_every_gold_rationale() -> None:
    credit = build("sft").credit(outcomes([[1.0], [1.0]]))
    assert credit.keep.all() and credit.advantage.tolist() == [[1], [1]]
    assert build("sft").needs == {Signal.GOLD_RATIONALE}


# ---------------------------------------------------------------- RAFT++


def test_raft_keeps_correct_and_complete() -> None:
    """A = max(r, 0), and a rationale that was cut off has no end to learn."""
    credit = build("raft++").credit(outcomes([[1.0, 0.0], [1.0, -1.0]], [[False, False], [True, False]]))
    assert credit.keep.tolist() == [[True, False], [False, False]]
    assert credit.advantage.tolist() == [[1, 0], [1, 0]]


def test_raft_by_hand() -> None:
    """rho = 0.5/0.25 = 2 is held at 1.2; rho = 0.5/1 stays 0.5 because the smaller of the two counts."""
    batch = scored(log([[0.5, 0.5], [0.5, 0.5]]), [0, 1], [0, 0], [1.0], old_logprobs=log([0.25, 1.0]))
    result = value("raft++", batch, [1.0, 10.0])
    assert result.loss.item() == pytest.approx(-(1.2 + 10 * 0.5))
    assert result.metrics["ratio_clipped_share"].tolist() == [1, 0]


def test_held_ratio_has_no_gradient() -> None:
    """Where the clip acts the token pushes no further."""
    logits = log([[0.5, 0.5], [0.5, 0.5]]).requires_grad_()
    batch = scored(logits, [0, 1], [0, 0], [1.0], old_logprobs=log([0.25, 1.0]))
    (gradient,) = torch.autograd.grad(value("raft++", batch, [1.0, 10.0]).loss, logits)
    assert not gradient[0].any() and gradient[1].any()


@pytest.mark.parametrize("seed", range(3))
def test_raft_at_one_update_is_rejection_sampling(seed: int) -> None:
    """With rho = 1 its gradient is that of the mean of -log pi over the kept tokens."""
    batch = random_batch(seed)
    logp = token_logprobs(batch.policy_hidden, batch.lm_head, batch.tokens)
    batch = replace(batch, advantage=torch.ones(3, dtype=torch.float64), old_logprobs=logp.detach())
    weights = torch.rand(len(batch.tokens), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    inputs = [batch.policy_hidden, batch.lm_head]
    got = torch.autograd.grad(build("raft++").loss(batch, weights, GENERATOR).loss, inputs)
    logp = token_logprobs(batch.policy_hidden, batch.lm_head, batch.tokens)
    for a, b in zip(got, torch.autograd.grad(-(weights * logp).sum(), inputs), strict=True):
        torch.testing.assert_close(a, b)


# ---------------------------------------------------------------- GPG


def test_gpg_by_hand() -> None:
    """A = r - mean(r); groups of equal rewards are left out."""
    credit = build("gpg").credit(outcomes([[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0], [0.0] * 4]))
    assert credit.keep.tolist() == [[True] * 4, [False] * 4, [False] * 4]
    assert credit.advantage[0].tolist() == [0.75, -0.25, -0.25, -0.25]
    batch = scored(log([[0.25, 0.75], [0.5, 0.5]]), [0, 1], [0, 1], [0.75, -0.25])
    assert value("gpg", batch, [0.5, 0.5]).loss.item() == pytest.approx(0.5 * (0.75 * ln(4) - 0.25 * ln(2)))


@pytest.mark.parametrize("seed", range(4))
def test_leaving_out_equal_groups_is_the_papers_division(seed: int) -> None:
    """Mean over all groups, divided by the share of mixed ones, equals our mean over the mixed ones."""
    g = torch.Generator().manual_seed(seed)
    prompts, group = 6, 3
    rewards = (torch.rand(prompts, group, generator=g) < 0.4).double()
    rewards[0], rewards[1] = 1.0, torch.tensor([1.0, 0.0, 0.0])  # at least one of either kind
    lengths = torch.randint(1, 9, (prompts, group), generator=g)
    losses = torch.randn(prompts, group, generator=g, dtype=torch.float64)  # sum_t -log pi per rationale
    credit = build("gpg").credit(outcomes(rewards.tolist()))
    mixed = sum(len(set(row)) > 1 for row in rewards.tolist()) / prompts
    paper = (credit.advantage * losses / lengths).mean() / mixed
    owners = torch.arange(prompts)[:, None].expand(-1, group)[credit.keep]
    weights = rationale_weights(lengths[credit.keep], owners, "rationale")
    torch.testing.assert_close((weights * (credit.advantage * losses)[credit.keep]).sum(), paper)


# ---------------------------------------------------------------- GRPO


def test_grpo_advantage_by_hand() -> None:
    """(r - 1/4) / (sqrt(3)/4 + eps); an equal group has advantage 0 and still counts."""
    credit = build("grpo", epsilon=0.01).credit(outcomes([[1.0, 0.0, 0.0, 0.0], [1.0] * 4]))
    spread = 3**0.5 / 4 + 0.01
    torch.testing.assert_close(credit.advantage[0], torch.tensor([0.75, -0.25, -0.25, -0.25]).double() / spread)
    assert not credit.advantage[1].any() and credit.keep.all()


def test_grpo_loss_by_hand() -> None:
    """Four tokens: ratio up and down, advantage up and down, with the k3 penalty on top."""
    policy = log([[0.5, 0.5]] * 4)
    batch = scored(
        policy, [0, 0, 0, 0], [0, 1, 0, 1], [1.0, -2.0],
        old_logprobs=log([0.25, 0.25, 1.0, 1.0]),
        reference_logprobs=log([0.5, 0.25, 1.0, 0.5]),
    )  # fmt: skip
    result = value("grpo", batch, [1.0, 10.0, 100.0, 1000.0], kl=0.1)
    # rho = 2, 2, 1/2, 1/2: held at 1.2; free (the minimum is the worse); free; held at 0.8
    clipped = [-1.2, 4.0, -0.5, 1.6]
    k3 = [0.0, exp(ln(0.5)) - 1 - ln(0.5), exp(ln(2)) - 1 - ln(2), 0.0]
    terms = [w * (c + 0.1 * k) for w, c, k in zip([1, 10, 100, 1000], clipped, k3, strict=True)]
    assert result.loss.item() == pytest.approx(sum(terms))
    assert result.metrics["ratio_clipped_share"].tolist() == [1, 0, 0, 1]
    torch.testing.assert_close(result.metrics["k3"], torch.tensor(k3, dtype=torch.float64))


@pytest.mark.parametrize("seed", range(3))
def test_grpos_clip_never_acts_at_the_sampling_policy(seed: int) -> None:
    """At rho = 1 the loss is -A log pi in its gradient, whatever e is; away from it the clip acts."""
    away = random_batch(seed)
    logp = token_logprobs(away.policy_hidden, away.lm_head, away.tokens)
    here = replace(away, old_logprobs=logp.detach(), reference_logprobs=logp.detach())
    weights = torch.ones(len(away.tokens), dtype=torch.float64)
    gradients = []
    for ratio_clip in (0.01, 0.2):
        result = build("grpo", ratio_clip=ratio_clip).loss(here, weights, GENERATOR)
        assert not result.metrics["ratio_clipped_share"].any()
        gradients.append(torch.autograd.grad(result.loss, here.policy_hidden)[0])
    logp = token_logprobs(here.policy_hidden, here.lm_head, here.tokens)
    plain = torch.autograd.grad(-(here.advantage[here.rationale] * logp).sum(), here.policy_hidden)[0]
    for gradient in gradients:
        torch.testing.assert_close(gradient, plain)
    assert build("grpo", ratio_clip=0.01).loss(away, weights, GENERATOR).metrics["ratio_clipped_share"].any()


# ---------------------------------------------------------------- LaTRO


def test_latro_leave_one_out_by_hand() -> None:
    """R = (-1, -2, -6) - 0.5 * drift (0, 2, 2) = (-1, -3, -7); each minus the mean of the other two."""
    known = outcomes(
        [[0.0, 0.0, 0.0]],
        logprobs=torch.tensor([[-5.0, -4.0, -3.0]]).double(),
        reference_logprobs=torch.tensor([[-5.0, -6.0, -5.0]]).double(),
        answer_logprobs=torch.tensor([[-1.0, -2.0, -6.0]]).double(),
    )
    credit = build("latro", beta=0.5).credit(known)
    assert credit.advantage.tolist() == [[-1 + 5, -3 + 4, -7 + 2]]
    assert credit.keep.all()  # no grade is needed


def test_latro_with_one_sample_has_no_baseline() -> None:
    one = torch.tensor([[-2.0]]).double()
    credit = build("latro").credit(outcomes([[0.0]], logprobs=one, reference_logprobs=one, answer_logprobs=one))
    assert credit.advantage.tolist() == [[-2.0]]


def test_latro_loss_by_hand() -> None:
    """Rationale tokens weigh their advantage, the gold answer's tokens lambda."""
    batch = scored(log([[0.25, 0.75], [0.5, 0.5]]), [0, 1], [0, 0], [-3.0], answer_mask=torch.tensor([False, True]))
    result = value("latro", batch, [1.0, 1.0], answer_weight=0.7)
    assert result.loss.item() == pytest.approx(-3.0 * ln(4) + 0.7 * ln(2))


# ---------------------------------------------------------------- all of them


@pytest.mark.parametrize("name", ["sft", "raft++", "gpg", "grpo", "latro"])
@pytest.mark.parametrize("seed", range(2))
def test_gradients_by_finite_differences(name: str, seed: int) -> None:
    """In fp64, with respect to hidden states and head; ratio clips act on some tokens."""
    batch, objective = random_batch(seed), build(name)
    weights = torch.rand(len(batch.tokens), generator=torch.Generator().manual_seed(9), dtype=torch.float64)

    def loss(hidden, head):
        return objective.loss(replace(batch, policy_hidden=hidden, lm_head=head), weights, GENERATOR).loss

    assert torch.autograd.gradcheck(loss, (batch.policy_hidden, batch.lm_head))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_losses_are_linear_in_the_weights_and_zero_without_them(name: str) -> None:
    """Nothing rescales a loss but its weights: so shards add up to the whole."""
    batch = random_batch(1)
    weights = torch.rand(len(batch.tokens), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    first = torch.arange(len(weights)) < 3
    parts = [build(name).loss(batch, w, torch.Generator().manual_seed(0)).loss for w in
             (weights, weights * first, weights * ~first, 0 * weights)]  # fmt: skip
    torch.testing.assert_close(parts[0], parts[1] + parts[2])
    assert parts[3] == 0


def test_unknown_objective_raises() -> None:
    with pytest.raises(KeyError):
        build("ppo")
