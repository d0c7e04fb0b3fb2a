"""The paper's claims as records: a statement, what is estimated, and the side of a null value that is claimed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

from intro.analysis.claims import estimands
from intro.analysis.claims.estimands import Estimand
from intro.config import Config


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim of the paper. `margin` is the half-width of "equal"; units are the estimand's."""

    name: str
    statement: str
    measure: str  # the estimand in words, with its unit
    estimand: Estimand
    direction: Literal["above", "below", "equal"]
    null: float = 0.0
    margin: float = 0.0
    needs: Literal["training", "nothing"] = "training"  # decides whether there is one row per protocol
    rates: Literal["chosen", "grid"] = "chosen"  # grid: also judged at every learning rate of the grid
    value_of: Literal["any models", "paper models"] = "any models"  # values compare on the paper's only


@dataclass(frozen=True, slots=True)
class Joint:
    """A claim that holds when all of its parts do."""

    name: str
    statement: str
    parts: tuple[str, ...]


POINTS = "points, mean over models"
TOKENS = "tokens, mean over models"
KL = "KL from the true to the estimated posterior, {} (nats per rationale)"
KL_VALUE = "The estimated posterior is about 2.3 nats from the true one"

# fmt: off
ACCURACY: list[Claim | Joint] = [
    Claim("above_base", "InTRO improves on its base model", f"InTRO minus base ({POINTS})",
          partial(estimands.compare, a="intro", b="base"), "above", rates="grid"),
    Claim("above_grpo", "InTRO is more accurate than GRPO", f"InTRO minus GRPO ({POINTS})",
          partial(estimands.compare, a="intro", b="grpo"), "above", rates="grid"),
    Claim("best_of_all", "InTRO is the most accurate method", f"InTRO minus the best baseline ({POINTS})",
          partial(estimands.against_best, method="intro"), "above", rates="grid"),
    Claim("gains_grow_with_base", "Stronger base models gain more", "points gained per point of base average",
          partial(estimands.gain_slope, method="intro"), "above"),
    # "consistently" is read as more often than not; with seven methods, chance alone gives one cell in seven
    Claim("best_per_benchmark", "InTRO is consistently best, benchmark by benchmark",
          "share of model x benchmark cells where InTRO is highest (percent)",
          partial(estimands.share_best, method="intro"), "above", null=50.0),
    Claim("sft_below_base", "SFT falls below the base model", f"SFT minus base ({POINTS})",
          partial(estimands.compare, a="sft", b="base"), "below", rates="grid"),
    Claim("ood_above_base", "InTRO improves on its base model out of domain",
          f"InTRO minus base, out of domain ({POINTS})",
          partial(estimands.compare, a="intro", b="base", suite="ood"), "above"),
    Claim("ood_above_grpo", "InTRO is more accurate than GRPO out of domain",
          f"InTRO minus GRPO, out of domain ({POINTS})",
          partial(estimands.compare, a="intro", b="grpo", suite="ood"), "above"),
]

LENGTH: list[Claim | Joint] = [
    Claim("shorter_than_grpo_hard", "InTRO answers hard problems in fewer tokens than GRPO",
          f"InTRO minus GRPO, hard problems ({TOKENS})",
          partial(estimands.compare_length, a="intro", b="grpo", where="hard"), "below"),
    Claim("shorter_than_grpo_all", "InTRO answers all problems in fewer tokens than GRPO",
          f"InTRO minus GRPO, all problems ({TOKENS})",
          partial(estimands.compare_length, a="intro", b="grpo", where="all"), "below", rates="grid"),
    Claim("length_falls", "Responses to test problems get shorter while InTRO trains",
          f"last minus first step, all problems ({TOKENS})",
          partial(estimands.curve_change, method="intro", column="mean_tokens", subset="all"), "below"),
    Claim("hard_accuracy_rises", "Accuracy on hard problems rises while InTRO trains",
          f"last minus first step, hard problems ({POINTS})",
          partial(estimands.curve_change, method="intro", column="value", subset="hard"), "above"),
    Joint("shorter_and_better", "InTRO gets shorter while its accuracy on hard problems rises",
          ("length_falls", "hard_accuracy_rises")),
]

CANDIDATES: list[Claim | Joint] = [
    Claim("moderate_n_best", "A moderate number of candidates n is best",
          "mean of the inner n minus the better end of the n-grid (points)", estimands.inner_n_against_ends, "above"),
    Claim("n1_below_base", "With n = 1, InTRO falls below the base model", "n = 1 minus base (points)",
          partial(estimands.n_against_base, n=1), "below"),
    Claim("n40_below_best", "With n = 40, InTRO is worse than with the best n",
          "n = 40 minus the best other n (points)", partial(estimands.n_against_others, n=40), "below"),
]

POSTERIOR: list[Claim | Joint] = [
    Claim("answer_helps_hard_most", "Seeing the answer helps most on hard problems",
          "gain on hard minus gain on easy benchmarks, verified rationales (points)",
          estimands.hard_gain_over_easy, "above", needs="nothing"),
    Claim("answer_hurts_easy", "Seeing the answer may hurt on easy problems",
          "smallest gain among easy benchmarks, verified rationales (points)",
          estimands.smallest_easy_gain, "below", needs="nothing"),
    # "about 2.3", from an unpublished toy set-up, is read as 2.05 to 2.55
    Claim("posterior_kl_bayes", KL_VALUE, KL.format("by Bayes over samples"),
          partial(estimands.posterior_kl, kind="bayes"), "equal", 2.3, 0.25, "nothing", value_of="paper models"),
    Claim("posterior_kl_enumerated", KL_VALUE, KL.format("by enumeration"),
          partial(estimands.posterior_kl, kind="enumeration"), "equal", 2.3, 0.25, "nothing", value_of="paper models"),
]


def record(config: Config) -> list[Claim | Joint]:
    """Every claim of the paper that a run can test, in the order of the scoreboard."""
    cost = [
        Claim("two_forward_passes", "InTRO needs two forward passes per rationale", "forward passes per rationale",
              partial(estimands.forward_passes, method="intro"), "equal", null=2.0, needs="nothing"),
        Claim("grpo_needs_2g_passes", "GRPO needs 2G forward passes where InTRO needs two",
              "forward passes of GRPO over those of InTRO, both per rationale",
              partial(estimands.forward_passes, method="grpo", relative_to="intro"),
              "equal", null=float(config.training.group_size), needs="nothing"),
    ]
    return [*ACCURACY, *LENGTH, *CANDIDATES, *POSTERIOR, *cost]
