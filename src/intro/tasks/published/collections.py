"""The published sets: where each one lives, how many rows it has, and how a row becomes a problem.

Columns are named as they are published; where copies of a set differ, every known name is given. A reader takes a row
and its index, so that what it draws at random (the order of options) stays the same whatever else is read.
"""

from __future__ import annotations

import base64
import io
import json
import pickle
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from random import Random
from typing import Any

from intro.tasks.graders.mathematics import extract, last_box
from intro.types import IntroError

Row = Mapping[str, Any]
Fields = dict[str, Any]  # question, answer and, where there are any, rationale and extra of a Problem

LARGEST_TESTS = 1 << 30  # bytes of one problem's unit tests, unpacked

MATH_SUBJECTS = (
    "algebra",
    "counting_and_probability",
    "geometry",
    "intermediate_algebra",
    "number_theory",
    "prealgebra",
    "precalculus",
)


@dataclass(frozen=True, slots=True)
class Collection:
    """One published set. `read` raises ValueError, with a reason that quotes no question, for a row it cannot take."""

    name: str
    hub_id: str
    split: str
    rows: int
    columns: tuple[tuple[str, ...], ...]  # for each, the names that copies give it; one of them must be there
    read: Callable[[Row, int], Fields]
    grader: str  # a name in intro.tasks.graders.by_name
    configs: tuple[str, ...] = ("default",)
    revision: str | None = None  # commit; None: the lock pins the one that is fetched first
    other_rows: tuple[int, ...] = ()  # counts of copies that differ
    files: tuple[str, ...] = ()  # JSON Lines of a set that the Hub serves by a script, which is never run
    page: str | None = None  # where the conditions of a gated set are accepted

    def missing(self, row: Row) -> list[str]:
        """The columns that a row lacks, alternatives joined by "or"."""
        return [" or ".join(names) for names in self.columns if not any(name in row for name in names)]


# ---------------------------------------------------------------- mathematics

PROBLEM, ANSWER = ("problem", "question"), ("answer",)


def _first(row: Row, *names: str) -> Any:
    """The value of the first of the columns that is set."""
    value = next((row[name] for name in names if row.get(name) is not None), None)
    if value is None:
        raise ValueError(f"no value for {' or '.join(names)}")
    return value


def _stated(row: Row, index: int) -> Fields:
    """A question and its answer, as most sets have them."""
    return {"question": _first(row, *PROBLEM), "answer": _text(_first(row, *ANSWER))}


def _text(answer: Any) -> str:
    text = str(answer).strip()
    if not text:
        raise ValueError("the answer is empty")
    return text


def _minerva(row: Row, index: int) -> Fields:
    """Copies without an answer column box it at the end of the solution."""
    answer = row.get("answer")
    return {
        "question": _first(row, *PROBLEM),
        "answer": _text(answer) if answer is not None else boxed(_first(row, "solution")),
    }


def _math500(row: Row, index: int) -> Fields:
    extra = {name: row[name] for name in ("level", "subject", "unique_id") if name in row}
    return {**_stated(row, index), "rationale": row.get("solution"), "extra": extra}


def _math(row: Row, index: int) -> Fields:
    solution = _first(row, "solution")
    level = re.search(r"\d", str(row["level"]))  # a few problems have "Level ?"
    extra = {"level": int(level.group()) if level else None}
    return {"question": _first(row, *PROBLEM), "answer": boxed(solution), "rationale": solution, "extra": extra}


def boxed(solution: str) -> str:
    r"""The answer of a reference solution: its last box, also one without braces (\boxed 2), else its last formula."""
    answer = (last_box(solution) or "").strip()
    if not answer:
        bare = re.findall(r"\\(?:boxed|fbox)\s*([^\s${}\\][^${}]*?)\s*(?=[.,;]?\s*\$|[.,;]?\s*\\[\])]|\s|$)", solution)
        answer = bare[-1] if bare else (extract(re.sub(r"\\(?:boxed|fbox)\s*\{\s*\}", "", solution)) or "").strip("$ ")
    if not answer:
        raise ValueError("the solution states no answer")
    return answer


def _olympiad(row: Row, index: int) -> Fields:
    """The first of the final answers, as in others' evaluations; the unit, which golds leave out, stays out."""
    answers = _first(row, "final_answer", "answer")
    answer = answers if isinstance(answers, str) else answers[0] if len(answers) else ""
    context, error = row.get("context"), str(row.get("error") or "").split(",")[0].strip(" $")
    question = _first(row, *PROBLEM)
    extra = {"unit": row["unit"]} if row.get("unit") else {}
    if error:
        extra["tolerance"] = float(error)
    return {"question": f"{context}\n{question}" if context else question, "answer": _text(answer), "extra": extra}


