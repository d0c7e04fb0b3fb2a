"""The command `data`: problems and, where a source has one, corpus of the configured source, as files."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from intro.config import Config
from intro.experiments import problems_file
from intro.infra.digests import file_digest
from intro.infra.files import write_json
from intro.infra.provenance import Provenance
from intro.tasks.jsonl import write_jsonl, write_problems
from intro.tasks.registry import load_source


def prepare(config: Config) -> None:
    """Write problems/{benchmark, train, validation}.jsonl, their record and, for pretraining, corpus.jsonl."""
    watch = Provenance()
    source = load_source(config.data, config.prompts, config.seed)
    splits = {name: source.problems(name) for name in config.data.benchmarks}
    splits |= {"train": source.train(), "validation": source.validation()}
    files = {name: problems_file(config, name) for name in splits}
    for name, problems in splits.items():
        write_problems(files[name], problems)
    settings: dict[str, Any] = {"data": config.data.model_dump()}
    if config.pretraining and hasattr(source, "corpus"):
        corpus = source.corpus(config.pretraining.corpus, config.data.corpus_documents)
        files["corpus"] = problems_file(config, "corpus")
        write_jsonl(files["corpus"], ({"prompt": p, "response": r} for p, r in corpus))
        settings["corpus"] = config.pretraining.corpus
    # of the sets that a source read; a source that computes its problems has no lock
    entries = getattr(source, "entries", {})
    lock = {"lock": {name: asdict(entries[name]) for name in sorted(entries)}} if entries else {}
    digests = {name: file_digest(file) for name, file in files.items()}
    record = watch.record(settings=settings, seed=config.seed, files=digests, **lock)
    write_json(files["train"].with_name("record.json"), record)
