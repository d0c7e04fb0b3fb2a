"""One update against plain autograd over the whole model, however it is split into micro-batches."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from intro.model.scoring import Rationale, logprob_pass
from intro.objectives import build
from intro.training.backends.base import AdamW
from intro.training.backends.torch import Torch
from intro.training.minibatches import Networks, minibatches_of, outcomes_of, precompute_logprobs
from intro.training.policy_loss import PolicyLoss
from intro.training.samples import Sample
from intro.training.update import accumulate_gradient
from intro.types import Signal
from toy import disturb, gradients, random_model, random_tokens

PROMPTS, GROUP, VOCABULARY = 4, 3, 20
METHODS = {
    "sft": {},
    "raft++": {"updates_per_rollout": 1},
    "gpg": {},
    "grpo": {"updates_per_rollout": 1, "kl": 0.3},
    "latro": {"answer_weight": 0.6},
    "intro": {"n": "infinite", "clip": 1.5},
}
HUGE = 10**6
STILL = AdamW(lr=0.0, updates=1, betas=(0.9, 0.95), weight_decay=0.0, gradient_clip=1.0, warmup=0.0)


def sample(forced: bool = False) -> Sample:
    """Mixed, all-correct and all-wrong groups of ragged rationales, one of them correct and cut off."""
    g = torch.Generator().manual_seed(1)
    rationales = []
    for p in range(PROMPTS):
        prompt = random_tokens(2 + p, VOCABULARY, g)
        for _ in range(GROUP):
            length = int(torch.randint(2, 9, (1,), generator=g))
            z = random_tokens(length, VOCABULARY, g)
            start = length - 1 if forced else None
            rationales.append(Rationale(prompt, z, p, (*prompt, *random_tokens(3, VOCABULARY, g)), start))
    rewards = torch.tensor([[1.0, 0, 1], [1, 1, 1], [0, 0, 0], [0, 1, 1]], dtype=torch.float64)
    truncated = torch.zeros(PROMPTS, GROUP, dtype=torch.bool)
    truncated[3, 2] = True
    return Sample(rationales, rewards, truncated, 60, 1.0)


@pytest.fixture
def networks() -> Networks:
    policy = random_model("qwen3").double()
    base = copy.deepcopy(policy)
    disturb(base, seed=8)
    return Networks(policy, base, None)


def with_posterior(networks: Networks, which: str | None) -> Networks:
    posterior = {"live": networks.policy, "frozen": networks.base, None: None}[which]
    return Networks(networks.policy, networks.base, posterior)


def update(name: str, networks: Networks, budget: int, seed: int = 0, **options):
    """The summed gradient of a step's minibatches, their summed loss, and the minibatches."""
    objective = build(name, **(METHODS[name] | options))
    if name == "intro":
        networks = with_posterior(networks, options.get("posterior", "live"))
    drawn = sample(forced=name == "latro")
    precomputed = precompute_logprobs(drawn, objective, networks, budget)
    minibatches = minibatches_of(drawn, precomputed, objective, networks, budget)
    networks.policy.zero_grad()
    backend, loss = Torch(PolicyLoss(networks.policy, objective), STILL), 0.0
    for minibatch in minibatches:
        if minibatch.rationales:
            generator = torch.Generator().manual_seed(seed)
            loss += accumulate_gradient(minibatch, backend, networks, budget, generator).means()["loss"]
    return gradients(networks.policy), loss, minibatches


# ---------------------------------------------------------------- the plain twin


def logp_of(model, prompt, z):
    logits = model(torch.tensor([[*prompt, *z]])).logits[0, len(prompt) - 1 : -1]
    return logits.log_softmax(-1)  # [|z|, V]


