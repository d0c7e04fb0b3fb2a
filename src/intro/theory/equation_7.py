"""Eq. 7 token by token: what its weights compute, and when they give Proposition 2.1."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import sympy as sp
from sympy import log

from intro.theory.decide import Equation
from intro.theory.registry import identity
from intro.theory.sequence import GRADED, log_likelihood_gradient
from intro.theory.setting import ONE_SOFTMAX, Prefix, Rationale, Setting

TokenWeight = Callable[[int, Prefix], sp.Expr]
TRUE = r"$q$ the true per-token posterior $\pi(v \mid x, y, s)$; " + GRADED
ANY = r"$q(\cdot \mid s)$ any distribution, such as $\pi(\cdot \mid x \oplus y, s)$, not differentiated"


def token_kl(s: Setting, prefix: Prefix, q: TokenWeight) -> sp.Expr:
    """KL(q(.|s) || pi(.|x,s)), q a constant."""
    tokens = range(s.vocabulary)
    return s.kl([s.detach(q(v, prefix)) for v in tokens], [s.token(v, prefix) for v in tokens])


def over_candidates(s: Setting, prefix: Prefix, q: TokenWeight) -> sp.Matrix:
    """E over a candidate v ~ pi(.|x,s) of w_v grad log pi(v|x,s)."""
    return s.next_token(prefix, lambda v, t: s.token(v, t) * s.correction(v, t, q))


def along(s: Setting, step: Callable[[int, Prefix], sp.Matrix]) -> sp.Matrix:
    """E over z ~ posterior of sum_t step(z_t, z_<t), by visiting each (s, v) once with its posterior mass."""
    steps = [(v, prefix) for prefix in s.live for v in range(s.vocabulary) if s.mass((*prefix, v)) != 0]
    return sum((s.mass((*t, v)) / s.marginal() * step(v, t) for v, t in steps), start=s.zero())


def along_prefixes(s: Setting, step: Callable[[Prefix], sp.Matrix]) -> sp.Matrix:
    """E over z ~ posterior of sum_t step(z_<t)."""
    return sum((s.mass(t) / s.marginal() * step(t) for t in s.live), start=s.zero())


def logits_at(s: Setting, prefix: Prefix, values: list[sp.Expr]) -> sp.Matrix:
    """A gradient that is zero but for the logits of one prefix."""
    here = [values if t == prefix else [sp.Integer(0)] * s.vocabulary for t in s.prefixes]
    return sp.Matrix([value for block in here for value in block])


def sequence_weight(s: Setting, z: Rationale, q: TokenWeight) -> sp.Expr:
    """Eq. 6: the product of the token weights along z."""
    return sp.Mul(*(s.correction(v, t, q) for v, t in s.steps(z)))


@identity(
    "Eq. 5 and 6: importance sampling of unfiltered rationales",
    r"E_{z \sim \pi(z \mid x)}\Big[\prod_t w_t \; \nabla \log \pi(z \mid x)\Big]"
    r" = E_{z \sim q}[\nabla \log \pi(z \mid x)]",
    ANY,
)
def importance_sampling(s: Setting) -> list[Equation]:
    left = s.expect(lambda z: s.prob(z) * sequence_weight(s, z, s.estimate), s.score)
    right = s.expect(lambda z: sp.Mul(*(s.estimate(v, t) for v, t in s.steps(z))), s.score)
    return [s.equation(left, right)]


@identity(
    "One candidate is a forward KL in expectation",
    r"E_{v \sim \pi(\cdot \mid x,s)}[w_v \nabla \log \pi(v \mid x,s)]"
    r" = -\nabla\, \mathrm{KL}(q(\cdot \mid s) \,\|\, \pi(\cdot \mid x,s)), \quad w_v = q(v \mid s) / \pi(v \mid x,s)",
    ANY,
)
def token_forward_kl(s: Setting) -> list[Equation]:
    q = s.estimate
    return [s.equation(over_candidates(s, t, q), -s.grad(token_kl(s, t, q))) for t in s.prefixes]


@identity(
    "Chain rule of the alignment",
    r"\mathrm{KL}(\pi(z \mid x,y) \,\|\, \pi(z \mid x)) = E_{z \sim \pi(z \mid x,y)}"
    r" \sum_t \mathrm{KL}(\pi(\cdot \mid x,y,z_{<t}) \,\|\, \pi(\cdot \mid x,z_{<t}))",
    GRADED,
)
def alignment_chain_rule(s: Setting) -> list[Equation]:
    whole = s.kl([s.posterior(z) for z in s.kept], [s.prob(z) for z in s.kept])

    def step(t: Prefix) -> sp.Expr:
        return s.kl(*([p(v, t) for v in range(s.vocabulary)] for p in (s.token_posterior, s.token)))

    return [s.equation(whole, sp.Add(*(s.mass(t) / s.marginal() * step(t) for t in s.live)))]


@identity(
    "Eq. 7 without end is Proposition 2.1, under the true posterior",
    r"E_{z \sim \pi(z \mid x,y)} \sum_t \sum_v \pi(v \mid x,y,z_{<t}) \nabla \log \pi(v \mid x,z_{<t})"
    r" = \nabla \log \pi(y \mid x)",
    TRUE + r"; $n \to \infty$, no $1/|z|$, no clip",
)
def infinite_candidates(s: Setting) -> list[Equation]:
    left = along_prefixes(s, lambda prefix: over_candidates(s, prefix, s.token_posterior))
    return [s.equation(left, log_likelihood_gradient(s))]


@identity(
    "The true weight is a ratio of success probabilities",
    r"\frac{\pi(v \mid x,y,s)}{\pi(v \mid x,s)} = \frac{\pi(y \mid x,s,v)}{\pi(y \mid x,s)},"
    r" \qquad \prod_t w_t = \frac{\pi(z \mid x,y)}{\pi(z \mid x)} = \frac{1}{\pi(y \mid x)}",
    TRUE + "; the product along any kept $z$",
)
def weights_are_values(s: Setting) -> list[Equation]:
    steps = [(v, t) for t in s.live for v in range(s.vocabulary)]
    weights = [s.correction(v, t, s.token_posterior) for v, t in steps]
    values = [s.value((*t, v)) / s.value(t) for v, t in steps]
    products = [sequence_weight(s, z, s.token_posterior) for z in s.kept]
    return [s.equation(weights, values), s.equation(products, [1 / s.marginal()] * len(products))]


def equation_7(s: Setting, z: Rationale, n: int, q: TokenWeight) -> sp.Matrix:
    """E over the drawn candidates of (1/n) sum_t sum_i w_t^i grad log pi(z_t^i), by enumerating all n - 1 draws."""
    total = s.zero()
    for own, prefix in s.steps(z):
        for drawn in product(range(s.vocabulary), repeat=n - 1):
            chance = sp.Mul(*(s.token(v, prefix) for v in drawn))
            terms = (s.correction(v, prefix, q) * s.token_score(v, prefix) for v in (own, *drawn))
            total += chance / n * sum(terms, start=s.zero())
    return total


@identity(
    "Eq. 7 is two updates in one",
    r"E\Big[\frac1n \sum_t \sum_{i=1}^n w_t^i \nabla \log \pi(z_t^i \mid x,z_{<t})\Big]"
    r" = \frac1n \sum_t w_t \nabla \log \pi(z_t \mid x,z_{<t})"
    r" - \frac{n-1}{n} \sum_t \nabla\, \mathrm{KL}(q(\cdot \mid z_{<t}) \,\|\, \pi(\cdot \mid x,z_{<t}))",
    ANY + r"; a kept $z$, its own token first, $n - 1$ drawn; $n = 1, 2, 3$ by enumeration",
)
def two_updates(s: Setting) -> list[Equation]:
    equations, q = [], s.estimate
    for n, z in product((1, 2, 3), s.kept[-2:]):
        imitation = sum((q(v, t) / s.token(v, t) * s.token_score(v, t) for v, t in s.steps(z)), start=s.zero())
        forward_kl = sum((s.grad(token_kl(s, t, q)) for _, t in s.steps(z)), start=s.zero())
        equations.append(s.equation(equation_7(s, z, n, q), imitation / n - sp.Rational(n - 1, n) * forward_kl))
    return equations


@identity(
    "Consistent InTRO is Proposition 2.1 at every n",
    r"E_{z \sim \pi(z \mid x,y)} \sum_t \Big[\frac1n \nabla \log \pi(z_t \mid x,z_{<t}) + \frac{n-1}{n}"
    r" E_{v \sim \pi}[w_v \nabla \log \pi(v \mid x,z_{<t})]\Big] = \nabla \log \pi(y \mid x)",
    TRUE + r"; weight 1 on the own token; any $n \ge 1$",
)
def consistent_own_weight(s: Setting) -> list[Equation]:
    n = sp.Symbol("n", positive=True)
    q = s.token_posterior
    own = along(s, lambda v, t: s.own_weight(v, t, q) * s.token_score(v, t))
    candidates = along_prefixes(s, lambda t: over_candidates(s, t, q))
    return [s.equation(own / n + (n - 1) / n * candidates, log_likelihood_gradient(s), n=5)]


@identity(
    "Weights are never negative",
    r"w_v = |w_v|, \qquad \frac{\partial}{\partial \theta_k}\, w_v \log \pi(v \mid x,s)"
    r" = w_v 1[v = k] - w_v\, \pi(k \mid x,s)",
    ANY + r"; hence a logit falls only through $-w_v\, \pi(k \mid x,s)$, the derivative of the normaliser",
)
def nonnegative_weights(s: Setting) -> list[Equation]:
    weights = [s.correction(v, t, s.estimate) for t in s.prefixes for v in range(s.vocabulary)]
    equations = [s.equation(weights, [sp.Abs(w) for w in weights])]
    for v in range(s.vocabulary):
        w = s.correction(v, (), s.estimate)
        pull = [w * (int(k == v) - s.token(k, ())) for k in range(s.vocabulary)]
        equations.append(s.equation(s.grad(s.detach(w) * log(s.token(v, ()))), logits_at(s, (), pull)))
    return equations


@identity(
    "The policy's own score is centred",
    r"E_{v \sim \pi(\cdot \mid x,s)}[\nabla \log \pi(v \mid x,s)] = 0,"
    r" \qquad E_{z \sim \pi(z \mid x)}[\nabla \log \pi(z \mid x)] = 0",
    "none",
)
def centred_score(s: Setting) -> list[Equation]:
    tokens = [s.equation(s.next_token(t, s.token), s.zero()) for t in s.prefixes]
    return [*tokens, s.equation(s.expect(s.prob, s.score), s.zero())]


@identity(
    "Weights minus one are an unbiased control variate",
    r"E_{v \sim \pi}[(w_v - 1) \nabla \log \pi(v \mid x,s)] = E_{v \sim \pi}[w_v \nabla \log \pi(v \mid x,s)]",
    ANY + "; on sampled candidates only",
)
def control_variate(s: Setting) -> list[Equation]:
    def centred(v: int, t: Prefix) -> sp.Expr:
        return s.token(v, t) * (s.correction(v, t, s.estimate) - 1)

    return [s.equation(s.next_token(t, centred), over_candidates(s, t, s.estimate)) for t in s.prefixes]


@identity(
    "The clip caps the posterior at c times the policy",
    r"E_{v \sim \pi}[\min(w_v, c) \nabla \log \pi_v] = \sum_v \min(q_v, c\, \pi_v) \nabla \log \pi_v"
    r" = \sum_v q_v \nabla \log \pi_v - \sum_v \max(q_v - c\, \pi_v, 0) \nabla \log \pi_v",
    ANY + r"; any $c > 0$; what is lost is the part of $q$ that exceeds $c\, \pi$",
    settings=(ONE_SOFTMAX,),
)
def clip_caps_posterior(s: Setting) -> list[Equation]:
    c, q = sp.Symbol("c", positive=True), s.estimate
    clipped = s.next_token((), lambda v, t: s.token(v, t) * sp.Min(s.correction(v, t, q), c))
    capped = s.next_token((), lambda v, t: sp.Min(q(v, t), c * s.token(v, t)))
    above = s.next_token((), lambda v, t: sp.Max(q(v, t) - c * s.token(v, t), 0))
    return [s.equation(clipped, capped), s.equation(clipped, s.next_token((), q) - above)]
