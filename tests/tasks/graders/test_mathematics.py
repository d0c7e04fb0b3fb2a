"""The mathematics grader: where answers are found, which are equal, and that no response raises."""

from __future__ import annotations

import json
import os
import threading
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intro.tasks.graders import mathematics
from intro.tasks.graders.mathematics import compare, extract, grade, grade_all, last_box, plain_number, too_large
from intro.types import Grade

CASES = Path(os.environ.get("INTRO_GRADER_CASES", "absent"))


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        (r"First \boxed{1}. No, wait: \boxed{2}. The answer is 3.", "2"),  # the last box before everything else
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"so \boxed{7} and \boxed{8", "7"),  # a box that never closes is none
        ("The answer is 4. The answer is 5. That makes 6.", "5"),
        ("The answer is $\\frac{3}{4}$.", r"$\frac{3}{4}$"),
        ("Final answer: 12\nI hope it is correct, 100 %.", "12"),
        ("We get 3, then 1,234.5", "1,234.5"),
        ("we get 3/4", "3/4"),
        ("Therefore $x = 5$ holds.", "x = 5"),
        ("nothing to see", None),
        ("", None),
        (r"\boxed{}", None),
    ],
)
def test_where_the_answer_is_found(response: str, answer: str | None) -> None:
    """The last box; what follows the last "answer is"; the last formula or number."""
    assert extract(response) == answer


@given(st.text(alphabet="ab{}\\ ", max_size=30), st.text(alphabet="xy12^ ", min_size=1, max_size=10))
def test_a_closed_box_at_the_end_is_always_found(before: str, inside: str) -> None:
    assert last_box(before.replace("\\", "") + r"\boxed{" + inside + "}") == inside


@pytest.mark.parametrize(
    ("answer", "gold", "correct"),
    [
        ("0.5", r"\frac{1}{2}", True),
        ("50\\%", "0.5", True),
        ("x = 3", "3", True),
        ("1 1/2", "1.5", True),
        ("(1, 2)", "(2, 1)", False),  # order matters in a tuple
        ("1, 2", "2, 1", True),  # and not in a list of solutions
        ("(1, 2)", "[1, 2]", False),
        (r"\text{Odd}", "odd", True),
        ("f(x) = 2x + 3", "y = 2x + 3", True),
        ("2.314814814815 \\times 10^{-3}", r"\frac{1}{432}", True),
        ("0.3333", r"\frac{1}{3}", False),
        ("10^{10}", "10^{10^{10^{10}}}", False),
        ("10^{10^{10^{10}}}", "10^{10^{10^{10}}}", True),  # equal as text, whatever its size
        ("$12$", "12", True),
        ("12.", "12", True),
        ("-3", "3", False),
    ],
)
def test_which_answers_are_equal(answer: str, gold: str, correct: bool) -> None:
    assert compare(answer, gold).correct is correct


@pytest.mark.parametrize(
    ("gold", "answer", "correct"),
    [
        # an infinity equals only the infinity of the same sign
        (r"\infty", "4", False),
        (r"-\infty", "4", False),
        (r"\infty", "1.5", False),
        (r"\infty", "200!", False),
        ("5", r"\infty", False),
        ("1.5", r"\infty", False),
        (r"\infty", r"-\infty", False),
        (r"-\infty", r"+\infty", False),
        (r"\infty", r"\infty", True),
        (r"\infty", r"+\infty", True),
        (r"-\infty", r"-\infty", True),
        (r"x = \infty", r"\infty", True),
        (r"\infty", r"\frac{1}{0}", False),
        (r"\infty - \infty", "4", False),
        (r"\sum_{n=1}^{\infty} n", "4", False),
        # values beyond a float
        ("180!", "3", False),
        ("200!", "199!", False),
        ("200!", r"200 \cdot 199!", True),
        ("10^{400}", "7", False),
        ("10^{400}", "7.5", False),
        ("7.5", "10^{400}", False),
        ("10^{400}", "10^{400} + 1", False),
        ("10^{400}", "100^{200}", True),
        (r"1.5 \times 10^{400}", r"15 \times 10^{399}", True),
        (r"1.5 \times 10^{400}", r"16 \times 10^{399}", False),
        (r"\sqrt{2} \cdot 10^{400}", "3", False),
        (r"e^{1000}", r"e \cdot e^{999}", True),
        # neighbours of large numbers, and small numbers
        ("2^{44}", "2^{44}-1", False),
        ("2^{44}", "17592186044415", False),
        ("2^{44}", "17592186044416", True),
        ("x = 2^{44}", "2^{44}-1", False),
        ("9507499300049998500", r"\sum_{k=1}^{99} k^9", True),
        ("9507499300049998501", r"\sum_{k=1}^{99} k^9", False),
        (r"\frac{2^{44}}{3}", r"\frac{2^{44}-1}{3}", False),
        (r"1-\frac{1}{2^{44}}", "1", False),
        (r"\frac{1}{60!}", r"\frac{1}{63!}", False),
        # irrational numbers
        ("10^{15}", r"\sqrt{10^{30}+1}", False),
        (r"\sqrt{2}", r"\sqrt{2}+10^{-20}", False),
        (r"\frac{\pi}{60!}", r"\frac{\pi}{63!}", False),
        ("e^{-50}", "e^{-51}", False),
        (r"\frac{1}{\sqrt{2}}", r"\frac{\sqrt{2}}{2}", True),
        (r"1+\sqrt{2}", r"\sqrt{3+2\sqrt{2}}", True),
        ("2", r"\sqrt{7+4\sqrt{3}} - \sqrt{3}", True),
        (r"60\ln 2", r"\ln(2^{60})", True),
        # a decimal on one side allows rounding
        (r"\sqrt{2}", "1.41421356237", True),
        (r"\sqrt{2}", "1.41421", False),
        (r"2^{44}", r"1.75921860444 \times 10^{13}", True),
        ("602000000000000000000000", r"6.02 \times 10^{23}", True),
        ("9\\%", "9", True),
        (r"\frac{9}{100}", "9\\%", True),
    ],
)
def test_exact_values_are_compared_exactly(gold: str, answer: str, correct: bool) -> None:
    """A tolerance applies only where one side is a decimal, and never to infinity."""
    assert compare(answer, gold).correct is correct


