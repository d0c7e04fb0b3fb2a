"""The tiny world's authors: each document is written with one author's error rates and in one style.

Errors of a careless author are not independent. Some facts are *hard*: most careless authors give them the same wrong
value. Independent errors would average out under greedy decoding, and a model would learn no mistakes from the corpus.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from random import Random

from intro.tasks.tiny_world.families import Family, Words
from intro.tasks.tiny_world.language import ANSWER, CHECK, END, SO, WAIT


def unit_hash(seed: int, purpose: str, text: str) -> float:
    """A hash of the arguments as a number in [0, 1), the same on every machine."""
    digest = blake2b(f"{seed}/{purpose}/{text}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


@dataclass(frozen=True, slots=True)
class Author:
    """Error rates of an author, on hard facts and on all others."""

    hard: float
    easy: float


@dataclass(frozen=True, slots=True)
class Style:
    """How often an author writes more than the facts; all zero is the concise style."""

    restate_first: bool = False  # opens with the question
    restate: float = 0.0  # "so 7 * 2 - 5" before a later step
    check: float = 0.0  # "check 3 + 4 = 7" after a step
    hesitate: float = 0.0  # "wait 3 + 4 = 7" after a right step
    correct: float = 0.0  # "wait 3 + 4 = 7" after a slip, instead of continuing with the wrong value


CAREFUL = Author(hard=0.03, easy=0.005)
CARELESS = Author(hard=0.85, easy=0.02)
CAREFUL_SHARE = 0.3
HARD_SHARE = 0.25  # of all facts
CONCISE = Style()
VERBOSE = Style(restate_first=True, restate=0.65, check=0.35, hesitate=0.05, correct=0.10)
VERBOSE_SHARE = 0.6


@lru_cache(maxsize=65_536)
def common_mistake(seed: int, family: Family, value: Words, operation: Words) -> Words | None:
    """The value that most careless authors give to a fact; None where the fact is not hard."""
    fact = " ".join(family.left(value, operation))
    if unit_hash(seed, "hard fact", fact) >= HARD_SHARE:
        return None
    return family.mistake(family.apply(value, operation), Random(f"{seed}/mistake/{fact}"))


def write(seed: int, family: Family, question: str, author: Author, style: Style, rng: Random) -> str:
    """A rationale that ends in its answer. An uncorrected slip persists: later steps use the wrong value.

    `seed` determines which facts are hard, `rng` everything that differs between documents.
    """
    value, operations = family.parse(question)
    statements: list[Words] = []
    for done, operation in enumerate(operations):
        if style.restate_first if done == 0 else rng.random() < style.restate:
            statements.append((SO, *family.remainder(value, operations[done:])))
        left, right = family.left(value, operation), family.apply(value, operation)
        stated, mistake = right, common_mistake(seed, family, value, operation)
        if rng.random() < (author.easy if mistake is None else author.hard):
            stated = mistake or family.mistake(right, rng)
        statements.append((*left, "=", *stated))
        if rng.random() < style.check:
            statements.append((CHECK, *left, "=", *stated))
        if rng.random() < (style.hesitate if stated == right else style.correct):
            stated = right
            statements.append((WAIT, *left, "=", *stated))
        value = stated
    statements.append((ANSWER, *value))
    return f" {END} ".join(" ".join(statement) for statement in statements)
