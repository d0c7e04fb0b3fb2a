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
    for name, problems in splits.items():
        write_problems(problems_file(config, name), problems)
    names: list[str] = list(splits)
    settings: dict[str, Any] = {"data": config.data.model_dump()}
    if config.pretraining and hasattr(source, "corpus"):
        corpus = source.corpus(config.pretraining.corpus, config.data.corpus_documents)
        write_jsonl(problems_file(config, "corpus"), ({"prompt": p, "response": r} for p, r in corpus))
        names.append("corpus")
        settings["corpus"] = config.pretraining.corpus
    write_json(
        problems_file(config, "train").with_name("record.json"),
        watch.record(
            settings=settings,
            seed=config.seed,
            files={name: file_digest(problems_file(config, name)) for name in names},
            **_lock(source),
        ),
    )


def _lock(source: object) -> dict[str, Any]:
    """The lock's entries of the sets that a source read; a source that computes its problems has none."""
    entries = getattr(source, "entries", {})
    return {"lock": {name: asdict(entries[name]) for name in sorted(entries)}} if entries else {}
