"""The published sets: their addresses, columns, numbers of rows, readers and graders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from intro.tasks.published import readers
from intro.tasks.published.readers import ANSWER, GPQA_OPTIONS, PROBLEM, Fields, Row
from intro.types import IntroError

MATHEMATICS = "mathematics"
PROBLEM_ANSWER = (PROBLEM, ANSWER)
MATH_SUBJECTS = "algebra counting_and_probability geometry intermediate_algebra number_theory prealgebra precalculus"


@dataclass(frozen=True, slots=True)
class Collection:
    """One published set. `read` raises ValueError for a row that it cannot read; its reason quotes no question."""

    name: str
    hub_id: str
    split: str
    rows: int
    columns: tuple[tuple[str, ...], ...]  # for each, its names in copies; one is required
    read: Callable[[Row, int], Fields]
    grader: str  # a name in intro.tasks.graders.dispatch
    configs: tuple[str, ...] = ("default",)
    revision: str | None = None  # commit; None: the lock holds the commit of the first fetch
    other_rows: tuple[int, ...] = ()  # counts of copies that differ
    files: tuple[str, ...] = ()  # JSON Lines of a set that the Hub serves by a script, which is never run
    page: str | None = None  # where the conditions of a gated set are accepted

    def missing(self, row: Row) -> list[str]:
        """The columns that a row lacks, alternatives joined by "or"."""
        return [" or ".join(names) for names in self.columns if not any(name in row for name in names)]


def _names(*names: str) -> tuple[tuple[str, ...], ...]:
    return tuple((name,) for name in names)


def _math(split: str, rows: int) -> Collection:
    columns, subjects = (PROBLEM, *_names("solution", "level")), tuple(MATH_SUBJECTS.split())
    return Collection(
        f"math_{split}", "EleutherAI/hendrycks_math", split, rows, columns, readers.math, MATHEMATICS, subjects
    )


# name, Hub id, split, rows, columns, reader, grader
_PUBLISHED = (
    Collection("math500", "HuggingFaceH4/MATH-500", "test", 500, PROBLEM_ANSWER, readers.math500, MATHEMATICS,
               revision="ff5b20257d8185524591543f8ff5993951537bb8"),
    Collection("minerva_math", "math-ai/minervamath", "test", 272, (PROBLEM, ("answer", "solution")),
               readers.minerva, MATHEMATICS),
    Collection("olympiadbench", "Hothan/OlympiadBench", "train", 675, (PROBLEM, ("final_answer", "answer")),
               readers.olympiad, MATHEMATICS, configs=("OE_TO_maths_en_COMP",), other_rows=(674,),
               revision="3b426ee1d587c71b495146dde9f3e995ee7ac59f"),
    Collection("college_math", "di-zhang-fdu/College_Math_Test", "test", 2818, PROBLEM_ANSWER, readers.stated,
               MATHEMATICS),
    Collection("amc23", "math-ai/amc23", "test", 40, PROBLEM_ANSWER, readers.contest, MATHEMATICS),
    Collection("aime25", "math-ai/aime25", "test", 30, PROBLEM_ANSWER, readers.contest, MATHEMATICS),
    _math("train", 7500),
    _math("test", 5000),
    Collection("livecodebench", "livecodebench/code_generation_lite", "test", 880,  # release 5, the sum of its files
               _names("question_content", "starter_code", "public_test_cases", "private_test_cases", "metadata"),
               readers.livecodebench, "stdin_program",
               files=("test.jsonl", "test2.jsonl", "test3.jsonl", "test4.jsonl", "test5.jsonl")),
    Collection("bigcodebench", "bigcode/bigcodebench", "v0.1.4", 1140,
               _names("task_id", "complete_prompt", "code_prompt", "test", "entry_point"),
               readers.bigcodebench, "library_program"),
    Collection("gpqa", "Idavidrein/gpqa", "train", 198, _names("Question", *GPQA_OPTIONS), readers.gpqa, "choice",
               configs=("gpqa_diamond",), revision="633f5ee89ab8ad4522a9f850766b73f62147ffdd",
               page="https://huggingface.co/datasets/Idavidrein/gpqa"),
    Collection("humaneval", "openai/openai_humaneval", "test", 164, _names("task_id", "prompt", "test", "entry_point"),
               readers.humaneval, "program", configs=("openai_humaneval",)),
    Collection("ifeval", "google/IFEval", "train", 541, _names("key", "prompt", "instruction_id_list", "kwargs"),
               readers.ifeval, "instructions", revision="966cd89545d6b6acfd7638bc708b98261ca58e84"),
)  # fmt: skip
COLLECTIONS = {collection.name: collection for collection in _PUBLISHED}


def collection(name: str) -> Collection:
    """The set of this name. Raises IntroError that lists the known ones."""
    if name not in COLLECTIONS:
        raise IntroError(f"data.benchmarks: expected one of {', '.join(COLLECTIONS)}, found '{name}'")
    return COLLECTIONS[name]
