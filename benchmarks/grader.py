"""How many responses a second the mathematics grader grades: `python benchmarks/grader.py [--out FILE]`.

Every round has fresh problems, so nothing is remembered from an earlier one; the kinds of answers take turns.
"""

from __future__ import annotations

import os
import platform
import random
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version

from common import parser, report
from intro.infra.provenance import commit
from intro.tasks.graders.mathematics import grade_all

Pair = tuple[str, str]  # a response and the gold answer
Forms = tuple[str, tuple[str, ...]]  # a gold answer, and what is answered: right, in another form, or wrong

STEPS = (
    "Let $x$ be the number we look for, so that $x + {a} = {b}$ and therefore $x = {b} - {a}$.",
    "Substituting gives \\[ {a}x^2 - {b}x + {a} = 0. \\] The discriminant is ${b}^2 - 4 \\cdot {a}^2$.",
    "There are $\\binom{{{b}}}{{2}}$ ways to choose them, of which {a} are counted twice.",
    "By the Pythagorean theorem, $c = \\sqrt{{{a}^2 + {b}^2}}$, which we square on both sides.",
)
ENDINGS = ("The answer is $\\boxed{{{}}}$.", "Thus \\[ \\boxed{{{}}} \\]", "So the final answer is {}.")


def whole_number(rng: random.Random) -> Forms:
    n = rng.randint(2, 99_999)
    return str(n), (str(n), f"{n:,}", f"x = {n}", str(n + 1))


def fraction(rng: random.Random) -> Forms:
    a, b = rng.randint(1, 99), rng.randint(2, 99)
    gold = f"\\frac{{{a}}}{{{b}}}"
    return gold, (gold, f"{a}/{b}", f"\\dfrac{{{2 * a}}}{{{2 * b}}}", f"\\frac{{{b}}}{{{a + 1}}}")


def decimal(rng: random.Random) -> Forms:
    n = rng.randint(1, 9_999)
    return f"{n / 100}", (f"{n / 100}", f"\\frac{{{n}}}{{100}}", f"{n}\\%", f"{(n + 1) / 100}")


def root(rng: random.Random) -> Forms:
    a, b = rng.randint(2, 20), rng.choice((2, 3, 5, 7))
    gold = f"{a}\\sqrt{{{b}}}"
    return gold, (gold, f"\\sqrt{{{a * a * b}}}", f"{b}\\sqrt{{{a}}}")


def set_or_tuple(rng: random.Random) -> Forms:
    a, b, c = rng.sample(range(1, 50), 3)
    same_set = (f"\\{{{a}, {b}, {c}\\}}", f"\\{{{c}, {a}, {b}\\}}", f"\\{{{a}, {b}\\}}")
    same_tuple = (f"({a}, {b})", f"\\left({a}, {b}\\right)", f"({b}, {a})")
    forms = rng.choice((same_set, same_tuple))
    return forms[0], forms


KINDS: dict[str, Callable[[random.Random], Forms]] = {
    "whole number": whole_number,
    "fraction": fraction,
    "decimal": decimal,
    "root": root,
    "set or tuple": set_or_tuple,
}


def responses(kind: str, problems: int, samples: int, rng: random.Random) -> list[Pair]:
    """Some twenty sentences and an answer, `samples` times for each problem."""
    pairs = []
    for _ in range(problems):
        gold, forms = KINDS[kind](rng)
        for _ in range(samples):
            steps = (rng.choice(STEPS).format(a=rng.randint(1, 99), b=rng.randint(1, 99)) for _ in range(20))
            pairs.append((" ".join([*steps, rng.choice(ENDINGS).format(rng.choice(forms))]), gold))
    return pairs


def measure(problems: int, samples: int, rounds: int, seed: int) -> dict[str, list[float]]:
    """Grades per second, by kind and of all kinds mixed, in each round."""
    rng = random.Random(seed)
    rates: dict[str, list[float]] = {name: [] for name in (*KINDS, "all")}
    for round_ in range(rounds + 1):
        batches = {kind: responses(kind, problems, samples, rng) for kind in KINDS}
        mixed = [pair for kind in KINDS for pair in responses(kind, problems // len(KINDS), samples, rng)]
        for name, pairs in {**batches, "all": mixed}.items():
            start = time.perf_counter()
            grade_all(pairs)
            if round_:  # the first one starts the worker processes
                rates[name].append(len(pairs) / (time.perf_counter() - start))
    return rates


def main() -> None:
    arguments = parser("grader", __doc__, rounds=5)
    arguments.add_argument("--problems", type=int, default=50, help="of each kind in a round (50)")
    arguments.add_argument("--samples", type=int, default=8, help="responses to each problem (8)")
    given = arguments.parse_args()
    rows = [
        {
            "kind": name,
            "grades_per_s": round(statistics.median(found)),
            "lowest": round(min(found)),
            "highest": round(max(found)),
            "problems": given.problems,
            "samples": given.samples,
            "rounds": given.rounds,
            "cores": os.cpu_count(),
            "machine": f"{platform.machine()} {platform.system()}",
            "python": platform.python_version(),
            "math_verify": version("math-verify"),
            "sympy": version("sympy"),
            "commit": commit(),
        }
        for name, found in measure(given.problems, given.samples, given.rounds, given.seed).items()
    ]
    report(rows, given.out)


if __name__ == "__main__":
    main()
