"""From a table cell back to its origins: score, generations, checkpoint, base model, problems, config, commit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from intro.config import Config
from intro.experiments import Cell, evaluations, problems_file, table_layouts
from intro.types import IntroError


def trace(config: Config, table: str, model: str, method: str, benchmark: str, protocol: str) -> str:
    """The chain of files behind one cell, one line each, with the commit and versions that made them.

    Model and benchmark may be given by the names they stand for. Raises IntroError when there is no such cell.
    """
    layouts = table_layouts(config)
    if table not in layouts:
        raise IntroError(f"table: expected one of {', '.join(layouts)}, found '{table}'")
    suite = layouts[table].suite
    model = _named(model, {k: v.stands_for for k, v in config.models.items()}, "model")
    benchmark = _named(benchmark, {k: v.stands_for for k, v in config.data.benchmarks.items()}, "benchmark")
    protocol = "base" if method == "base" else "tuned" if table == "main_tuned" else protocol
    wanted = (model, method, protocol, suite)
    cells = [c for c, s in evaluations(config) if (c.model, c.method, c.protocol, s) == wanted]
    if not cells or benchmark not in config.evaluation.suites[suite].benchmarks:
        raise IntroError(f"{table}: this config has no cell for {model}, {method}, {benchmark} under '{protocol}'")
    heading = f"table {table} · {model} · {method} · {benchmark} · protocol {protocol}"
    return "\n".join([heading, *(line for cell in cells for line in _chain(config, cell, suite, benchmark))])


def _named(name: str, stands_for: dict[str, str], what: str) -> str:
    matches = [key for key, value in stands_for.items() if name in (key, value)]
    if not matches:
        raise IntroError(f"{what}: unknown '{name}'; this config has {', '.join(stands_for)}")
    return matches[0]


def _chain(config: Config, cell: Cell, suite: str, benchmark: str) -> list[str]:
    folder = cell.folder(config) / suite
    score = _read(folder / "score.json")
    generated = _read(folder / "generations.record.json")
    trained = {} if cell.method == "base" else _read(cell.folder(config) / "record.json")
    base = _read(cell.base_folder(config) / "record.json")
    value, problems, samples = (score["scores"][benchmark][key] for key in ("value", "problems", "samples"))
    lines = [
        f"  seed {cell.seed}: {value:.1f} over {problems} problems x {samples} samples",
        f"    score        {folder / 'score.json'}",
        f"    grades       {folder / 'grades.jsonl'}   {_made(score['record'])}",
        f"    generations  {folder / 'generations.jsonl'}   {_made(generated)}",
        f"    checkpoint   {cell.weights_folder(config)}   sha256 {generated['weights_hash']}",
    ]
    if trained:
        rate, method = trained["settings"]["learning_rate"], trained["settings"]["method"]
        lines.append(f"      trained    {_made(trained)}, config {trained['config_hash']}")
        lines.append(f"      settings   learning rate {rate:g}, {trained['steps']} steps, {method}")
    return [
        *lines,
        f"    base model   {cell.base_folder(config)}   {_made(base)}, config {base['config_hash']}",
        f"    problems     {problems_file(config, benchmark)}",
        f"    config       settings in {folder / 'generations.record.json'}, hash {generated['config_hash']}",
        f"    versions     {', '.join(f'{k} {v}' for k, v in generated['versions'].items())}",
        f"    hardware     {generated['hardware']['processor']}, {generated['hardware']['cores']} cores",
    ]


def _made(record: dict[str, Any]) -> str:
    return f"{record['started']}, {record['wall_seconds']:.1f} s, commit {record['commit'][:12]}"


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise IntroError(f"{path}: no such file, so the cell has no result yet; run snakemake for its table first")
    return json.loads(path.read_text())
