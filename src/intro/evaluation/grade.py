"""Grading of stored generations: grades, verified rationales and the mean per benchmark. Imports no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from intro.config import Config
from intro.experiments import Cell, check_evaluation, problems_file, suite_file
from intro.infra.files import write_json
from intro.infra.provenance import Provenance
from intro.tasks.jsonl import AGAIN, GENERATION_KEYS, GRADE_KEYS, read_jsonl, read_problems, write_jsonl
from intro.tasks.registry import TaskSource, load_source
from intro.types import IntroError


def grade(config: Config, cell: Cell, suites: Sequence[str]) -> None:
    """Grade the stored generations of suites: grades.jsonl, and score.json with the mean per benchmark.

    Raises IntroError for unknown names, and for generations that are missing, damaged or not those of the suite.
    """
    for suite in suites:
        check_evaluation(config, cell, suite)
    source = load_source(config.data, config.prompts, config.seed)
    for suite in suites:
        watch = Provenance()
        file = suite_file(config, cell, suite, "generations.jsonl")
        lines = graded(config, suite, file, source)
        write_jsonl(suite_file(config, cell, suite, "grades.jsonl"), lines)
        record = watch.record(settings={"suite": suite}, seed=cell.seed, inputs={"generations": file})
        write_json(suite_file(config, cell, suite, "score.json"), {"scores": score(lines), "record": record})


def graded(config: Config, suite: str, file: Path, source: TaskSource) -> list[dict[str, Any]]:
    """One line per response of a file of generations. Raises IntroError where they are not those of the suite."""
    benchmarks = config.evaluation.suites[suite].benchmarks
    known = {p.id: p for b in benchmarks for p in read_problems(problems_file(config, b))}
    responses = read_jsonl(file, GENERATION_KEYS, AGAIN.format("generate"))
    for line in responses:
        if line["problem"] not in known:
            raise IntroError(f"{file}: problem '{line['problem']}' is not in the suite's problems; generate it again")
    pairs = [(line["text"], known[line["problem"]]) for line in responses]
    grades = source.grade_all(pairs)
    # rationales of wrong answers are not verified
    right = [pair for pair, given in zip(pairs, grades, strict=True) if given.correct]
    verified = iter(source.verify_all(right))
    lines = []
    for line, given in zip(responses, grades, strict=True):
        follows = next(verified) if given.correct else False
        values = (line["benchmark"], line["problem"], line["sample"], int(given.correct), given.reason,
                  given.extracted, None if follows is None else int(follows), line["tokens"],
                  int(line["truncated"]))  # fmt: skip
        lines.append(dict(zip(GRADE_KEYS, values, strict=True)))
    check_complete(file, lines, config, known)
    return lines


def check_complete(file: Path, lines: list[dict[str, Any]], config: Config, known: dict[str, Any]) -> None:
    """Raises IntroError unless every problem has as many responses as its benchmark has samples."""
    expected = sum(config.data.benchmarks[p.benchmark].samples for p in known.values())
    distinct = len({(line["problem"], line["sample"]) for line in lines})
    if not len(lines) == distinct == expected:
        raise IntroError(
            f"{file}: expected {expected} different responses, found {distinct} in {len(lines)} lines; "
            + AGAIN.format("generate")
        )


def score(grades: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Per benchmark: the share of correct samples, averaged over problems (percent), and mean tokens of a response."""
    correct: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    tokens: dict[str, list[int]] = defaultdict(list)
    for line in grades:
        correct[line["benchmark"]][line["problem"]].append(line["correct"])
        tokens[line["benchmark"]].append(line["tokens"])
    return {
        benchmark: {
            "value": 100 * sum(sum(v) / len(v) for v in problems.values()) / len(problems),
            "problems": len(problems),
            "samples": max(len(v) for v in problems.values()),
            "mean_tokens": sum(tokens[benchmark]) / len(tokens[benchmark]),
        }
        for benchmark, problems in correct.items()
    }