def plain(name: str, networks: Networks, posterior: str = "live"):
    """The method's loss from the table of neighbouring methods, one rationale after the other."""
    drawn = sample(forced=name == "latro")
    r = drawn.rewards
    good = (r > 0) & ~drawn.truncated
    rows = drawn.rationales
    total = 0.0
    for i, z in enumerate(rows):
        p, j = divmod(i, GROUP)
        logp = logp_of(networks.policy, z.prompt, z.tokens)
        own = logp[torch.arange(len(z.tokens)), torch.tensor(z.tokens)]  # [|z|]
        mean = -own.mean()
        if name == "sft":
            total = total + mean / len(rows)
        elif name == "raft++" and good[p, j]:
            total = total + mean / good.sum()
        elif name == "gpg" and 0 < r[p].sum() < GROUP:
            total = total + (r[p, j] - r[p].mean()) * mean / (2 * GROUP)  # two groups are mixed
        elif name == "grpo":
            advantage = (r[p, j] - r[p].mean()) / (r[p].std(correction=0) + 1e-4)
            base = logp_of(networks.base, z.prompt, z.tokens)[torch.arange(len(z.tokens)), torch.tensor(z.tokens)]
            gap = base.detach() - own
            total = total + (advantage * mean + 0.3 * (gap.exp() - 1 - gap).mean()) / len(rows)
        elif name == "intro" and good[p, j]:
            network = networks.policy if posterior == "live" else networks.base
            posterior_logp = logp_of(network, z.posterior_prompt, z.tokens)
            mass = torch.minimum(posterior_logp.exp(), 1.5 * logp.exp()).detach()
            kept_of_prompt, prompts_with_any = good[p].sum(), good.any(1).sum()
            total = total - (mass * logp).sum() / len(z.tokens) / kept_of_prompt / prompts_with_any
        elif name == "latro":
            rewards = []
            for other in rows[p * GROUP : (p + 1) * GROUP]:
                pick = (torch.arange(len(other.tokens)), torch.tensor(other.tokens))
                now, then = (logp_of(m, other.prompt, other.tokens)[pick] for m in (networks.policy, networks.base))
                rewards.append(now[-1] - 0.05 * (now[:-1] - then[:-1]).sum())
            rewards = torch.stack(rewards).detach()
            advantage = rewards[j] - (rewards.sum() - rewards[j]) / (GROUP - 1)
            total = total - (advantage * own[:-1].sum() + 0.6 * own[-1]) / len(rows)
    return total


@pytest.mark.parametrize("name", METHODS)
def test_gradient_equals_plain_autograd(name: str, networks: Networks) -> None:
    """Credit, weights, passes and loss together give the method's gradient of all parameters."""
    got, _, _ = update(name, networks, HUGE)
    networks.policy.zero_grad()
    plain(name, networks).backward()
    wanted = gradients(networks.policy)
    assert len(got) == len(wanted) and any(g.any() for g in got)
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-10)


def test_frozen_posterior_uses_its_own_network_and_head(networks: Networks) -> None:
    """The base model's hidden states are multiplied by the base model's head."""
    with torch.no_grad():
        networks.base.model.embed_tokens.weight *= 1.1  # tied: its head moves away from the policy's
    got, loss, _ = update("intro", networks, HUGE, posterior="frozen")
    networks.policy.zero_grad()
    twin = plain("intro", networks, "frozen")
    twin.backward()
    assert loss == pytest.approx(float(twin.detach()))
    for a, b in zip(got, gradients(networks.policy), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-10)
    assert not gradients(networks.base)


