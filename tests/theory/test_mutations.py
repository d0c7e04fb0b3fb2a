"""Each identity is refuted after one definition is changed, so its proof depends on that definition."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import sympy as sp

from intro.theory import catalogue
from intro.theory.aggregation import group_mean
from intro.theory.decide import decide
from intro.theory.registry import check
from intro.theory.setting import END_TOKEN, ONE_SOFTMAX, Logits, Setting, Softmax
from intro.types import IntroError

STATEMENTS = {s.name: s for s in catalogue.statements()}
IDENTITIES = {name: s for name, s in STATEMENTS.items() if s.kind == "identity"}


class UniformPosterior(Setting):
    def posterior(self, z):
        return self.likelihood(z) / len(self.kept)


class UnnormalisedPosterior(Setting):
    def posterior(self, z):
        return self.likelihood(z) * self.prob(z)


class EstimateForTokenPosterior(Setting):
    def token_posterior(self, v, s):
        return self.estimate(v, s)


class FlippedScore(Setting):
    def score(self, z):
        return -super().score(z)


class FlippedTokenScore(Setting):
    def token_score(self, v, s):
        return -super().token_score(v, s)


class UncentredScore(Setting):
    def token_score(self, v, s):
        return (v + 1) * super().token_score(v, s)


class ReversedKl(Setting):
    def kl(self, q, p):
        return super().kl([b for a, b in zip(q, p, strict=True) if a != 0], [a for a in q if a != 0])


class WeightWithoutPolicy(Setting):
    def correction(self, v, s, posterior):
        return posterior(v, s)


class CentredWeight(Setting):
    def correction(self, v, s, posterior):
        return super().correction(v, s, posterior) - 1


class OwnTokenCounted(Setting):
    def own_weight(self, v, s, posterior):
        return self.correction(v, s, posterior)


class NothingDetached(Setting):
    def detach(self, expression):
        return expression


MUTANTS = {
    "proposition_2_1": [UniformPosterior, UnnormalisedPosterior, FlippedScore],
    "alignment_value": [UniformPosterior, UnnormalisedPosterior, ReversedKl],
    "constant_log_ratio": [UniformPosterior, UnnormalisedPosterior],
    "centred_posterior_score": [UnnormalisedPosterior],
    "detached_posterior": [UniformPosterior, UnnormalisedPosterior, ReversedKl],
    "constant_likelihood_gradient": [UniformPosterior, UnnormalisedPosterior, FlippedScore],
    "rejection_samples_posterior": [UniformPosterior, UnnormalisedPosterior],
    "filter_only_unbiased": [FlippedScore],
    "importance_sampling": [WeightWithoutPolicy],
    "token_forward_kl": [WeightWithoutPolicy, FlippedTokenScore, ReversedKl],
    "alignment_chain_rule": [UnnormalisedPosterior, EstimateForTokenPosterior],
    "infinite_candidates": [EstimateForTokenPosterior, WeightWithoutPolicy, FlippedTokenScore],
    "weights_are_values": [EstimateForTokenPosterior, WeightWithoutPolicy],
    "two_updates": [WeightWithoutPolicy, FlippedTokenScore, ReversedKl],
    "consistent_own_weight": [OwnTokenCounted, EstimateForTokenPosterior, WeightWithoutPolicy],
    "nonnegative_weights": [CentredWeight, NothingDetached],
    "centred_score": [UncentredScore],
    "control_variate": [UncentredScore],
    "clip_caps_posterior": [WeightWithoutPolicy, CentredWeight],
    "group_objective": [FlippedScore],
    "mean_per_prompt": [FlippedScore],
    "mean_over_kept": [FlippedScore],
}
CASES = [(name, mutant) for name, mutants in MUTANTS.items() for mutant in mutants]


def rebuilt(setting: Setting, mutant: type[Setting]) -> Setting:
    return mutant(**{f.name: getattr(setting, f.name) for f in fields(setting)})


def test_every_identity_has_a_mutant():
    assert set(MUTANTS) == set(IDENTITIES)


@pytest.mark.parametrize(("name", "mutant"), CASES, ids=lambda x: x if isinstance(x, str) else x.__name__)
def test_a_changed_definition_is_refuted(name, mutant):
    statement = IDENTITIES[name]
    for setting in (ONE_SOFTMAX, END_TOKEN):
        if setting in statement.settings:
            assert decide(statement.equations(rebuilt(setting, mutant))).verdict == "refuted", setting.name


class TruePosteriorPrompted(Setting):
    def estimate(self, v, s):
        return self.token_posterior(v, s) if s in self.live else super().estimate(v, s)


def test_departures_vanish_in_their_exact_cases():
    exact = rebuilt(END_TOKEN, TruePosteriorPrompted)
    assert decide(STATEMENTS["estimated_posterior"].equations(exact)).verdict == "proved"
    assert decide(STATEMENTS["mean_over_tokens"].equations(ONE_SOFTMAX)).verdict == "proved"  # all lengths are one


def test_a_counterexample_that_holds_is_an_error():
    statement = replace(STATEMENTS["mean_over_tokens"], settings=(ONE_SOFTMAX,))
    with pytest.raises(IntroError, match="it holds in one"):
        check(statement)


def test_the_clip_of_the_true_posterior_is_a_rescaling_for_one_softmax():
    decision = decide(STATEMENTS["clipped_weight"].equations(ONE_SOFTMAX))
    assert decision.verdict == "refuted" and decision.rescaling  # every good token has the same weight 1/pi(y|x)


def test_group_of_one_is_the_expected_reward():
    s = END_TOKEN
    assert decide([s.equation(group_mean(s, 1), s.grad(s.marginal()))]).verdict == "proved"


def test_a_softmax_by_rule_is_a_softmax_by_exponentials():
    by_rule, literal = (kind("p", ((),), 4) for kind in (Softmax, Logits))
    for v in range(4):
        p = by_rule.probability(v, ())
        equation = ONE_SOFTMAX.equation(sp.Matrix(by_rule.grad(sp.log(p) * p)), sp.Matrix(literal.grad(sp.log(p) * p)))
        assert decide([replace(equation, gauge=by_rule.gauge)]).verdict == "proved"
