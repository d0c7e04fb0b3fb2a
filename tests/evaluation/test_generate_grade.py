"""From a checkpoint to scores on disk: complete and repeatable; errors name the damaged file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intro.config import Config
from intro.evaluation.generate import generate
from intro.evaluation.grade import grade, score
from intro.experiments import Cell, problems_file, suite_file
from intro.tasks.jsonl import GENERATION_KEYS, GRADE_KEYS, read_jsonl, read_problems
from intro.tasks.tiny_world.checking import grade as check
from intro.types import IntroError

BASE = Cell("qwen2-s", "base", "base", 0)


def file_of(config: Config, name: str) -> Path:
    return suite_file(config, BASE, "main", name)


@pytest.fixture
def generated(toy_config: Config) -> Config:
    generate(toy_config, BASE, ["main"])
    return toy_config


def solve(config: Config) -> None:
    """Replace the random model's texts by correct ones, except sample 1 of every avg@k problem."""
    problems = {p.id: p for b in config.data.benchmarks for p in read_problems(problems_file(config, b))}
    file = file_of(config, "generations.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for line in lines:
        line["text"] = f"answer {problems[line['problem']].answer}" if line["sample"] == 0 else "answer no"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_every_problem_is_answered_k_times_and_graded(generated: Config) -> None:
    """4 problems once and 3 twice; the grades are those of the stored text."""
    lines = read_jsonl(file_of(generated, "generations.jsonl"), GENERATION_KEYS, "")
    assert len(lines) == len({(x["problem"], x["sample"]) for x in lines}) == 4 + 3 * 2
    assert all(0 < x["tokens"] <= 30 and (not x["truncated"] or x["tokens"] == 30) for x in lines)
    grade(generated, BASE, ["main"])
    problems = {p.id: p for b in generated.data.benchmarks for p in read_problems(problems_file(generated, b))}
    graded = read_jsonl(file_of(generated, "grades.jsonl"), GRADE_KEYS, "")
    for line, row in zip(lines, graded, strict=True):
        given = check(line["text"], problems[line["problem"]].answer)
        assert (row["problem"], row["sample"], row["tokens"]) == (line["problem"], line["sample"], line["tokens"])
        assert (row["correct"], row["reason"], row["extracted"]) == (given.correct, given.reason, given.extracted)


def test_scores_are_percentages_of_what_was_solved(generated: Config) -> None:
    """All correct at avg@1, half at avg@2; an answer without its steps is correct and not verified."""
    solve(generated)
    grade(generated, BASE, ["main"])
    scores = json.loads(file_of(generated, "score.json").read_text())["scores"]
    assert (scores["chain-2"]["value"], scores["chain-2"]["problems"], scores["chain-2"]["samples"]) == (100, 4, 1)
    assert (scores["chain-3"]["value"], scores["chain-3"]["problems"], scores["chain-3"]["samples"]) == (50, 3, 2)
    assert {g["verified"] for g in read_jsonl(file_of(generated, "grades.jsonl"), GRADE_KEYS, "")} == {0}


def test_generation_repeats_and_says_where_it_came_from(generated: Config) -> None:
    """The same config gives the same file, another seed another file; the record has the weights' hash."""
    before = file_of(generated, "generations.jsonl").read_bytes()
    generate(generated, BASE, ["main"])
    assert file_of(generated, "generations.jsonl").read_bytes() == before
    other = Cell("qwen2-s", "intro", "paper", 1)
    shutil.copytree(BASE.weights_folder(generated), other.weights_folder(generated))
    generate(generated, other, ["main"])
    assert suite_file(generated, other, "main", "generations.jsonl").read_bytes() != before
    record = json.loads(file_of(generated, "generations.record.json").read_text())
    assert len(record["weights_hash"]) == 16 and record["settings"]["evaluation"]["temperature"] == 0.6


def test_all_cells_share_random_numbers(generated: Config) -> None:
    """A checkpoint with the base model's weights gives its responses: paired differences come from weights only."""
    trained = Cell("qwen2-s", "intro", "paper", 0)
    shutil.copytree(BASE.weights_folder(generated), trained.weights_folder(generated))
    generate(generated, trained, ["main"])
    same = suite_file(generated, trained, "main", "generations.jsonl").read_bytes()
    assert same == file_of(generated, "generations.jsonl").read_bytes()


def test_suites_that_share_a_process_are_as_each_alone(generated: Config) -> None:
    """Loading a checkpoint once for several suites changes no byte of their files; each has a record of its own."""
    main = generated.evaluation.suites["main"]
    suites = {"main": main, "answer_in_prompt": main.model_copy(update={"prompt": "posterior"})}
    both = generated.model_copy(update={"evaluation": generated.evaluation.model_copy(update={"suites": suites})})
    files = [suite_file(both, BASE, suite, name) for suite in suites for name in ("generations.jsonl", "grades.jsonl")]
    for suite in suites:
        generate(both, BASE, [suite])
        grade(both, BASE, [suite])
    alone = [file.read_bytes() for file in files]
    assert alone[0] != alone[2]
    generate(both, BASE, ["answer_in_prompt", "main"])
    grade(both, BASE, ["answer_in_prompt", "main"])
    assert [file.read_bytes() for file in files] == alone
    record = json.loads(suite_file(both, BASE, "answer_in_prompt", "generations.record.json").read_text())
    assert record["settings"]["suite"]["prompt"] == "posterior"


def edit(change: Callable[[list[str]], list[str]]) -> Callable[[Path], None]:
    def apply(file: Path) -> None:
        file.write_text("\n".join(change(file.read_text().splitlines())) + "\n")

    return apply


def without(line: str, key: str) -> str:
    return json.dumps({k: v for k, v in json.loads(line).items() if k != key})


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "line cut": (edit(lambda x: [x[0], x[1][:30], *x[2:]]), "line 2 is not JSON"),
    "key missing": (edit(lambda x: [*x[:2], without(x[2], "text"), *x[3:]]), "line 3 lacks text"),
    "line is a list": (edit(lambda x: ["[]", *x[1:]]), "line 1 lacks"),
    "rows missing": (edit(lambda x: x[:-1]), "expected 10 different responses, found 9 in 9 lines"),
    "row twice": (edit(lambda x: [*x[:-1], x[0]]), "expected 10 different responses, found 9 in 10 lines"),
    "empty": (lambda f: f.write_text(""), "expected 10 different responses, found 0"),
    "unknown problem": (
        edit(lambda x: [json.dumps(json.loads(x[0]) | {"problem": "chain-9/test/0"}), *x[1:]]),
        "problem 'chain-9/test/0' is not in the suite's problems",
    ),
    "binary": (lambda f: f.write_bytes(b"\xff\xfe" + f.read_bytes()), "line 1 is not JSON"),
    "missing": (lambda f: f.unlink(), "no such file"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_generations_raise_a_clear_error(generated: Config, kind: str) -> None:
    """The error names the file, the line where there is one, and a remedy; no grades are written."""
    damage, message = DAMAGE[kind]
    file = file_of(generated, "generations.jsonl")
    damage(file)
    with pytest.raises(IntroError) as error:
        grade(generated, BASE, ["main"])
    text = str(error.value)
    assert str(file) in text and message in text and "\n" not in text and "generate" in text
    assert not file_of(generated, "grades.jsonl").exists() and not file_of(generated, "score.json").exists()


@pytest.mark.parametrize(
    ("cell", "suite", "message"),
    [
        (Cell("gpt", "base", "base", 0), "main", "model: unknown 'gpt'"),
        (Cell("qwen2-s", "ppo", "paper", 0), "main", "method: unknown 'ppo'"),
        (BASE, "ood", "suite: unknown 'ood'; this config has main"),
    ],
)
def test_unknown_names_raise_a_clear_error(toy_config: Config, cell: Cell, suite: str, message: str) -> None:
    for command in (generate, grade):
        with pytest.raises(IntroError, match=message):
            command(toy_config, cell, [suite])


def test_generation_without_a_checkpoint_raises_a_clear_error(toy_config: Config) -> None:
    with pytest.raises(IntroError, match="expected a Hugging Face model folder"):
        generate(toy_config, Cell("qwen2-s", "intro", "paper", 0), ["main"])


# ---------------------------------------------------------------- scores


def lines_of(benchmark: str, grades: list[list[int]], tokens: int = 7) -> list[dict]:
    return [
        {"benchmark": benchmark, "problem": f"{benchmark}/{i}", "sample": j, "correct": c, "tokens": tokens}
        for i, row in enumerate(grades)
        for j, c in enumerate(row)
    ]


@given(st.lists(st.integers(0, 1), min_size=1, max_size=20), st.integers(1, 9))
def test_constant_grades_have_the_same_mean_at_any_k(solved: list[int], k: int) -> None:
    """avg@k of a model that always gives the same answer is its accuracy, for any k."""
    got = score(lines_of("b", [[c] * k for c in solved]))["b"]
    assert got["value"] == pytest.approx(100 * sum(solved) / len(solved))
    assert (got["problems"], got["samples"], got["mean_tokens"]) == (len(solved), k, 7)


@given(st.lists(st.lists(st.integers(0, 1), min_size=3, max_size=3), min_size=1, max_size=8), st.randoms())
def test_scores_do_not_depend_on_the_order_of_lines(grades: list[list[int]], random) -> None:
    lines = lines_of("b", grades) + lines_of("c", [[1, 1, 1]], tokens=3)
    shuffled = random.sample(lines, len(lines))
    first, second = score(lines), score(shuffled)
    assert first["b"]["value"] == pytest.approx(second["b"]["value"])
    assert second["c"] == {"value": 100, "problems": 1, "samples": 3, "mean_tokens": 3}


def test_every_problem_has_the_same_weight() -> None:
    """The mean is over problems of the share of their samples: (1 + 0 + 1/2) / 3."""
    assert score(lines_of("b", [[1, 1], [0, 0], [0, 1]]))["b"]["value"] == pytest.approx(50)
