"""Grades an answer by exact match and verifies a rationale step by step."""

from __future__ import annotations

from intro.tasks.tiny_world.families import Family, Words
from intro.tasks.tiny_world.language import ANSWER, CHECK, END, SO, SPECIALS, WAIT
from intro.types import Grade


def _words(text: str) -> list[str]:
    return [word for word in text.split() if word not in SPECIALS]


def grade(text: str, answer: str) -> Grade:
    """Compare what follows the last `answer` with the gold answer, word by word. Never raises."""
    words = _words(text)
    after_last = words[::-1].index(ANSWER) if ANSWER in words else 0  # words behind the last `answer`
    extracted = " ".join(words[len(words) - after_last :])
    if not extracted:
        return Grade(False, None, "no answer")
    correct = extracted == " ".join(answer.split())
    return Grade(correct, extracted, "correct" if correct else "wrong answer")


def _statements(text: str) -> list[Words]:
    statements: list[list[str]] = [[]]
    for word in _words(text):
        if word == END:
            statements.append([])
        else:
            statements[-1].append(word)
    return [tuple(statement) for statement in statements]


def verify(text: str, family: Family, question: str) -> bool:
    """Whether the rationale computes the answer step by step, without a false statement.

    Each operation must appear once, in order, on the value of the step before it, and the last statement must give the
    last value as the answer; an answer without its steps fails. `so` may restate the remaining operations, `check` and
    `wait` may repeat an earlier fact. A false fact fails the rationale even where a `wait` corrects it: a verified
    rationale is a proof, while the grader accepts a corrected answer.
    """
    value, operations = family.parse(question)
    done, established = 0, set[Words]()
    *steps, last = _statements(text)
    for statement in steps:
        head, rest = (statement[0], statement[1:]) if statement else ("", ())
        if head in (CHECK, WAIT):
            holds = rest in established
        elif done == len(operations):
            holds = False
        elif head == SO:
            holds = rest == family.remainder(value, operations[done:])
        else:
            left, value = family.left(value, operations[done]), family.apply(value, operations[done])
            holds = statement == (*left, "=", *value)
            established.add(statement)
            done += 1
        if not holds:
            return False
    return done == len(operations) and last == (ANSWER, *value)