def _integer(row: Row, index: int) -> Fields:
    """Contest answers: 27.0 is 27 and 033 is 33."""
    return {"question": _first(row, *PROBLEM), "answer": integer(_first(row, *ANSWER))}


def integer(answer: Any) -> str:
    """The whole number that an answer column holds, without zeros, dollar or degree signs around it."""
    plain = re.sub(r"[\s$,]|\^?\{?\\(?:circ|degree)\}?|°", "", str(answer))
    try:
        number = Decimal(plain)
        if number == number.to_integral_value():
            return str(int(number))
    except (InvalidOperation, OverflowError, ValueError):
        pass
    raise ValueError(f"expected a whole number as answer, found {str(answer)[:40]!r}")


# ---------------------------------------------------------------- programs, choices, instructions


def _humaneval(row: Row, index: int) -> Fields:
    extra = {name: row[name] for name in ("task_id", "prompt", "test", "entry_point")}
    return {"question": row["prompt"], "answer": "", "extra": extra}


def _bigcodebench(row: Row, index: int) -> Fields:
    extra = {name: row[name] for name in ("task_id", "code_prompt", "test", "entry_point")}
    return {"question": row["complete_prompt"], "answer": "", "extra": extra}


def _livecodebench(row: Row, index: int) -> Fields:
    """Hidden tests stay packed, as published: unpacked they are several times the 4 GB of the set."""
    starter = row["starter_code"] or ""
    metadata = row["metadata"] or "{}"
    metadata = json.loads(metadata) if isinstance(metadata, str) else metadata
    how = (
        f"Complete the following code and put the whole of it into one block.\n```python\n{starter}\n```"
        if starter
        else "Put a Python program into one block that reads the input from stdin and writes the answer to stdout.\n"
        "```python\n# the program\n```"
    )
    return {
        # headings as in LiveCodeBench's own prompts, without an example
        "question": f"### Question\n{row['question_content']}\n\n### Format\n{how}\n\n### Answer\n\n",
        "answer": "",
        "extra": {
            "question_id": row.get("question_id"),
            "starter_code": starter,
            "func_name": metadata.get("func_name"),
            "public_test_cases": row["public_test_cases"],
            "private_test_cases": row["private_test_cases"],
        },
    }


def unit_tests(extra: Mapping[str, Any]) -> list[dict[str, str]]:
    """All tests of a LiveCodeBench problem, each {"input", "output", "testtype"}: public ones first, then hidden ones.

    Raises IntroError when they are not the JSON, or the packed JSON, that the set publishes.
    """
    tests = []
    for name in ("public_test_cases", "private_test_cases"):
        try:
            tests += _unpacked(extra[name])
        except Exception as error:  # a damaged pickle raises almost anything
            raise IntroError(
                f"livecodebench {extra.get('question_id')}: {name} is neither JSON nor packed JSON ({error}); "
                "fetch the set again"
            ) from None
    return tests


def _unpacked(tests: Any) -> list[dict[str, str]]:
    if not isinstance(tests, str):
        return list(tests)
    try:
        return json.loads(tests)
    except ValueError:
        pass
    unpack = zlib.decompressobj()
    pickled = unpack.decompress(base64.b64decode(tests.encode(), validate=True), LARGEST_TESTS)
    if unpack.unconsumed_tail:
        raise ValueError("larger than a gigabyte")
    text = _TextOnly(io.BytesIO(pickled)).load()
    if not isinstance(text, str):
        raise ValueError("not a text inside")
    return json.loads(text)


class _TextOnly(pickle.Unpickler):
    """Unpickles plain values: a pickle that names any class or function is refused before it can call it."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not text")


LETTERS = "ABCD"


def choice_prompt(question: str, options: Sequence[str]) -> str:
    """A question with four options as lm-evaluation-harness's task gpqa_diamond_cot_zeroshot asks it."""
    listed = "\n".join(f"({letter}) {option}" for letter, option in zip(LETTERS, options, strict=True))
    return f"What is the correct answer to this question:{question}\nChoices:\n{listed}\nLet's think step by step: "


GPQA_OPTIONS = ("Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3", "Correct Answer")


def _gpqa(row: Row, index: int) -> Fields:
    """Options in an order that the row's index fixes; the texts are cleaned as lm-evaluation-harness 0.4.13 does."""
    options = [_clean(row[name]) for name in GPQA_OPTIONS]
    right = options[-1]
    Random(f"gpqa/{index}").shuffle(options)
    return {
        "question": choice_prompt(row["Question"], options),
        "answer": LETTERS[options.index(right)],
        "extra": {"options": options},
    }


def _clean(text: str | None) -> str:
    return " " if text is None else text.strip().replace(" [title]", ". ").replace("  ", " ")


