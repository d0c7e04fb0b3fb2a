"""The same identities for a real transformer, by enumeration, through the code that trains.

Vocabulary of five with an end token and at most three tokens: 85 rationales, so every expectation is a finite sum.
Gradients are autograd's, by all weights of a random Qwen2 in float64. Only these tests join theory and objectives.
"""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor

from enumerated import VOCABULARY, World, is_correct, network
from intro import intro_loss
from intro.objectives import Objective, build
from intro.objectives import intro as intro_objective
from intro.objectives.base import rationale_weights

CLOSE = {"rtol": 0, "atol": 1e-6}


@pytest.fixture(scope="module")
def world() -> World:
    return World(network(0))


@pytest.fixture(scope="module")
def target(world) -> Tensor:
    """grad log pi(y|x)."""
    return world.grad(world.marginal.log())


def exact(**options) -> Objective:
    return build("intro", n="infinite", **{"clip": 1e12, **options})


def expected_over_draws(world: World, monkeypatch, n: int, log_posterior: Tensor | None, **options) -> Tensor:
    """E of the update over the sampled candidates: each draw is replaced by all tokens, weighted by the policy."""
    total = torch.zeros(())
    drawn = n if options.get("own_token") == "excluded" else n - 1
    for draw in product(range(VOCABULARY), repeat=drawn):

        def candidates(p, own, n, generator, draw=draw):
            return torch.cat([own, torch.tensor(draw).expand(len(own), -1).long()], dim=1)

        monkeypatch.setattr(intro_objective, "draw_candidates", candidates)
        chance = world.logp.detach().exp()[:, list(draw)].prod(1)  # [N]; positions are independent
        weights = world.posterior[world.owner] * chance
        loss = build("intro", n=n, **{"clip": 1e12, **options}).loss(
            world.scored(log_posterior), weights, torch.Generator()
        )
        total = total + loss.loss
    return -world.grad(total)


# ---------------------------------------------------------------- whole rationales


def test_probabilities_sum_to_one(world):
    assert len(world.rationales) == 85 and 0.01 < world.marginal.item() < 0.9
    torch.testing.assert_close(world.log_prob.exp().sum(), torch.ones((), dtype=torch.float64))
    assert len({len(z) for z in world.rationales if is_correct(z)}) > 1


def test_proposition_2_1(world, target):
    torch.testing.assert_close(world.grad((world.posterior * world.log_prob).sum()), target, **CLOSE)


def test_alignment_is_the_log_likelihood_in_value_and_gradient(world, target):
    kept = world.good > 0
    log_posterior = (world.log_prob - world.marginal.log())[kept]
    attached = (log_posterior.exp() * (log_posterior - world.log_prob[kept])).sum()
    detached = (log_posterior.exp().detach() * (log_posterior.detach() - world.log_prob[kept])).sum()
    torch.testing.assert_close(attached, -world.marginal.log(), **CLOSE)
    torch.testing.assert_close(world.grad(attached), -target, **CLOSE)
    torch.testing.assert_close(world.grad(detached), -target, **CLOSE)
    torch.testing.assert_close(world.grad((log_posterior.exp().detach() * log_posterior).sum()), 0 * target, **CLOSE)


@pytest.mark.parametrize("trained", [False, True])
def test_likelihood_that_is_not_an_indicator(world, trained):
    torch.manual_seed(1)
    likelihood = torch.rand(len(world.rationales), dtype=torch.float64)
    if trained:  # p(y|z) shares the policy's weights
        likelihood = likelihood * torch.sigmoid(world.log_prob)
    joint = likelihood * world.log_prob.exp()
    posterior = (joint / joint.sum()).detach()
    gap = world.grad(joint.sum().log()) - world.grad((posterior * world.log_prob).sum())
    term = world.grad((posterior * likelihood.log()).sum()) if trained else torch.zeros_like(gap)
    torch.testing.assert_close(gap, term, **CLOSE)
    assert (gap.abs().max() > 1e-2) == trained
    value = (posterior * (posterior / world.log_prob.exp()).log()).sum() + joint.sum().log()
    torch.testing.assert_close(value, (posterior * likelihood.log()).sum(), **CLOSE)
    assert abs(value.item()) > 1e-2


# ---------------------------------------------------------------- Eq. 7


def test_infinite_candidates_with_the_true_posterior(world, target):
    torch.testing.assert_close(world.update(exact(), world.true_token_posterior), target, **CLOSE)


def test_true_weights_are_ratios_of_success_probabilities(world):
    w = (world.true_token_posterior - world.logp.detach()).gather(1, world.tokens[:, None]).squeeze(1)
    total = torch.zeros_like(world.log_prob).index_add(0, world.owner, w)[world.good > 0]
    torch.testing.assert_close(total.detach(), -world.marginal.log().detach().expand(len(total)), **CLOSE)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_consistent_intro(world, target, monkeypatch, n):
    update = expected_over_draws(world, monkeypatch, n, world.true_token_posterior, own_token="unit")
    torch.testing.assert_close(update, target, **CLOSE)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_decomposition_with_the_estimated_posterior(world, monkeypatch, n):
    weights, p, q = world.posterior[world.owner], world.logp, world.estimated_posterior
    w = (q - p.detach()).exp().gather(1, world.tokens[:, None]).squeeze(1)
    imitation = world.grad((weights * w * world.token_logp).sum())
    forward_kl = world.grad((weights * (q.exp() * (q - p)).sum(-1)).sum())
    update = expected_over_draws(world, monkeypatch, n, None)
    torch.testing.assert_close(update, imitation / n - (n - 1) / n * forward_kl, **CLOSE)
    torch.testing.assert_close(world.update(exact()), -forward_kl, **CLOSE)


