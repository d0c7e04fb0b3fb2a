"""The judge model behind Fig. 6: does a correct response derive its answer, or only state it? One word per response."""

from __future__ import annotations

from pathlib import Path

from tqdm import tqdm

from intro.config import Config, Verifier
from intro.evaluation.serve import serve
from intro.experiments import Cell, check_evaluation, judge_folder, problems_file, suite_file
from intro.infra.files import write_json
from intro.infra.provenance import Provenance
from intro.model.tokenizer import ModelTokenizer
from intro.rollout.sampling import Sampling
from intro.tasks.jsonl import AGAIN, GENERATION_KEYS, GRADE_KEYS, JUDGED_KEYS, read_jsonl, read_problems, write_jsonl
from intro.types import IntroError, Problem


def judge(config: Config, cell: Cell, suite: str) -> None:
    """Read every correct response of a suite: judged.jsonl, and its record. Wrong answers need no judge."""
    check_evaluation(config, cell, suite)
    if config.verifier is None:
        raise IntroError("verifier: this config names no judge model; config/README.md says what the key needs")
    watch, verifier, folder = Provenance(), config.verifier, judge_folder(config)
    file = suite_file(config, cell, suite, "generations.jsonl")
    texts = {
        (line["problem"], line["sample"]): line["text"]
        for line in read_jsonl(file, GENERATION_KEYS, AGAIN.format("generate"))
    }
    graded = suite_file(config, cell, suite, "grades.jsonl")
    grades = read_jsonl(graded, GRADE_KEYS, AGAIN.format("grade"))
    right = [line for line in grades if line["correct"]]
    known = {
        p.id: p for b in config.evaluation.suites[suite].benchmarks for p in read_problems(problems_file(config, b))
    }
    asked = [question(verifier, known[line["problem"]], texts[line["problem"], line["sample"]]) for line in right]
    replies = answer(verifier, folder, asked, config.evaluation.batch) if asked else []
    lines = []
    for line, reply in zip(right, replies, strict=True):
        values = (line["benchmark"], line["problem"], line["sample"], int(accepted(verifier, reply)), reply.strip())
        lines.append(dict(zip(JUDGED_KEYS, values, strict=True)))
    out = suite_file(config, cell, suite, "judged.jsonl")
    write_jsonl(out, lines)
    inputs = {"grades": graded, "judge": folder}
    write_json(
        out.with_name("judged.record.json"),
        watch.record(settings=verifier.model_dump(), seed=None, inputs=inputs, judged=len(lines)),
    )


def question(verifier: Verifier, problem: Problem, response: str) -> str:
    """The judge's prompt as plain text."""
    return verifier.prompt.format(question=problem.question, answer=problem.answer, response=response)


def answer(verifier: Verifier, folder: Path, asked: list[str], batch: int) -> list[str]:
    """The judge's replies, greedy; a chat model is asked in its own template."""
    tokenizer = ModelTokenizer.from_folder(folder)
    engine = serve(verifier.hardware, folder, tokenizer, batch, gpus=verifier.hardware.gpus or 1)
    prompts = [tokenizer.encode(prompt) for prompt in in_template(folder, asked)]
    with tqdm(total=len(prompts), desc="judge", unit="response") as bar:
        replies = engine.generate(prompts, Sampling(verifier.max_response_tokens, temperature=0.0), None, bar.update)
    return [tokenizer.decode(reply.tokens) for reply in replies]


def in_template(folder: Path, asked: list[str]) -> list[str]:
    """Each prompt as the one message of a user, where the tokenizer has a chat template; else as it is."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if not tokenizer.chat_template:
        return asked
    messages = [[{"role": "user", "content": prompt}] for prompt in asked]
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


def accepted(verifier: Verifier, reply: str) -> bool:
    """Whether the reply's first word accepts; punctuation and case do not matter, and an empty reply does not."""
    words = reply.lower().split()
    return bool(words) and words[0].strip("*_\"'.,:;!") == verifier.accepts.lower()
