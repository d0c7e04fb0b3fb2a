"""Readers of published rows: each turns a row into the fields of a Problem.

Copies of a set name their columns differently, so a reader accepts every known name. A reader gets the row and its
index: what it draws at random (the order of options) depends on nothing else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from random import Random
from typing import Any

from intro.tasks.graders.choice import LETTERS
from intro.tasks.graders.mathematics import extract, last_box

Row = Mapping[str, Any]
Fields = dict[str, Any]  # question, answer and, where there are any, rationale and extra of a Problem

# ---------------------------------------------------------------- mathematics

PROBLEM, ANSWER = ("problem", "question"), ("answer",)


def _first(row: Row, *names: str) -> Any:
    """The value of the first of the columns that is set."""
    value = next((row[name] for name in names if row.get(name) is not None), None)
    if value is None:
        raise ValueError(f"no value for {' or '.join(names)}")
    return value


def stated(row: Row, index: int) -> Fields:
    """A question and its answer."""
    return {"question": _first(row, *PROBLEM), "answer": _text(_first(row, *ANSWER))}


def _text(answer: Any) -> str:
    text = str(answer).strip()
    if not text:
        raise ValueError("the answer is empty")
    return text


def minerva(row: Row, index: int) -> Fields:
    """In copies without an answer column, the answer is in the solution's last box."""
    if row.get("answer") is not None:
        return stated(row, index)
    return {"question": _first(row, *PROBLEM), "answer": boxed(_first(row, "solution"))}


def math500(row: Row, index: int) -> Fields:
    extra = {name: row[name] for name in ("level", "subject", "unique_id") if name in row}
    return {**stated(row, index), "rationale": row.get("solution"), "extra": extra}


def math(row: Row, index: int) -> Fields:
    solution = _first(row, "solution")
    level = re.search(r"\d", str(row["level"]))  # "Level ?" occurs
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


def olympiad(row: Row, index: int) -> Fields:
    """The first of the final answers, as in other evaluations, without the unit."""
    answers = _first(row, "final_answer", "answer")
    answer = answers if isinstance(answers, str) else answers[0] if len(answers) else ""
    context, error = row.get("context"), str(row.get("error") or "").split(",")[0].strip(" $")
    question = _first(row, *PROBLEM)
    extra = {"unit": row["unit"]} if row.get("unit") else {}
    if error:
        extra["tolerance"] = float(error)
    return {"question": f"{context}\n{question}" if context else question, "answer": _text(answer), "extra": extra}


def contest(row: Row, index: int) -> Fields:
    """Contest answers: 27.0 is 27 and 033 is 33."""
    return {"question": _first(row, *PROBLEM), "answer": integer(_first(row, *ANSWER))}


def integer(answer: Any) -> str:
    """The whole number that an answer column holds, without zeros, dollar or degree signs around it."""
    plain = re.sub(r"[\s$,]|\^?\{?\\(?:circ|degree)\}?|°", "", str(answer))
    with suppress(InvalidOperation, OverflowError, ValueError):
        number = Decimal(plain)
        if number == number.to_integral_value():
            return str(int(number))
    raise ValueError(f"expected a whole number as answer, found {str(answer)[:40]!r}")


# ---------------------------------------------------------------- programs, choices, instructions


def humaneval(row: Row, index: int) -> Fields:
    extra = {name: row[name] for name in ("task_id", "prompt", "test", "entry_point")}
    return {"question": row["prompt"], "answer": "", "extra": extra}


def bigcodebench(row: Row, index: int) -> Fields:
    extra = {name: row[name] for name in ("task_id", "code_prompt", "test", "entry_point")}
    return {"question": row["complete_prompt"], "answer": "", "extra": extra}


def livecodebench(row: Row, index: int) -> Fields:
    """Hidden tests stay packed, as published: unpacked they take several times the set's 4 GB."""
    starter = row["starter_code"] or ""
    metadata = row["metadata"] or "{}"
    metadata = json.loads(metadata) if isinstance(metadata, str) else metadata
    how = (
        f"Complete the following code and put the whole of it into one block.\n```python\n{starter}\n```"
        if starter
        else "Put a Python program into one block that reads the input from stdin and writes the answer to stdout.\n"
        "```python\n# the program\n```"
    )
    # the headings of LiveCodeBench's prompts, without an example
    question = f"### Question\n{row['question_content']}\n\n### Format\n{how}\n\n### Answer\n\n"
    extra = {"question_id": row.get("question_id"), "starter_code": starter, "func_name": metadata.get("func_name")}
    extra |= {name: row[name] for name in ("public_test_cases", "private_test_cases")}
    return {"question": question, "answer": "", "extra": extra}


def choice_prompt(question: str, options: Sequence[str]) -> str:
    """A question with four options as lm-evaluation-harness's task gpqa_diamond_cot_zeroshot asks it."""
    listed = "\n".join(f"({letter}) {option}" for letter, option in zip(LETTERS, options, strict=True))
    return f"What is the correct answer to this question:{question}\nChoices:\n{listed}\nLet's think step by step: "


GPQA_OPTIONS = ("Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3", "Correct Answer")


def gpqa(row: Row, index: int) -> Fields:
    """Options in an order that the row's index fixes; the texts are cleaned as lm-evaluation-harness 0.4.13 does."""
    options = [_clean(row[name]) for name in GPQA_OPTIONS]
    right = options[-1]
    Random(f"gpqa/{index}").shuffle(options)
    question, answer = choice_prompt(row["Question"], options), LETTERS[options.index(right)]
    return {"question": question, "answer": answer, "extra": {"options": options}}


def _clean(text: str | None) -> str:
    return " " if text is None else text.strip().replace(" [title]", ". ").replace("  ", " ")


def ifeval(row: Row, index: int) -> Fields:
    # in the published table every instruction has every argument; those that do not apply are None
    arguments = [{k: v for k, v in (given or {}).items() if v is not None} for given in row["kwargs"]]
    extra = {"key": row["key"], "instruction_id_list": list(row["instruction_id_list"]), "kwargs": arguments}
    return {"question": row["prompt"], "answer": "", "extra": extra}
