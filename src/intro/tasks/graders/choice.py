"""Multiple choice (GPQA) as in lm-evaluation-harness: zero-shot, the letter after a chain of thought.

No question, option or other text of the benchmark leaves this module: a grade holds a letter.
"""

from __future__ import annotations

import string
from collections.abc import Sequence

from intro.types import Grade, IntroError, Problem, install

LETTERS = "ABCD"

# of lm-eval's task gpqa_diamond_cot_zeroshot, version 2.2
STRICT = r"(?<=The answer is )(.*)(?=.)"
FLEXIBLE = r"(\([A-Z]\))"


def grade_all(pairs: Sequence[tuple[str, Problem]]) -> list[Grade]:
    """Grades of (response, problem) pairs.

    The letter is what follows the first "The answer is " where that is one of the four; else what the flexible filter
    finds: the last letter in parentheses, an option repeated word for word, a letter after a colon.
    """
    return [
        _grade(_letter(strict) or _letter(flexible), problem)
        for (strict, flexible), (_, problem) in zip(extract_all(pairs), pairs, strict=True)
    ]


def _grade(letter: str | None, problem: Problem) -> Grade:
    if letter is None:
        return Grade(False, None, "no answer")
    correct = letter == _letter(problem.answer)
    return Grade(correct, letter, "correct" if correct else "wrong answer")


def extract_all(pairs: Sequence[tuple[str, Problem]]) -> list[tuple[str, str]]:
    """What lm-eval's filters (strict-match, flexible-extract) leave of each response; "[invalid]" for nothing."""
    try:
        from lm_eval.filters.extraction import MultiChoiceRegexFilter, RegexFilter
    except ImportError as error:
        missing = f"GPQA is graded with lm-eval's filters, and '{error.name}' is not installed"
        raise IntroError(f"{missing}: {install('eval')}") from error
    texts = [[text] for text, _ in pairs]
    documents = [{"choices": problem.extra["options"]} for _, problem in pairs]
    flexible = MultiChoiceRegexFilter(FLEXIBLE, group_select=-1, ignore_case=True, ignore_punctuation=True)
    both = (RegexFilter(STRICT).apply(texts, documents), flexible.apply(texts, documents))
    return [(strict[0], loose[0]) for strict, loose in zip(*both, strict=True)]


def _letter(text: str) -> str | None:
    # as lm-eval's exact_match compares: no case, no ASCII punctuation
    plain = text.lower().translate(str.maketrans("", "", string.punctuation)).strip().upper()
    return plain if len(plain) == 1 and plain in LETTERS else None
