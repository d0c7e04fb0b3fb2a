"""Generation: responses of one checkpoint to suites of benchmarks. Grading is a separate command without a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from intro.config import Config
from intro.evaluation.serve import serve
from intro.experiments import Cell, check_evaluation, problems_file, suite_file
from intro.infra.digests import weights_digest
from intro.infra.provenance import Provenance
from intro.infra.seeds import generator_for
from intro.model.tokenizer import ModelTokenizer, render
from intro.rollout.base import RolloutEngine
from intro.rollout.sampling import Sampling
from intro.tasks.jsonl import GENERATION_KEYS, read_problems, write_jsonl


def generate(config: Config, cell: Cell, suites: Sequence[str]) -> None:
    """Load a checkpoint once and answer suites with it: generations.jsonl and its record for each suite.

    Raises IntroError for unknown names, or without the checkpoint or the problems.
    """
    for suite in suites:
        check_evaluation(config, cell, suite)
    watch, settings = Provenance(), config.evaluation
    folder = cell.weights_folder(config)
    tokenizer = ModelTokenizer.from_folder(folder)
    engine = serve(config.models[cell.model].hardware, folder, tokenizer, settings.batch)
    weights_hash = weights_digest(folder)
    for suite in suites:
        out = suite_file(config, cell, suite, "generations.jsonl")
        write_jsonl(out, answers(config, cell, suite, tokenizer, engine))
        used = {"evaluation": settings.model_dump(exclude={"suites"}), "suite": settings.suites[suite].model_dump()}
        record = {"settings": used, "seed": cell.seed, "weights_hash": weights_hash}
        watch.write(out.with_suffix(".record.json"), inputs={"weights": folder}, **record)
        watch = Provenance()  # the time of loading is recorded with the first suite


def answers(
    config: Config, cell: Cell, suite: str, tokenizer: ModelTokenizer, engine: RolloutEngine
) -> list[dict[str, Any]]:
    """One line per response: `samples` of its benchmark to every problem of a suite."""
    chosen = config.evaluation.suites[suite]
    lines = []
    for benchmark in tqdm(chosen.benchmarks, desc=f"{cell.model} {cell.method} {suite}", unit="benchmark"):
        problems = read_problems(problems_file(config, benchmark))
        samples, sampling = config.data.benchmarks[benchmark].samples, sampling_of(config, benchmark)
        asked = [(p, j) for p in problems for j in range(samples)]
        prompts = tokenizer.prompts(render(config.prompts[chosen.prompt], p) for p, _ in asked)
        # neither method nor model is in the name: all cells answer with common random numbers
        generator = generator_for("generate", config.seed, cell.seed, suite, benchmark)
        for (problem, j), response in zip(asked, engine.generate(prompts, sampling, generator), strict=True):
            text = tokenizer.decode(response.tokens)
            values = (benchmark, problem.id, j, len(response.tokens), response.truncated, text)
            lines.append(dict(zip(GENERATION_KEYS, values, strict=True)))
    return lines


def sampling_of(config: Config, benchmark: str) -> Sampling:
    """The sampling of a benchmark: its own values where the config has them, else those of `evaluation`."""
    own, shared = config.data.benchmarks[benchmark], config.evaluation

    def value(name: str) -> Any:
        return getattr(shared, name) if getattr(own, name) is None else getattr(own, name)

    return Sampling(value("max_response_tokens"), value("temperature"), value("top_p"))
