"""The judge model behind Fig. 6: does a correct response derive its answer, or only state it?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tqdm import tqdm

from intro.config import Config, Verifier
from intro.evaluation.serve import serve
from intro.experiments import Cell, check_evaluation, judge_folder, problems_file, suite_file
from intro.infra.provenance import Provenance
from intro.model.tokenizer import ModelTokenizer
from intro.rollout.sampling import Sampling
from intro.tasks.jsonl import AGAIN, GENERATION_KEYS, GRADE_KEYS, JUDGED_KEYS, read_jsonl, read_problems, write_jsonl
from intro.types import IntroError, Problem


def judge(config: Config, cell: Cell, suite: str) -> None:
    """Judge every correct response of a suite: judged.jsonl and its record. Wrong responses are not judged.

    Raises IntroError for unknown names, without a judge model in the config, and without graded responses.
    """
    check_evaluation(config, cell, suite)
    if config.verifier is None:
        raise IntroError("verifier: this config names no judge model; config/README.md describes the key")
    watch, verifier, folder = Provenance(), config.verifier, judge_folder(config)
    correct, prompts = questions(config, verifier, cell, suite)
    replies = answer(verifier, folder, prompts, config.evaluation.batch) if prompts else []
    lines = []
    for line, reply in zip(correct, replies, strict=True):
        values = (line["benchmark"], line["problem"], line["sample"], int(accepted(verifier, reply)), reply.strip())
        lines.append(dict(zip(JUDGED_KEYS, values, strict=True)))
    out = suite_file(config, cell, suite, "judged.jsonl")
    write_jsonl(out, lines)
    inputs = {"grades": suite_file(config, cell, suite, "grades.jsonl"), "judge": folder}
    record = {"settings": verifier.model_dump(), "seed": None, "judged": len(lines)}
    watch.write(out.with_suffix(".record.json"), inputs=inputs, **record)


def questions(config: Config, verifier: Verifier, cell: Cell, suite: str) -> tuple[list[dict[str, Any]], list[str]]:
    """The grades of a suite's correct responses, and the judge's prompt for each."""
    generations, grades = (suite_file(config, cell, suite, f"{name}.jsonl") for name in ("generations", "grades"))
    responses = read_jsonl(generations, GENERATION_KEYS, AGAIN.format("generate"))
    texts = {(line["problem"], line["sample"]): line["text"] for line in responses}
    correct = [line for line in read_jsonl(grades, GRADE_KEYS, AGAIN.format("grade")) if line["correct"]]
    benchmarks = config.evaluation.suites[suite].benchmarks
    problems = {p.id: p for name in benchmarks for p in read_problems(problems_file(config, name))}
    prompts = [question(verifier, problems[x["problem"]], texts[x["problem"], x["sample"]]) for x in correct]
    return correct, prompts


def question(verifier: Verifier, problem: Problem, response: str) -> str:
    """The judge's prompt as plain text."""
    return verifier.prompt.format(question=problem.question, answer=problem.answer, response=response)


def answer(verifier: Verifier, folder: Path, prompts: list[str], batch: int) -> list[str]:
    """The judge's greedy replies. A chat model is prompted in its own template."""
    tokenizer = ModelTokenizer.from_folder(folder)
    engine = serve(verifier.hardware, folder, tokenizer, batch, gpus=verifier.hardware.gpus or 1)
    encoded = [tokenizer.encode(prompt) for prompt in in_template(folder, prompts)]
    with tqdm(total=len(encoded), desc="judge", unit="response") as bar:
        replies = engine.generate(encoded, Sampling(verifier.max_response_tokens, temperature=0.0), None, bar.update)
    return [tokenizer.decode(reply.tokens) for reply in replies]


def in_template(folder: Path, prompts: list[str]) -> list[str]:
    """Each prompt as a user's message in the tokenizer's chat template; unchanged where it has none."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if not tokenizer.chat_template:
        return prompts
    messages = [[{"role": "user", "content": prompt}] for prompt in prompts]
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


def accepted(verifier: Verifier, reply: str) -> bool:
    """Whether the first word of the reply accepts the response, whatever its case and punctuation."""
    words = reply.lower().split()
    return bool(words) and words[0].strip("*_\"'.,:;!") == verifier.accepts.lower()
