"""Mathematics answers: where a response states its answer, and whether that equals the gold one.

The answer is looked for in one order, the one that untemplated base models need: the last box; what follows the last
"answer is"; the last formula or number. Equality is math-verify's, but exact numbers are compared exactly. An
answer that cannot be compared is graded wrong, with the reason. Grading happens in worker processes that can be killed:
math-verify's own timeouts are signals, which fail off the main thread and cancel a caller's alarm.
"""

from __future__ import annotations

import atexit
import logging
import multiprocessing
import re
from collections.abc import Sequence
from concurrent.futures import TimeoutError
from fractions import Fraction
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from pebble import ProcessExpired, ProcessPool

from intro.infra.gpus import workers
from intro.types import Grade

if TYPE_CHECKING:
    from sympy import Expr

DEADLINE_S = 5.0  # for one response
CHUNK = 64  # responses that are sent to a worker together

LONGEST_ANSWER = 500  # characters; nothing that a benchmark asks for is longer
LARGEST_EXPONENT = 1_000  # of numbers, and of what a factorial is taken of: beyond it sympy does not end
EXACT_DIGITS = 3_000  # digits in which two irrational numbers are compared
TAIL = 20_000  # characters of a response that are searched, from its end

_NUMBER = r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+|(?<=\d))(?:[eE][-+]?\d+)?"
_FORMULA = re.compile(
    r"\$\$(?P<a>.+?)\$\$|\\\[(?P<b>.+?)\\\]|(?<!\\)\$(?P<c>[^$\n]+?)(?<!\\)\$|\\\((?P<d>.+?)\\\)"
    rf"|(?P<e>(?<![\w.]){_NUMBER}(?:\s*/\s*\d+)?\s*(?:\\?%|(?:percent|pct)\b)?)",
    re.DOTALL,
)
_ANSWER_IS = re.compile(r"answer\s*(?:is|:|=)\s*:?\s*", re.IGNORECASE)
_SENTENCE_END = re.compile(r"\.\s|\.$|\n|(?<=\$)\s*[,;]\s")


def extract(response: str) -> str | None:
    """The answer as it stands in the response, without box or dollar signs; None when there is none."""
    text = response[-TAIL:]
    box = last_box(text)
    if box is not None:
        return box.strip() or None
    marks = list(_ANSWER_IS.finditer(text))
    if marks:
        rest = text[marks[-1].end() :].strip()
        end = _SENTENCE_END.search(rest)
        stated = rest[: end.start()] if end else rest
        if stated.strip():
            return stated.strip().rstrip(".").strip()
    found = [m for m in _FORMULA.finditer(text) if m.group().strip()]
    return next((g for g in found[-1].groups() if g), "").strip() or None if found else None


def last_box(text: str) -> str | None:
    r"""What the last \boxed{...} or \fbox{...} holds, braces balanced; None without one that closes."""
    open_braces: list[int | None] = []  # for each: where its box begins, None when it is only a brace
    last, last_start = None, -1
    for part in re.finditer(r"\\(?:boxed|fbox)\s*(\{)|\\.|([{}])", text, re.DOTALL):
        if part.group(1):
            open_braces.append(part.end())
        elif part.group(2) == "{":
            open_braces.append(None)
        elif part.group(2) == "}" and open_braces:
            start = open_braces.pop()
            if start is not None and (start > last_start or not open_braces):
                last, last_start = text[start : part.start()], start
    return last


def grade(response: str, gold: str) -> Grade:
    """The grade of one response; `grade_all` takes many at once, on all cores."""
    return grade_all([(response, gold)])[0]


def grade_all(pairs: Sequence[tuple[str, str]], deadline_s: float = DEADLINE_S) -> list[Grade]:
    """Grades of (response, gold) pairs, in order; a response that takes longer than the deadline is wrong."""
    chunks = [pairs[i : i + CHUNK] for i in range(0, len(pairs), CHUNK)]
    grades: list[Grade] = []
    for chunk, graded in zip(chunks, _in_pool(chunks, deadline_s), strict=True):
        if isinstance(graded, str):  # one response caused it: grade each with its own deadline
            alone = _in_pool([[pair] for pair in chunk], deadline_s) if len(chunk) > 1 else [graded]
            graded = [Grade(False, None, one) if isinstance(one, str) else one[0] for one in alone]
        grades += graded
    return grades