def _ifeval(row: Row, index: int) -> Fields:
    # as a table, the set gives every instruction every argument: those that are not its own are None
    arguments = [{k: v for k, v in (given or {}).items() if v is not None} for given in row["kwargs"]]
    extra = {"key": row["key"], "instruction_id_list": list(row["instruction_id_list"]), "kwargs": arguments}
    return {"question": row["prompt"], "answer": "", "extra": extra}


# ---------------------------------------------------------------- the registry


def _names(*names: str) -> tuple[tuple[str, ...], ...]:
    return tuple((name,) for name in names)


def _math_split(split: str, rows: int) -> Collection:
    return Collection(
        name=f"math_{split}",
        hub_id="EleutherAI/hendrycks_math",
        split=split,
        rows=rows,
        columns=(PROBLEM, ("solution",), ("level",)),
        read=_math,
        grader="mathematics",
        configs=MATH_SUBJECTS,
    )


COLLECTIONS: dict[str, Collection] = {
    collection.name: collection
    for collection in (
        Collection(
            name="math500",
            hub_id="HuggingFaceH4/MATH-500",
            split="test",
            rows=500,
            columns=(PROBLEM, ANSWER),
            read=_math500,
            grader="mathematics",
            revision="ff5b20257d8185524591543f8ff5993951537bb8",
        ),
        Collection(
            name="minerva_math",
            hub_id="math-ai/minervamath",
            split="test",
            rows=272,
            columns=(PROBLEM, ("answer", "solution")),
            read=_minerva,
            grader="mathematics",
        ),
        Collection(
            name="olympiadbench",
            hub_id="Hothan/OlympiadBench",
            split="train",
            rows=675,
            other_rows=(674,),
            columns=(PROBLEM, ("final_answer", "answer")),
            read=_olympiad,
            grader="mathematics",
            configs=("OE_TO_maths_en_COMP",),
            revision="3b426ee1d587c71b495146dde9f3e995ee7ac59f",
        ),
        Collection(
            name="college_math",
            hub_id="di-zhang-fdu/College_Math_Test",
            split="test",
            rows=2818,
            columns=(PROBLEM, ANSWER),
            read=_stated,
            grader="mathematics",
        ),
        Collection(
            name="amc23",
            hub_id="math-ai/amc23",
            split="test",
            rows=40,
            columns=(PROBLEM, ANSWER),
            read=_integer,
            grader="mathematics",
        ),
        Collection(
            name="aime25",
            hub_id="math-ai/aime25",
            split="test",
            rows=30,
            columns=(PROBLEM, ANSWER),
            read=_integer,
            grader="mathematics",
        ),
        _math_split("train", 7500),
        _math_split("test", 5000),
        Collection(
            name="livecodebench",
            hub_id="livecodebench/code_generation_lite",
            split="test",
            rows=880,  # release 5, the sum of its files
            columns=_names("question_content", "starter_code", "public_test_cases", "private_test_cases", "metadata"),
            read=_livecodebench,
            grader="stdin_program",
            files=("test.jsonl", "test2.jsonl", "test3.jsonl", "test4.jsonl", "test5.jsonl"),
        ),
        Collection(
            name="bigcodebench",
            hub_id="bigcode/bigcodebench",
            split="v0.1.4",
            rows=1140,
            columns=_names("task_id", "complete_prompt", "code_prompt", "test", "entry_point"),
            read=_bigcodebench,
            grader="library_program",
        ),
        Collection(
            name="gpqa",
            hub_id="Idavidrein/gpqa",
            split="train",
            rows=198,
            columns=_names("Question", *GPQA_OPTIONS),
            read=_gpqa,
            grader="choice",
            configs=("gpqa_diamond",),
            revision="633f5ee89ab8ad4522a9f850766b73f62147ffdd",
            page="https://huggingface.co/datasets/Idavidrein/gpqa",
        ),
        Collection(
            name="humaneval",
            hub_id="openai/openai_humaneval",
            split="test",
            rows=164,
            columns=_names("task_id", "prompt", "test", "entry_point"),
            read=_humaneval,
            grader="program",
            configs=("openai_humaneval",),
        ),
        Collection(
            name="ifeval",
            hub_id="google/IFEval",
            split="train",
            rows=541,
            columns=_names("key", "prompt", "instruction_id_list", "kwargs"),
            read=_ifeval,
            grader="instructions",
            revision="966cd89545d6b6acfd7638bc708b98261ca58e84",
        ),
    )
}


def collection(name: str) -> Collection:
    """The set of this name. Raises IntroError that lists the known ones."""
    if name not in COLLECTIONS:
        raise IntroError(f"data.benchmarks: expected one of {', '.join(COLLECTIONS)}, found '{name}'")
    return COLLECTIONS[name]