@given(st.integers(-(10**9), 10**9), st.integers(1, 10**4))
@settings(max_examples=30)
def test_equal_numbers_in_other_notations(numerator: int, denominator: int) -> None:
    written = rf"\frac{{{numerator}}}{{{denominator}}}"
    assert compare(written, f"{3 * numerator}/{3 * denominator}").correct
    assert not compare(written, f"{numerator + 1}/{denominator}").correct
    assert compare(f"{numerator:,}", str(numerator)).correct


@given(st.text(max_size=80), st.text(min_size=1, max_size=20))
@settings(max_examples=60)
def test_no_text_raises(response: str, gold: str) -> None:
    grade = mathematics.grade_here(response, gold)
    assert isinstance(grade, Grade) and grade.reason


@pytest.mark.parametrize("text", ["9^{9^{9^9}}", "10^{10^{10}}", "10000!", "x^{1001}", "3 ** 2 ** 50", "2^{-99999}"])
def test_too_large_expressions_are_not_evaluated(text: str) -> None:
    assert too_large(text)


@pytest.mark.parametrize("text", ["e^{x^2}", "2^6 * 3^5 * 5^4", "2^{100}", "10!", "x^{2n} + y^3"])
def test_ordinary_powers_are_read(text: str) -> None:
    assert not too_large(text)


HOPELESS = r"\boxed{\sum_{n=1}^{\infty} \frac{1}{n^{1.1} \sin(n)}}"


def test_a_timeout_fails_only_its_own_response() -> None:
    """One response of a chunk hangs: the others are graded, and the next call works."""
    pairs = [(rf"\boxed{{{i}}}", str(i - i % 2)) for i in range(6)]
    grades = grade_all([*pairs[:3], (HOPELESS, "3"), *pairs[3:]], deadline_s=1.0)
    assert [v.correct for v in grades] == [True, False, True, False, False, True, False]
    assert grades[3].reason == "timeout"
    assert grade("The answer is 4.", "4").correct


def test_grading_off_the_main_thread() -> None:
    """Signals fail there; worker processes do not."""
    found: list[Grade] = []
    thread = threading.Thread(target=lambda: found.append(grade(r"\boxed{\frac{2}{4}}", "0.5")))
    thread.start()
    thread.join(60)
    assert found == [Grade(True, r"\frac{2}{4}", "correct")]


@pytest.mark.skipif(not CASES.is_file(), reason="INTRO_GRADER_CASES names no file of grader cases")
def test_agreement_with_other_graders() -> None:
    """At least 97 % of cases that public graders' test suites agree on; docs/grading.md lists the others."""
    cases = [json.loads(line) for line in CASES.read_text().splitlines()]
    judge = {"answer": compare, "response": mathematics.grade_here}
    wrong = [c["id"] for c in cases if judge[c["form"]](c["prediction"], c["gold"]).correct != c["should_be_equal"]]
    assert len(wrong) <= 0.03 * len(cases), wrong


@given(
    st.fractions(-(10**12), 10**12, max_denominator=400),
    st.fractions(-(10**12), 10**12, max_denominator=400),
)
def test_plain_numbers_are_read_exactly(a: Fraction, b: Fraction) -> None:
    """Every notation of a number equals that number and no other; math-verify agrees on these."""
    forms = [str(a), f"\\frac{{{a.numerator}}}{{{a.denominator}}}"]
    forms += [f"{float(a)}"] if a.denominator in (1, 2, 4, 5, 8, 10) and abs(a) < 10**6 else []
    assert {plain_number(form) for form in forms} == {a}
    assert all(compare(form, str(a)).correct for form in forms)
    if a.denominator == b.denominator == 1:
        assert compare(str(a), str(b)).correct == (a == b)


@pytest.mark.parametrize("text", ["", "x", "1/0", "\\frac{1}{0}", "3 1/2", "1,000", "50%", "2^3", "1e5", "--1"])
def test_other_expressions_are_no_plain_numbers(text: str) -> None:
    assert plain_number(text) is None
