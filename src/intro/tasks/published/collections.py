"""The published sets: where each one is, which columns its rows have, how many there are, and who grades them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from intro.tasks.published import readers
from intro.tasks.published.readers import ANSWER, GPQA_OPTIONS, PROBLEM, Fields, Row
from intro.types import IntroError

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


def _math_split(split: str, rows: int) -> Collection:
    return Collection(
        name=f"math_{split}",
        hub_id="EleutherAI/hendrycks_math",
        split=split,
        rows=rows,
        columns=(PROBLEM, ("solution",), ("level",)),
        read=readers.math,
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
            read=readers.math500,
            grader="mathematics",
            revision="ff5b20257d8185524591543f8ff5993951537bb8",
        ),
        Collection(
            name="minerva_math",
            hub_id="math-ai/minervamath",
            split="test",
            rows=272,
            columns=(PROBLEM, ("answer", "solution")),
            read=readers.minerva,
            grader="mathematics",
        ),
        Collection(
            name="olympiadbench",
            hub_id="Hothan/OlympiadBench",
            split="train",
            rows=675,
            other_rows=(674,),
            columns=(PROBLEM, ("final_answer", "answer")),
            read=readers.olympiad,
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
            read=readers.stated,
            grader="mathematics",
        ),
        Collection(
            name="amc23",
            hub_id="math-ai/amc23",
            split="test",
            rows=40,
            columns=(PROBLEM, ANSWER),
            read=readers.contest,
            grader="mathematics",
        ),
        Collection(
            name="aime25",
            hub_id="math-ai/aime25",
            split="test",
            rows=30,
            columns=(PROBLEM, ANSWER),
            read=readers.contest,
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
            read=readers.livecodebench,
            grader="stdin_program",
            files=("test.jsonl", "test2.jsonl", "test3.jsonl", "test4.jsonl", "test5.jsonl"),
        ),
        Collection(
            name="bigcodebench",
            hub_id="bigcode/bigcodebench",
            split="v0.1.4",
            rows=1140,
            columns=_names("task_id", "complete_prompt", "code_prompt", "test", "entry_point"),
            read=readers.bigcodebench,
            grader="library_program",
        ),
        Collection(
            name="gpqa",
            hub_id="Idavidrein/gpqa",
            split="train",
            rows=198,
            columns=_names("Question", *GPQA_OPTIONS),
            read=readers.gpqa,
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
            read=readers.humaneval,
            grader="program",
            configs=("openai_humaneval",),
        ),
        Collection(
            name="ifeval",
            hub_id="google/IFEval",
            split="train",
            rows=541,
            columns=_names("key", "prompt", "instruction_id_list", "kwargs"),
            read=readers.ifeval,
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
