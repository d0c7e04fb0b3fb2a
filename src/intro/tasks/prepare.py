"""The command `data`: problems and corpus of the configured source, as files."""

from __future__ import annotations

from intro.config import Config
from intro.plan import problems_file
from intro.provenance import Stopwatch, file_digest, write_json
from intro.tasks.registry import load_source
from intro.tasks.store import write_jsonl, write_problems


def prepare(config: Config) -> None:
    """Write problems/{benchmark, train, validation, corpus}.jsonl and their record."""
    watch = Stopwatch()
    source = load_source(config.data, config.prompts, config.seed)
    splits = {name: source.problems(name) for name in config.data.benchmarks}
    splits |= {"train": source.train(), "validation": source.validation()}
    for name, problems in splits.items():
        write_problems(problems_file(config, name), problems)
    corpus = source.corpus(config.pretraining.corpus, config.data.corpus_documents)
    write_jsonl(problems_file(config, "corpus"), ({"prompt": p, "response": r} for p, r in corpus))
    hashes = {name: file_digest(problems_file(config, name)) for name in [*splits, "corpus"]}
    settings = {"data": config.data.model_dump(), "corpus": config.pretraining.corpus}
    write_json(
        problems_file(config, "train").with_name("record.json"),
        watch.record(settings=settings, seed=config.seed, files=hashes),
    )
