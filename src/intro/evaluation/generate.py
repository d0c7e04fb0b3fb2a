"""Generation: every problem of a suite by one checkpoint. Grading is another rule: a mended grader needs no model."""

from __future__ import annotations

from tqdm import tqdm

from intro.config import Config
from intro.lm.decoder import Decoder
from intro.lm.engine import Engine, Sampling
from intro.lm.text import Text, render
from intro.plan import Cell, check_evaluation, problems_file, suite_file
from intro.provenance import Stopwatch, file_digest, write_json
from intro.seeds import generator_for
from intro.tasks.store import GENERATION_KEYS, read_problems, write_jsonl


def generate(config: Config, cell: Cell, suite: str) -> None:
    """Answer every problem of a suite, k times where its benchmark says so: generations.jsonl and its record."""
    check_evaluation(config, cell, suite)
    watch, settings = Stopwatch(), config.evaluation
    folder = cell.weights(config)
    text = Text.from_folder(folder)
    engine = Engine(Decoder.from_folder(folder), text.stop, text.pad, settings.batch)
    chosen = settings.suites[suite]
    sampling = Sampling(settings.max_response_tokens, settings.temperature, settings.top_p)
    lines = []
    for benchmark in tqdm(chosen.benchmarks, desc=f"{cell.model} {cell.method} {suite}", unit="benchmark"):
        problems = read_problems(problems_file(config, benchmark))
        samples = config.data.benchmarks[benchmark].samples
        asked = [(p, j) for p in problems for j in range(samples)]
        prompts = text.encode_all(render(config.prompts[chosen.prompt], p) for p, _ in asked)
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
        weights_hash=file_digest(folder / "model.safetensors"),
    )
    write_json(out.with_name("generations.record.json"), record)