def _in_pool(chunks: Sequence[Sequence[tuple[str, str]]], deadline_s: float) -> list[list[Grade] | str]:
    """Each chunk's grades, or why there are none."""
    futures = [_pool().schedule(_graded, args=(list(chunk),), timeout=deadline_s) for chunk in chunks]
    results: list[list[Grade] | str] = []
    for future in futures:
        try:
            results.append(future.result())
        except TimeoutError:
            results.append("timeout")
        except ProcessExpired:
            results.append("the grader died")
    return results


@cache
def _pool() -> ProcessPool:
    # spawned: a forked copy of a process with threads or a GPU may hang
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPool(max_workers=workers(), context=spawn, initializer=_start)
    atexit.register(pool.join)
    atexit.register(pool.stop)  # called first: the last one registered
    return pool


def _start() -> None:
    """Import before the first deadline starts, and limit memory, so that a large expression fails alone."""
    import resource

    import math_verify  # noqa: F401

    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that its own timeouts are off


def _graded(pairs: list[tuple[str, str]]) -> list[Grade]:
    return [grade_here(*pair) for pair in pairs]


def grade_here(response: str, gold: str) -> Grade:
    """The grade, in this process and without a deadline."""
    extracted = extract(response)
    if extracted is None:
        return Grade(False, None, "no answer")
    return compare(extracted, gold)


def compare(answer: str, gold: str) -> Grade:
    """Whether a bare answer equals the gold one."""
    answer, gold = answer.strip(), _bare(gold)
    short = answer if len(answer) <= LONGEST_ANSWER else answer[:LONGEST_ANSWER] + "..."
    if not answer:
        return Grade(False, None, "no answer")
    if _plain(_bare(answer)) == _plain(gold):
        return Grade(True, short, "correct")
    theirs, ours = plain_number(_bare(answer)), plain_number(gold)
    if theirs is not None and ours is not None:  # microseconds, where math-verify takes a millisecond
        if theirs == ours:
            return Grade(True, short, "correct")
        if theirs.denominator == ours.denominator == 1:  # other numbers may agree but for rounding
            return Grade(False, short, "wrong answer")
    for what, text in (("answer", answer), ("gold answer", gold)):
        if len(text) > LONGEST_ANSWER:
            return Grade(False, short, f"{what} too long")
        if too_large(text):
            return Grade(False, short, f"{what} has too large an exponent")
    try:
        theirs, ours = _parsed(_bare(answer)), _parsed(gold)
        if not theirs or not ours:
            return Grade(False, short, "not understood")
        equal = _equal(theirs, ours)
    except (Exception, RecursionError) as error:  # sympy raises many kinds on odd input
        return Grade(False, short, f"not understood ({type(error).__name__})")
    return Grade(equal, short, "correct" if equal else "wrong answer")


_PLAIN_NUMBER = re.compile(r"(?P<sign>)(?P<above>[-+]?\d{1,18}(?:\.\d{1,18})?)(?:/(?P<below>\d{1,18}))?")
_PLAIN_FRACTION = re.compile(r"(?P<sign>[-+]?)\\[dt]?frac\{(?P<above>-?\d{1,18})\}\{(?P<below>\d{1,18})\}")


def plain_number(text: str) -> Fraction | None:
    """A whole number, decimal, quotient or LaTeX fraction exactly; None for any other expression."""
    found = _PLAIN_NUMBER.fullmatch(text) or _PLAIN_FRACTION.fullmatch(text)
    if not found or int(found["below"] or 1) == 0:
        return None
    sign, above, below = found.group("sign", "above", "below")
    value = Fraction(above) / int(below or 1)
    return -value if sign == "-" else value


def too_large(text: str) -> bool:
    """Whether the expression may not be evaluated in time: towers, large exponents, large factorials."""
    bare = re.sub(r"\\left|\\right|[{}()]", "", re.sub(r"\s*(\^|\*\*|[{}()!])\s*", r"\1", text))
    tower = re.search(r"\d(?:\^|\*\*)-?[\d.]+(?:\^|\*\*)", bare)  # 9^{9^9}; a tower with a letter in it stays symbolic
    powers = re.findall(r"(?:\^|\*\*)-?(\d+)", bare) + re.findall(r"(\d+)!", bare)
    return bool(tower) or any(len(p) > 18 or int(p) > LARGEST_EXPONENT for p in powers)


_OPENING = (("$$", "$$"), (r"\[", r"\]"), (r"\(", r"\)"), ("$", "$"))


