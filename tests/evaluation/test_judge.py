"""The judge model of Fig. 6: it judges correct responses only, and its judgements are collected."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import toy
from intro import experiments
from intro.analysis.data.collect import grades_of
from intro.config import Config, Verifier, parse
from intro.evaluation import judge as judging
from intro.evaluation.judge import accepted, in_template, judge, question
from intro.experiments import Cell, base_folder, suite_file
from intro.model.fetch import fetch_judge
from intro.tasks.jsonl import GENERATION_KEYS, GRADE_KEYS, read_jsonl, read_problems, write_jsonl
from intro.types import IntroError, Problem

CELL = Cell("qwen2-s", "base", "base", 0)
VERIFIER = {"checkpoint": "", "prompt": "{question} {answer} {response}", "max_response_tokens": 3}


@pytest.fixture
def config(toy_root: Path, toy_config: Config, tmp_path: Path) -> Config:
    """The toy world with a judge, and graded responses of one suite: the first problem right, the others wrong."""
    mapping = toy.mapping(tmp_path)
    mapping["verifier"] = VERIFIER | {"checkpoint": str(base_folder(toy_config, "qwen3-m"))}
    mapping["evaluation"]["suites"]["answer_in_prompt"] = {
        "benchmarks": ["chain-2"],
        "prompt": "posterior",
        "methods": ["base"],
    }
    config = parse(mapping)
    problems = read_problems(experiments.problems_file(config, "chain-2"))
    said = [(p, j) for p in problems for j in range(2)]
    graded = [("chain-2", p.id, j, int(p is problems[0]), "", None, None, 4, 0) for p, j in said]
    spoken = [("chain-2", p.id, j, 4, 0, f"{j} + {j} = 0 ;") for p, j in said]
    for name, keys, lines in (("grades", GRADE_KEYS, graded), ("generations", GENERATION_KEYS, spoken)):
        file = suite_file(config, CELL, "answer_in_prompt", f"{name}.jsonl")
        write_jsonl(file, [dict(zip(keys, values, strict=True)) for values in lines])
    return config


def test_correct_responses_are_judged_and_collected(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two correct responses, one accepted; wrong responses are not judged and not verified."""
    asked: list[str] = []

    def replies(verifier: Verifier, folder: Path, prompts: list[str], batch: int) -> list[str]:
        asked.extend(prompts)
        return ["Yes.", "no, it copies"]

    monkeypatch.setattr(judging, "answer", replies)
    judge(config, CELL, "answer_in_prompt")
    first = read_problems(experiments.problems_file(config, "chain-2"))[0]
    assert asked == [f"{first.question} {first.answer} {j} + {j} = 0 ;" for j in range(2)]
    rows = grades_of(config, [(CELL, "answer_in_prompt")], experiments.judged_evaluations(config))
    assert list(rows.correct[:4]) == [1, 1, 0, 0] and list(rows.verified[:2]) == [1, 0]
    assert rows.verified[2:].isna().all()


def test_a_real_model_answers_every_prompt(config: Config) -> None:
    """Fetched like any checkpoint, prompted without a template where it has none, greedy."""
    fetch_judge(config)
    judge(config, CELL, "answer_in_prompt")
    file = suite_file(config, CELL, "answer_in_prompt", "judged.jsonl")
    lines = read_jsonl(file, ("reply", "verified"), "")
    assert len(lines) == 2 and {line["verified"] for line in lines} <= {0, 1}
    assert json.loads(file.with_name("judged.record.json").read_text())["judged"] == 2


def test_chat_models_are_asked_in_their_template(config: Config, tmp_path: Path) -> None:
    folder = tmp_path / "chat"
    fetch_judge(config)
    source = experiments.judge_folder(config)
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_text((source / name).read_text())
    assert in_template(folder, ["a"]) == ["a"]
    template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
    settings = json.loads((folder / "tokenizer_config.json").read_text()) | {"chat_template": template}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    assert in_template(folder, ["a", "b"]) == ["<user>a<assistant>", "<user>b<assistant>"]


@pytest.mark.parametrize(
    ("reply", "accept"),
    [("Yes", True), (" **yes**, since", True), ("yes.", True), ("No", False), ("", False), ("I say yes", False)],
)
def test_the_first_word_decides(reply: str, accept: bool) -> None:
    assert accepted(Verifier(**VERIFIER), reply) is accept


def test_braces_in_responses_are_left_alone() -> None:
    """LaTeX has many braces; only the template's own fields are filled."""
    problem = Problem("p", "math500", r"What is $\frac{1}{2}$?", r"\frac{1}{2}")
    assert question(Verifier(**VERIFIER), problem, "{x}") == r"What is $\frac{1}{2}$? \frac{1}{2} {x}"


def test_a_config_without_a_judge_raises_a_clear_error(toy_config: Config) -> None:
    with pytest.raises(IntroError, match="names no judge model"):
        judge(toy_config, CELL, "main")
    assert experiments.judged_evaluations(toy_config) == []