@pytest.mark.parametrize("name", METHODS)
def test_chunks_of_rows_give_the_same_gradient(name: str, networks: Networks, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a large vocabulary: three positions at a time, with the head's gradient summed."""
    whole, loss, _ = update(name, networks, HUGE)
    monkeypatch.setattr("intro.model.chunked_loss.rows_per_chunk", lambda vocabulary: 3)
    chunked, same, _ = update(name, networks, HUGE)
    assert same == pytest.approx(loss)
    for a, b in zip(chunked, whole, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("normalisation", ["prompt", "rationale", "token", "sum"])
@pytest.mark.parametrize("name", METHODS)
def test_any_split_gives_the_same_gradient(name: str, normalisation: str, networks: Networks) -> None:
    """One row per micro-batch, a few, or all at once: the weights come from global counts."""
    whole, loss, _ = update(name, networks, HUGE, normalisation=normalisation)
    for budget in (1, 40):
        split, same, _ = update(name, networks, budget, normalisation=normalisation)
        assert same == pytest.approx(loss)
        for a, b in zip(split, whole, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-11)


def test_minibatches_split_prompts_and_use_each_sample_once(networks: Networks) -> None:
    """Two updates per rollout: the first half of the prompts, then the second, each with its own counts."""
    _, _, minibatches = update("raft++", networks, HUGE, updates_per_rollout=2)
    rows = sample().rationales
    # correct and complete: both of prompt 0, all of prompt 1; one of prompt 3
    assert [p.rationales for p in minibatches] == [[rows[0], rows[2], rows[3], rows[4], rows[5]], [rows[10]]]
    for minibatch in minibatches:
        lengths = torch.tensor([len(r.tokens) for r in minibatch.rationales])
        assert float((lengths * minibatch.weights).sum()) == pytest.approx(1)


def test_forced_answers_are_kept_apart(networks: Networks) -> None:
    """log pi(z|x) sums the rationale, log pi(y|x,z) the gold answer after it."""
    drawn = sample(forced=True)
    precomputed = precompute_logprobs(drawn, build("latro"), networks, HUGE)
    known = outcomes_of(drawn, precomputed)
    for i, (old, reference) in enumerate(zip(precomputed[Signal.LOGPROBS], precomputed[Signal.REFERENCE], strict=True)):
        at = divmod(i, GROUP)
        torch.testing.assert_close(known.logprobs[at], old[:-1].sum())
        torch.testing.assert_close(known.answer_logprobs[at], old[-1])
        torch.testing.assert_close(known.reference_logprobs[at], reference[:-1].sum())
    assert outcomes_of(sample(), precompute_logprobs(sample(), build("grpo"), networks, HUGE)).answer_logprobs is None


@pytest.mark.parametrize(("name", "forwards"), [("sft", 0), ("intro", 0), ("raft++", 0), ("grpo", 1), ("latro", 2)])
def test_scoring_makes_only_the_passes_that_are_needed(name: str, forwards: int, networks: Networks) -> None:
    """Passes before credit only; the policy's pass and InTRO's posterior pass belong to the loss."""
    precomputed = precompute_logprobs(sample(), build(name), networks, HUGE)
    assert forwards == len(precomputed)


@pytest.mark.parametrize("name", ["grpo", "raft++"])
def test_old_log_probabilities_are_those_of_the_policy_that_sampled(name: str, networks: Networks) -> None:
    """The first minibatch starts from that policy, so its gradient is the same with old log-probs and without."""
    objective, drawn = build(name, updates_per_rollout=2), sample()
    precomputed = precompute_logprobs(drawn, objective, networks, HUGE)
    first, second = minibatches_of(drawn, precomputed, objective, networks, HUGE)
    assert first.old is None and len(second.old) == len(second.rationales) > 0
    for minibatch in (first, second):
        known = replace(minibatch, old=logprob_pass(networks.policy, minibatch.rationales, HUGE))
        if minibatch.old is not None:
            torch.testing.assert_close(torch.cat(minibatch.old), torch.cat(known.old))
        found = []
        for made in (minibatch, known):
            networks.policy.zero_grad()
            backend = Torch(PolicyLoss(networks.policy, objective), STILL)
            loss = accumulate_gradient(made, backend, networks, HUGE, torch.Generator()).means()["loss"]
            found.append((loss, gradients(networks.policy)))
        assert found[0][0] == pytest.approx(found[1][0])
        for a, b in zip(found[0][1], found[1][1], strict=True):
            torch.testing.assert_close(a, b)
