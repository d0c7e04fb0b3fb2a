"""Generation: every problem of a suite by one checkpoint. Grading is another rule: a mended grader needs no model."""

from __future__ import annotations

from tqdm import tqdm

from intro.config import Config
from intro.lm.engine import Sampling
from intro.lm.published import serve
from intro.lm.text import Text, render
from intro.plan import Cell, check_evaluation, problems_file, suite_file
from intro.provenance import Stopwatch, weights_digest, write_json
from intro.seeds import generator_for
from intro.tasks.store import GENERATION_KEYS, read_problems, write_jsonl


def generate(config: Config, cell: Cell, suite: str) -> None:
    """Answer every problem of a suite, k times where its benchmark says so: generations.jsonl and its record."""
    check_evaluation(config, cell, suite)
    watch, settings = Stopwatch(), config.evaluation
    folder = cell.weights(config)
    text = Text.from_folder(folder)
    engine = serve(config.models[cell.model].hardware, folder, text, settings.batch)
    chosen = settings.suites[suite]
    lines = []
    for benchmark in tqdm(chosen.benchmarks, desc=f"{cell.model} {cell.method} {suite}", unit="benchmark"):
        problems = read_problems(problems_file(config, benchmark))
        samples, sampling = config.data.benchmarks[benchmark].samples, sampling_of(config, benchmark)
        asked = [(p, j) for p in problems for j in range(samples)]
        prompts = text.prompts(render(config.prompts[chosen.prompt], p) for p, _ in asked)
        # the seed names neither method nor model: all cells answer with common random numbers
        generator = generator_for("generate", config.seed, cell.seed, suite, benchmark)
        for (problem, j), response in zip(asked, engine.generate(prompts, sampling, generator), strict=True):
            values = (benchmark, problem.id, j, len(response.tokens), response.truncated, text.decode(response.tokens))
            lines.append(dict(zip(GENERATION_KEYS, values, strict=True)))
    out = suite_file(config, cell, suite, "generations.jsonl")
    write_jsonl(out, lines)
    record = watch.record(
        settings={"evaluation": settings.model_dump(exclude={"suites"}), "suite": chosen.model_dump()},
        seed=cell.seed,
        inputs={"weights": folder},
        weights_hash=weights_digest(folder),
    )
    write_json(out.with_name("generations.record.json"), record)


def sampling_of(config: Config, benchmark: str) -> Sampling:
    """A benchmark's own sampling where it has one, else the one that all share."""
    own, shared = config.data.benchmarks[benchmark], config.evaluation
    return Sampling(
        max_tokens=shared.max_response_tokens if own.max_response_tokens is None else own.max_response_tokens,
        temperature=shared.temperature if own.temperature is None else own.temperature,
        top_p=shared.top_p if own.top_p is None else own.top_p,
    )
