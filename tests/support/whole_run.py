"""Every input of tables, figures and report, drawn at random but shaped like a real run. No number means anything.

`write(folder)` makes a whole `results/{scale}` below `folder` and returns the config that reads it.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from intro.config import Config, parse, read

ROOT = Path(__file__).parents[2]
GAIN = {"sft": -6, "latro": 4, "raft++": 24, "gpg": 21, "grpo": 22, "intro": 27}  # points over base, made up
LENGTH = {"base": 62, "sft": 36, "latro": 47, "raft++": 31, "gpg": 40, "grpo": 44, "intro": 30}
CLAIMS = [  # statement, unit, estimate, half width (None: not tested), verdict
    ("InTRO improves on its base model", "points", 21.9, 1.9, "reproduced"),
    ("InTRO is more accurate than GRPO", "points", 1.2, 2.0, "inconclusive"),
    ("InTRO is the most accurate method", "points", 0.4, 1.6, "depends on learning rate"),
    ("Stronger base models gain more", "points per point", -0.4, 0.2, "contradicted"),
    ("InTRO answers hard problems in fewer tokens than GRPO", "tokens", -15.0, 1.0, "reproduced"),
    ("InTRO gets shorter while its accuracy on hard problems rises", "joint", np.nan, np.nan, "reproduced"),
    ("With n = 40, InTRO is worse than with the best n", "points", np.nan, np.nan, "not tested"),
    ("GRPO needs 2G forward passes where InTRO needs two", "ratio", 1.0, 0.0, "contradicted"),
]
TUNED = {"sft": 3e-5, "latro": 3e-4, "raft++": 3e-4, "gpg": 3e-4, "grpo": 3e-4, "intro": 1e-4}


def config(folder: Path, problems: int = 20, **over: object) -> Config:
    """The shipped tiny config with its outputs below `folder`, at most `problems` per benchmark and two controls."""
    mapping = read(ROOT / "config" / "tiny.yaml")
    mapping |= {"results": str(folder / "results"), "figures": str(folder / "figures")}
    for benchmark in mapping["data"]["benchmarks"].values():
        benchmark["problems"] = min(benchmark["problems"], problems)
    mapping["training"] |= {"protocols": ["paper", "tuned"], "learning_rates": [3e-5, 1e-4, 3e-4]}
    mapping["controls"] = {
        "model": "qwen2-s",
        "methods": {
            "intro-wrong": {"objective": "intro", "label": "InTRO, wrong answer", "answer": "wrong"},
            "intro-frozen": {"objective": "intro", "label": "InTRO, frozen posterior", "posterior": "frozen"},
        },
    }
    mapping["evaluation"]["resamples"] = 200
    return parse(mapping | over)


def write(folder: Path, seeds: tuple[int, ...] = (0,), problems: int = 20, **over: object) -> Config:
    """Make every input file of `config`; `over` replaces top-level keys. The same numbers every time."""
    made = config(folder, problems, **over)
    rng = np.random.default_rng(7)
    grades = _grades(made, seeds, rng)
    frames = {
        "graded_responses.csv.gz": grades,
        "scores.csv": _scores(made, grades),
        "curves.csv": _curves(made, seeds, rng),
        "metrics.csv": _metrics(made, seeds, rng),
        "grid.csv": _grid(made, rng),
        "posterior.csv": _posterior(rng),
        "cost.csv": _cost(),
        "claims.csv": _claims(),
        "compare/main.csv": _compare(made),
        "compare/audit.csv": _audit(),
    }
    for name, frame in frames.items():
        path = made.results_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.to_csv(path, index=False)
    records = {
        "learning_rates.json": {"paper": {"learning_rate": 1e-4, "steps": 40}, "tuned": TUNED},
        "theory/identities.json": _theory(),
        "run.json": {"commit": "0123abc", "wall_seconds": 6300, "versions": {"python": "3.12.3", "torch": "2.13.0"}},
    }
    for name, record in records.items():
        path = made.results_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record))
    return made


# ---------------------------------------------------------------- one row per response


def _cells(made: Config, seeds: tuple[int, ...]) -> Iterator[tuple[str, str, str, str, int]]:
    """Every (suite, model, method, protocol, seed) that the config asks for."""
    for suite, spec in made.evaluation.suites.items():
        for model, method in itertools.product(spec.models or made.models, spec.methods or ["base", *made.methods]):
            trained = itertools.product(made.training.protocols, seeds)
            yield from ((suite, model, method, *cell) for cell in ([("base", 0)] if method == "base" else trained))
    extra = [m for m in made.all_methods if m not in made.methods]
    yield from (("main", made.ablation_n.model, m, "paper", s) for m in extra for s in seeds)


def _grades(made: Config, seeds: tuple[int, ...], rng: np.random.Generator) -> pd.DataFrame:
    strength = {m: 2.5 * i for i, m in enumerate(made.models)}
    difficulty = {b: rng.normal(0, 1.2, spec.problems) for b, spec in made.data.benchmarks.items()}
    parts = []
    for suite, model, method, protocol, seed in _cells(made, seeds):
        gain = 0.0 if method == "base" else GAIN.get(method, 20) + 2 * (protocol == "tuned") + rng.normal(0, 1)
        for rank, benchmark in enumerate(made.evaluation.suites[suite].benchmarks):
            level = 66 - 7 * rank + strength[model] + gain + 35 * (suite == "answer_in_prompt")
            length = LENGTH.get(method, 32) * (0.7 + 0.12 * rank)
            cell = _responses(made, benchmark, (level - 50) / 22 + difficulty[benchmark], length, rng)
            cell |= {"suite": suite, "model": model, "method": method, "protocol": protocol, "train_seed": seed}
            parts.append(pd.DataFrame(cell | {"n": getattr(made.all_methods.get(method), "n", np.nan)}))
    grades = pd.concat(parts, ignore_index=True)
    return grades.assign(pretrain_seed=0, truncated=(grades.tokens >= 150).astype(int))


def _responses(
    made: Config, benchmark: str, logits: np.ndarray, length: float, rng: np.random.Generator
) -> dict[str, object]:
    spec = made.data.benchmarks[benchmark]
    chance = np.repeat(1 / (1 + np.exp(-logits)), spec.samples)
    correct = (rng.random(len(chance)) < chance).astype(int)
    return {
        "benchmark": benchmark,
        "problem": [f"{benchmark}/{i:04d}" for i in range(spec.problems) for _ in range(spec.samples)],
        "sample": np.tile(np.arange(spec.samples), spec.problems),
        "correct": correct,
        "tokens": rng.gamma(9, length / 9, len(chance)).astype(int) + 4,
        "verified": correct * (rng.random(len(chance)) < 0.85),
    }


def _scores(made: Config, grades: pd.DataFrame) -> pd.DataFrame:
    keys = ["suite", "model", "method", "protocol", "pretrain_seed", "train_seed", "n", "benchmark"]
    scores = grades.groupby(keys, dropna=False, sort=False)[["correct", "tokens", "truncated"]].mean().reset_index()
    scores = scores.rename(columns={"tokens": "mean_tokens", "truncated": "truncated_share"})
    scores["value"] = 100 * scores.pop("correct")
    scores["problems"] = [made.data.benchmarks[b].problems for b in scores.benchmark]
    scores["k"] = [made.data.benchmarks[b].samples for b in scores.benchmark]
    half = 1.96 * np.sqrt(scores.value * (100 - scores.value) / scores.problems)
    scores["ci_low"], scores["ci_high"] = (scores.value - half).clip(0), (scores.value + half).clip(upper=100)
    scores["stands_for"] = [made.models[m].stands_for for m in scores.model]
    return scores


# ---------------------------------------------------------------- training


def _runs(made: Config, seeds: tuple[int, ...]) -> list[tuple[str, str, int]]:
    extra = [m for m in made.all_methods if m not in made.methods]
    runs = [*itertools.product(made.models, made.methods, seeds)]
    return [*runs, *itertools.product([made.ablation_n.model], extra, seeds)]


def _curves(made: Config, seeds: tuple[int, ...], rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    start = {"hard": 30, "all": 50, "train": 52}
    for (model, method, seed), subset, step in itertools.product(_runs(made, seeds), start, range(0, 41, 10)):
        done = 1 - np.exp(-step / 14)
        value = start[subset] + GAIN.get(method, 20) * done + rng.normal(0, 1.5)
        length = 60 + (LENGTH.get(method, 32) - 60) * done + 8 * (subset == "hard") + rng.normal(0, 0.8)
        rows.append((model, method, seed, step, subset, value, length, "paper"))
    columns = "model method train_seed step subset value mean_tokens protocol"
    return pd.DataFrame(rows, columns=columns.split())


def _metrics(made: Config, seeds: tuple[int, ...], rng: np.random.Generator) -> pd.DataFrame:
    frames = []
    step = np.arange(1, 41)
    done = 1 - np.exp(-step / 14)
    for model, method, seed in _runs(made, seeds):
        posterior, n = "intro" in method, getattr(made.all_methods[method], "n", 5)
        run = {
            "model": model,
            "method": method,
            "protocol": "paper",
            "train_seed": seed,
            "step": step,
            "accuracy": 45 + GAIN.get(method, 20) * done + rng.normal(0, 4, 40),
            "mean_tokens": 60 + (LENGTH.get(method, 32) - 60) * done + rng.normal(0, 1.5, 40),
            "entropy": 0.34 - (0.22 - 0.02 * np.log(n)) * done + rng.normal(0, 0.008, 40),
            "kept_share": 0.45 + 0.3 * done + rng.normal(0, 0.05, 40),
            "correction_mean": 1 + rng.normal(0, 0.01, 40) if posterior else np.nan,
            "posterior_accuracy": np.where(step % 10 == 0, 93 - 6 * done, np.nan) if posterior else np.nan,
        }
        frames.append(pd.DataFrame(run))
    return pd.concat(frames, ignore_index=True)


def _grid(made: Config, rng: np.random.Generator) -> pd.DataFrame:
    rows = [("qwen2-s", "base", np.nan, 0, 50.0, 46.4, 53.5, LENGTH["base"], 300)]
    for method, (place, lr) in itertools.product(made.methods, enumerate(made.training.learning_rates)):
        collapse = 16 * (method in {"intro", "sft"}) * (place == 2)
        value = 50 + GAIN[method] * (0.55 + 0.35 * place) - collapse + rng.normal(0, 1)
        rows.append(("qwen2-s", method, lr, 0, value, value - 3.6, value + 3.5, LENGTH[method], 300))
    columns = "model method lr train_seed value ci_low ci_high mean_tokens problems"
    return pd.DataFrame(rows, columns=columns.split())


# ---------------------------------------------------------------- checks and verdicts


def _posterior(rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    for estimate, scale, shape in (("enumeration", 1.9, 0.55), ("bayes", 1.6, 0.6)):
        kl = rng.gamma(1 / shape**2, scale * shape**2, 40)
        rows += [("qwen2-s", estimate, f"p{i}", 1000, value, 120.0) for i, value in enumerate(kl)]
    return pd.DataFrame(rows, columns=["model", "estimate", "problem", "rationales", "kl", "effective_sample_size"])


def _cost() -> pd.DataFrame:
    columns = (
        "method forward_passes backward_passes tokens flops seconds_median ratio_median ratio_low ratio_high peak_bytes"
    )
    rows = [
        ("sft", 1, 1, 4096, 1.1e10, 0.21, 1.0, 1.0, 1.0, 2.1e8),
        ("grpo", 2, 1, 4096, 1.5e10, 0.29, 1.37, 1.33, 1.44, 2.3e8),
        ("intro", 2, 1, 4096, 1.6e10, 0.31, 1.49, 1.42, 1.58, 2.4e8),
    ]
    return pd.DataFrame(rows, columns=columns.split()).assign(runs=10)


def _claims() -> pd.DataFrame:
    rows = []
    for place, (statement, unit, estimate, half, verdict) in enumerate(CLAIMS):
        for protocol in ("paper", "tuned"):
            ends = (estimate, estimate - half, estimate + half)
            rows.append((f"claim_{place}", statement, protocol, f"a difference ({unit})", *ends, verdict, "5 models"))
    columns = "claim statement protocol estimand estimate ci_low ci_high verdict replicates"
    return pd.DataFrame(rows, columns=columns.split())


def _compare(made: Config) -> pd.DataFrame:
    """compare/main.csv in this run's names, with the paper's values beside made-up ones."""
    reported = pd.read_csv(ROOT / "workflow" / "reported" / "reported.csv")
    main = reported[reported.table == "main"]
    models = {spec.stands_for: name for name, spec in made.models.items()}
    benchmarks = {spec.stands_for: name for name, spec in made.data.benchmarks.items()}
    ours = main.value * 0.9 + 8
    columns = {"table": "main", "model": main.model.map(models), "method": main.method}
    columns |= {"benchmark": main.benchmark.map(lambda b: benchmarks.get(b, b)), "reported": main.value}
    columns |= {"reference": ours + 0.7, "ours": ours, "ci_low": ours - 3, "ci_high": ours + 3}
    return pd.DataFrame(columns | {"agreement": "same direction"})


def _audit() -> pd.DataFrame:
    columns = "check table model method benchmark reported recomputed consistent note"
    rows = [
        ("average", "main", "Qwen3-8B", "base", "average", 34.3, 34.25, True, "mean of 6 cells"),
        ("made_up", "main", "Qwen3-8B", "sft", "average", 30.0, 29.1, False, "an invented finding"),
    ]
    return pd.DataFrame(rows, columns=columns.split())


def _theory() -> list[dict[str, str]]:
    return [
        {"name": "value_identity", "statement": "KL(post || pi) = -log pi(y|x)", "verdict": "holds"},
        {"name": "own_token", "statement": "the own token counts twice", "verdict": "counterexample"},
    ]