def _bare(text: str) -> str:
    """Without a box and one pair of math delimiters around the whole."""
    text = text.strip()
    inner = last_box(text)
    if inner is not None:
        after = text[text.rindex(inner) + len(inner) :]
        text = inner + re.sub(r"^\}|[$]", "", after)
    for left, right in _OPENING:
        inside = text[len(left) : -len(right)]
        if text.startswith(left) and text.endswith(right) and left not in inside and len(text) > len(left) + 1:
            return inside.strip()
    return text


def _plain(text: str) -> str:
    """For comparison as text: no spaces, sizes, text commands, dollar signs or final stop."""
    text = re.sub(r"\\(?:text(?:bf|it|rm|normal)?|mathrm|mathbf|mbox)\s*\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"\\[,;:! ]|\\left|\\right|[\s$]|\\$", "", text).replace(r"\%", "%").replace("dfrac", "frac")
    return text.rstrip(".").lower()


# what math-verify misreads: mixed numbers as products, i(...) as a function, f(x) = as an unknown
_READINGS = (
    (re.compile(r"^(-?)(\d+)\s+(\d+)\s*/\s*(\d+)$"), r"\1(\2+\3/\4)"),
    (re.compile(r"(?<![A-Za-z\\])i\s*\("), r"i \\cdot ("),
    (re.compile(r"^[fgh]\([a-z]\)\s*="), "y ="),
)


@lru_cache(maxsize=4096)
def _parsed(text: str) -> tuple:
    """math-verify's reading, cached, since gold answers repeat over samples."""
    from math_verify import parse

    logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that it has no timeout; the pool has one
    for pattern, meant in _READINGS:
        text = pattern.sub(meant, text)
    wrapped = text if re.search(r"(?<!\\)\$|\\[(\[]", text) else f"${text}$"
    return tuple(parse(wrapped, parsing_timeout=None))


def _equal(theirs: tuple, ours: tuple) -> bool:
    """Whether two readings are equal: exactly for exact numbers, else by math-verify's rules and `_close`."""
    if _is_exact(theirs[0]) and _is_exact(ours[0]):  # math-verify rounds differences to 15 decimals
        return _equal_exactly(theirs[0].doit(), ours[0].doit())
    from math_verify import verify

    return verify(list(ours), list(theirs), timeout_seconds=None) or _close(theirs[0], ours[0])


def _is_number(a: object) -> bool:
    """Whether it is a sympy number without symbols, sums, integrals, limits or percent signs."""
    from sympy import Expr, Limit, UnevaluatedExpr, nan, zoo
    from sympy.concrete.expr_with_limits import ExprWithLimits

    return isinstance(a, Expr) and a.is_number and not a.has(ExprWithLimits, Limit, UnevaluatedExpr, nan, zoo)


def _is_exact(a: object) -> bool:
    """Whether it is a number without decimals; infinity is one."""
    from sympy import Float

    return _is_number(a) and not a.has(Float)  # type: ignore[attr-defined]


def _equal_exactly(a: Expr, b: Expr) -> bool:
    """Equality of two exact numbers; irrational ones are equal when `EXACT_DIGITS` digits do not separate them.

    An infinity equals only the infinity of the same sign. Sympy's floats have no largest exponent: nothing overflows.
    """
    from sympy import oo

    if a.has(oo, -oo) or b.has(oo, -oo):
        return a == b and a in (oo, -oo)
    if a == b or (a.is_Rational and b.is_Rational):
        return a == b
    parts = (a - b).evalf(2, maxn=EXACT_DIGITS).as_real_imag()
    return all(part.is_Number and (part == 0 or part._prec == 1) for part in parts)  # precision 1: no digit is certain


def _close(a: object, b: object) -> bool:
    """Equal to nine digits where one is a decimal, such as 2.314814814815 x 10^-3 and 1/432."""
    if not (getattr(a, "is_number", False) and getattr(b, "is_number", False)):
        return False
    # doit evaluates what `_equal` left to math-verify: sums, integrals, limits and percent signs
    a, b = a.doit(), b.doit()  # type: ignore[attr-defined]
    if _is_exact(a) and _is_exact(b):
        return _equal_exactly(a, b)
    if not (_is_number(a) and _is_number(b)):
        return False
    x, y = a.evalf(), b.evalf()  # type: ignore[attr-defined]
    return bool(x.is_finite and y.is_finite and abs(x - y) <= 1e-9 * abs(y))
