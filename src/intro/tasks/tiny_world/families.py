"""The tiny world's families of questions, and the steps of their answers.

A question gives a start value and a list of operations; applying one operation is one fact, `left side = new value`.
Writing, making mistakes and verifying use this interface only, so a family is described in one place.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from operator import add, mul, sub
from random import Random

from intro.tasks.tiny_world.language import DIGITS

Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Family(ABC):
    """One kind of question. Values and operations are tuples of words."""

    name: str

    @abstractmethod
    def draw(self, rng: Random) -> str:
        """A random question."""

    def parse(self, question: str) -> tuple[Words, tuple[Words, ...]]:
        """The start value and the operations of a question; here the first digit, and each of the others alone."""
        _, first, *rest = question.split()
        return (first,), tuple((digit,) for digit in rest)

    @abstractmethod
    def left(self, value: Words, operation: Words) -> Words:
        """The left side of the fact that carries out `operation` on `value`."""

    @abstractmethod
    def apply(self, value: Words, operation: Words) -> Words:
        """The right side of that fact."""

    @abstractmethod
    def remainder(self, value: Words, operations: tuple[Words, ...]) -> Words:
        """The remaining expression when the value is `value`."""

    def mistake(self, right: Words, rng: Random) -> Words:
        """A wrong value of the same form as `right`: one of its digits differs."""
        position = rng.randrange(len(right))
        return (*right[:position], shift(right[position], rng.randrange(1, 10)), *right[position + 1 :])

    def solve(self, question: str) -> str:
        """The gold answer."""
        value, operations = self.parse(question)
        for operation in operations:
            value = self.apply(value, operation)
        return " ".join(value)


def shift(digit: str, by: int) -> str:
    """A digit moved by `by`, modulo 10."""
    return DIGITS[(int(digit) + by) % 10]


def digits(rng: Random, low: int, high: int) -> list[str]:
    """Between `low` and `high` random digits."""
    return [rng.choice(DIGITS) for _ in range(rng.randint(low, high))]


_RULES = {"+": add, "-": sub, "*": mul, "@": lambda a, b: a + 2 * b}


@dataclass(frozen=True, slots=True)
class Chain(Family):
    """`3 + 4 * 2 - 5`: operators from left to right, modulo 10."""

    operators: tuple[str, ...]
    shortest: int  # operations
    longest: int

    def draw(self, rng: Random) -> str:
        words = [rng.choice(DIGITS)]
        for _ in range(rng.randint(self.shortest, self.longest)):
            words += [rng.choice(self.operators), rng.choice(DIGITS)]
        return " ".join(words)

    def parse(self, question: str) -> tuple[Words, tuple[Words, ...]]:
        words = question.split()
        return (words[0],), tuple(zip(words[1::2], words[2::2], strict=True))

    def left(self, value: Words, operation: Words) -> Words:
        return value + operation

    def apply(self, value: Words, operation: Words) -> Words:
        return (DIGITS[_RULES[operation[0]](int(value[0]), int(operation[1])) % 10],)

    def remainder(self, value: Words, operations: tuple[Words, ...]) -> Words:
        return value + sum(operations, ())


class Largest(Family):
    """`max 3 7 2`: a running maximum, `max 3 7 = 7`."""

    def draw(self, rng: Random) -> str:
        return " ".join(["max", *digits(rng, 4, 6)])

    def left(self, value: Words, operation: Words) -> Words:
        return ("max", *value, *operation)

    def apply(self, value: Words, operation: Words) -> Words:
        return max(value, operation)

    def remainder(self, value: Words, operations: tuple[Words, ...]) -> Words:
        return ("max", *value, *sum(operations, ()))


class Count(Family):
    """`count 3 in 1 3 4`: a running tally, `0 1 no = 0` then `0 3 yes = 1`. An operation is (digit, wanted)."""

    def draw(self, rng: Random) -> str:
        listed = digits(rng, 4, 6)
        # half of the time the digit surely occurs; otherwise almost every answer would be 0
        wanted = rng.choice(listed) if rng.random() < 0.5 else rng.choice(DIGITS)
        listed = [wanted if rng.random() < 0.25 else digit for digit in listed]
        return " ".join(["count", wanted, "in", *listed])

    def parse(self, question: str) -> tuple[Words, tuple[Words, ...]]:
        _, wanted, _, *listed = question.split()
        return ("0",), tuple((digit, wanted) for digit in listed)

    def left(self, value: Words, operation: Words) -> Words:
        digit, wanted = operation
        return (*value, digit, "yes" if digit == wanted else "no")

    def apply(self, value: Words, operation: Words) -> Words:
        digit, wanted = operation
        return (shift(value[0], int(digit == wanted)),)

    def remainder(self, value: Words, operations: tuple[Words, ...]) -> Words:
        return (*value, "+", "count", operations[0][1], "in", *(digit for digit, _ in operations))

    def mistake(self, right: Words, rng: Random) -> Words:
        return (shift(right[0], rng.choice((1, -1))),)


class Reverse(Family):
    """`reverse 3 1 4`: each digit is put before the earlier ones, `1 before 3 = 1 3`."""

    def draw(self, rng: Random) -> str:
        return " ".join(["reverse", *digits(rng, 4, 5)])

    def left(self, value: Words, operation: Words) -> Words:
        return (*operation, "before", *value)

    def apply(self, value: Words, operation: Words) -> Words:
        return operation + value

    def remainder(self, value: Words, operations: tuple[Words, ...]) -> Words:
        return ("reverse", *sum(operations, ()), "before", *value)


class Rotate(Family):
    """`rotate 2 3 1 4`: twice, the first digit goes to the end, `turn 3 1 4 = 1 4 3`."""

    def draw(self, rng: Random) -> str:
        return " ".join(["rotate", rng.choice("123"), *digits(rng, 4, 5)])

    def parse(self, question: str) -> tuple[Words, tuple[Words, ...]]:
        _, turns, *listed = question.split()
        return tuple(listed), (("turn",),) * int(turns)

    def left(self, value: Words, operation: Words) -> Words:
        return operation + value

    def apply(self, value: Words, operation: Words) -> Words:
        return (*value[1:], value[0])

    def remainder(self, value: Words, operations: tuple[Words, ...]) -> Words:
        return ("rotate", str(len(operations)), *value)


IN_DOMAIN = tuple(Chain(f"chain-{n}", ("+", "-", "*"), n, n) for n in range(2, 8))
OUT_OF_DOMAIN = (Chain("mix", ("@",), 3, 5), Largest("largest"), Count("count"), Reverse("reverse"), Rotate("rotate"))
FAMILIES = {family.name: family for family in (*IN_DOMAIN, *OUT_OF_DOMAIN)}
