"""A run with known truth: files of graded responses as collect writes them, from a table of success rates."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from intro import config as configs
from intro.config import Config

HARD, EASY = "chain-6", "chain-2"
BENCHMARKS = {EASY: "math500", "chain-5": "minerva_math", HARD: "olympiadbench"}
MODELS = {"qwen2-s": "Qwen2.5-1.5B", "qwen2-m": "Qwen2.5-3B", "qwen3-m": "Qwen3-4B"}
PROBLEMS = 120


def config(root: Path, **changes: object) -> Config:
    """A small config with three models and three benchmarks whose results lie below `root`."""
    mapping = configs.read(Path(__file__).parents[2] / "config" / "tiny.yaml")
    shape = {"architecture": "qwen2", "hidden": 32, "layers": 1, "heads": 2, "kv_heads": 2}
    mapping["results"], mapping["figures"], mapping["reference"] = (
        str(root / "results"),
        str(root / "figures"),
        "tiny",
    )
    mapping["models"] = {name: {"stands_for": paper, **shape} for name, paper in MODELS.items()}
    mapping["data"]["benchmarks"] = {b: {"stands_for": p, "problems": PROBLEMS} for b, p in BENCHMARKS.items()}
    mapping["evaluation"]["suites"] = {"main": {"benchmarks": list(BENCHMARKS)}}
    mapping["evaluation"]["resamples"] = 300
    mapping["training"].update(sweep_models=["qwen2-s"], protocols=["paper"])
    mapping["methods"] = {name: {"objective": name, "label": name} for name in ("sft", "grpo", "intro")}
    mapping["baseline"] = "grpo"
    mapping["ablation_n"] = {"model": "qwen2-s", "method": "intro", "grid": [1, 2, 5, 40]}
    mapping["controls"], mapping["posterior"] = {"model": "qwen2-s", "methods": {}}, {"models": ["qwen2-s"]}
    mapping["cost"] = {"model": "qwen2-s"}
    return configs.parse({**mapping, **changes})


def responses(
    rates: Mapping[str, float],
    *,
    suite: str = "main",
    models: Mapping[str, float] = dict.fromkeys(MODELS, 0.0),
    benchmarks: Mapping[str, float] = dict.fromkeys(BENCHMARKS, 0.0),
    tokens: Mapping[str, float] | None = None,
    train_seeds: int = 1,
    shared: float = 0.8,
    seed: int = 0,
) -> pd.DataFrame:
    """graded_responses.csv.gz: the success rate of a response is its method's plus its model's and benchmark's shift.

    Methods share the luck of most problems, so paired differences are sharper than unpaired ones; with all of
    it shared, every rate is exact.
    """
    rng, rows = np.random.default_rng(seed), []
    even = (np.arange(PROBLEMS) + 0.5) / PROBLEMS
    luck = {benchmark: rng.permutation(even) for benchmark in benchmarks}
    for method, rate in rates.items():
        for model, model_shift in models.items():
            for benchmark, benchmark_shift in benchmarks.items():
                for train_seed in range(train_seeds if method != "base" else 1):
                    mixed = np.where(rng.random(PROBLEMS) < shared, luck[benchmark], rng.random(PROBLEMS))
                    length = (tokens or {}).get(method, 50.0) + rng.normal(0, 3, PROBLEMS)
                    rows.append(
                        pd.DataFrame(
                            {
                                "suite": suite,
                                "model": model,
                                "method": method,
                                "protocol": "base" if method == "base" else "paper",
                                "pretrain_seed": 0,
                                "train_seed": np.nan if method == "base" else train_seed,
                                "n": np.nan,
                                "benchmark": benchmark,
                                "problem": [f"{benchmark}-{i}" for i in range(PROBLEMS)],
                                "sample": 0,
                                "correct": (mixed < rate + model_shift + benchmark_shift).astype(int),
                                "tokens": length.round(),
                                "truncated": 0,
                                "verified": 1,
                            }
                        )
                    )
    return pd.concat(rows, ignore_index=True)


def grid(rates: Mapping[float, Mapping[str, float]]) -> pd.DataFrame:
    """grid_graded_responses.csv.gz from {learning rate: {method: success rate}}."""
    parts = []
    for lr, of_method in rates.items():
        frame = responses(of_method, models={"qwen2-s": 0.0}, benchmarks={EASY: 0.0})
        parts.append(frame.assign(lr=lr)[["model", "method", "lr", "train_seed", "problem", "correct", "tokens"]])
    return pd.concat(parts, ignore_index=True)


def write(config: Config, **files: pd.DataFrame) -> None:
    """Put frames where a run leaves them; names ending in `graded_responses` are compressed."""
    config.results_dir.mkdir(parents=True, exist_ok=True)
    for name, frame in files.items():
        suffix = "csv.gz" if name.endswith("graded_responses") else "csv"
        frame.to_csv(config.results_dir / f"{name}.{suffix}", index=False)