@pytest.mark.parametrize("own_token", ["weighted", "unit", "excluded"])
def test_control_variate_is_unbiased(world, monkeypatch, own_token):
    plain, centred = (
        expected_over_draws(world, monkeypatch, 2, None, own_token=own_token, control_variate=flag)
        for flag in (False, True)
    )
    torch.testing.assert_close(centred, plain, **CLOSE)


@pytest.mark.parametrize("clip", [0.5, 1.5, 3.0])
def test_clip_caps_the_posterior(world, monkeypatch, clip):
    p, q = world.logp, world.estimated_posterior.exp()
    weights = world.posterior[world.owner]
    above = (q - clip * p.detach().exp()).clamp(min=0)
    assert above.max() > 0
    unclipped = world.update(exact())
    bias = -world.grad((weights * (above * p).sum(-1)).sum())
    torch.testing.assert_close(world.update(exact(clip=clip)), unclipped + bias, **CLOSE)
    sampled = expected_over_draws(world, monkeypatch, 1, None, own_token="excluded", clip=clip)
    torch.testing.assert_close(sampled, unclipped + bias, **CLOSE)


# ---------------------------------------------------------------- departures


def test_departures_have_the_predicted_size(world, target, monkeypatch):
    weights, true = world.posterior[world.owner], world.true_token_posterior
    p = world.logp
    gaps = {
        "estimated posterior": (
            world.update(exact()) - target,
            world.grad((weights * ((world.estimated_posterior.exp() - true.exp()) * p).sum(-1)).sum()),
        ),
        "own token": (
            expected_over_draws(world, monkeypatch, 2, true) - target,
            world.grad((weights / 2 * (own_weight(world) - 1) * world.token_logp).sum()),
        ),
        "mean over tokens": (
            world.grad((weights / world.lengths[world.owner] * world.token_logp).sum()) - target,
            world.grad((world.posterior * (1 / world.lengths - 1) * world.log_prob).sum()),
        ),
        "clip": (
            world.update(exact(clip=1.5), true) - target,
            -world.grad((weights * ((true.exp() - 1.5 * p.detach().exp()).clamp(min=0) * p).sum(-1)).sum()),
        ),
    }
    for name, (gap, predicted) in gaps.items():
        assert gap.abs().max() > 1e-2, name
        torch.testing.assert_close(gap, predicted, **CLOSE)


def test_mean_over_tokens_splits_own_token_and_candidates(world):
    weights = world.posterior / world.lengths
    own = world.grad((weights[world.owner] * world.token_logp).sum())
    assert (own - world.update(exact(), world.true_token_posterior, weights)).abs().max() > 1e-2


def own_weight(world: World) -> Tensor:
    return (world.true_token_posterior - world.logp.detach()).exp().gather(1, world.tokens[:, None]).squeeze(1)


# ---------------------------------------------------------------- from rationales to a step


def mean_over_groups(world: World, size: int, normalisation: str) -> Tensor:
    """E over groups of the token weights that the trainer would give, less their 1/|z|: one per rationale [R]."""
    prob = world.log_prob.exp().detach()
    kept = [i for i, good in enumerate(world.good.tolist()) if good]
    wrong = 1 - world.marginal.item()
    share = torch.zeros(len(world.rationales), dtype=torch.float64)
    for group in product([*kept, None], repeat=size):  # None: any wrong rationale
        members = [i for i in group if i is not None]
        if members:
            chance = prob[members].prod() * wrong ** group.count(None)
            lengths = world.lengths[members]
            weights = rationale_weights(lengths, torch.zeros(len(members), dtype=torch.long), normalisation)
            share.index_add_(0, torch.tensor(members), chance * weights * (1 if normalisation == "sum" else lengths))
    return share


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("normalisation", ["prompt", "rationale", "sum"])
def test_a_group_gives_the_truncated_log_likelihood(world, target, size, normalisation):
    update = world.grad((mean_over_groups(world, size, normalisation) * world.log_prob).sum())
    series = -sum((1 - world.marginal) ** k / k for k in range(1, size + 1))
    torch.testing.assert_close(update, world.grad(series), **CLOSE)
    torch.testing.assert_close(update, (1 - (1 - world.marginal.detach()) ** size) * target, **CLOSE)


def test_two_prompts_one_network():
    model = network(0)
    easy, hard = World(model), World(model, question=(2, 2))
    scores = [w.grad((w.posterior * w.log_prob).sum()) for w in (easy, hard)]
    share = [w.marginal.item() for w in (easy, hard)]
    likelihood = (easy.grad(easy.marginal.log()) + hard.grad(hard.marginal.log())) / 2
    reward = easy.grad(easy.marginal) + hard.grad(hard.marginal)
    torch.testing.assert_close((scores[0] + scores[1]) / 2, likelihood, **CLOSE)
    weighted = (share[0] * scores[0] + share[1] * scores[1]) / sum(share)
    torch.testing.assert_close(weighted, reward / sum(share), **CLOSE)
    assert (weighted - likelihood).abs().max() > 1e-2


def test_the_loss_itself_has_the_value_of_eq_7(world):
    """Not only the gradient: -(1/n) sum_i w_i log pi_i, with the own token alone."""
    weights = world.posterior[world.owner]
    result = intro_loss(world.hidden, world.prompted_hidden, world.head, world.tokens, weights, n=1, clip=1e12)
    w = (world.estimated_posterior - world.logp).exp().gather(1, world.tokens[:, None]).squeeze(1)
    torch.testing.assert_close(result.loss, -(weights * w.detach() * world.token_logp).sum(), **CLOSE)
