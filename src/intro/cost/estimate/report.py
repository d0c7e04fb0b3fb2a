"""The text of `intro plan`, within 80 columns, and the same numbers as CSV."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from intro.config import Config
from intro.cost.estimate import assumptions as assume
from intro.cost.estimate.arithmetic import Cost, width_of
from intro.cost.estimate.assumptions import ENGINES, Accelerator
from intro.cost.estimate.fit import largest_load, misfits
from intro.cost.estimate.memory import peak
from intro.cost.estimate.work import NODE_GPUS, Estimator, targets
from intro.infra.files import to_csv, write_text

WIDTH = 80


def plan(config: Config, name: str | None, numbers: Mapping[str, float | None], csv: Path | None, source: str) -> str:
    """The whole text. name: of an accelerator. numbers: of Accelerator and Assumptions, None for the default.

    csv: a file for the table of targets. source: the name of the config file.
    """
    device = {field.name: numbers.get(field.name) for field in fields(Accelerator)[1:]}
    accelerator = assume.accelerator(config, name, **device)
    assumed = assume.assumptions(config, **{key: value for key, value in numbers.items() if key not in device})
    estimator = Estimator(config, accelerator, assumed)
    table = rows(estimator)
    if csv is not None:
        write_text(csv, to_csv(list(table[0]), table))
    sentences = [sentence for found in misfits(estimator).values() for sentence in found]
    parts = [
        wrapped(
            f"Plan of {source} on {accelerator.name}: {accelerator.tflops:g} TFLOP/s, {accelerator.bandwidth:g} TB/s, "
            f"{accelerator.memory:g} GB, ${accelerator.price:g} per hour. An estimate: nothing was run."
        ),
        table_of_targets(table, config.training.keep_states),
        table_of_models(estimator),
        "\n".join(map(wrapped, sentences)) or "Every run fits.",
        table_of_assumptions(estimator),
    ]
    return "\n\n".join(parts)


def rows(estimator: Estimator) -> list[dict[str, Any]]:
    """One per target and one named "total": the columns of the CSV."""
    costs, price = targets(estimator), estimator.accelerator.price
    return [row(*item, price) for item in (*costs.items(), ("total", sum(costs.values(), Cost())))]


def row(target: str, cost: Cost, price: float) -> dict[str, Any]:
    hours = cost.device_seconds / 3600
    return {
        "target": target, "runs": cost.runs, "evaluations": cost.evaluations,
        "rollout_tokens": cost.rollouts.tokens, "evaluation_tokens": cost.evaluation.tokens,
        "training_flops": cost.training.flops, "rollout_flops": cost.rollouts.flops,
        "evaluation_flops": cost.evaluation.flops, "gpu_hours": hours, "cost": hours * price,
        "grading_cpu_hours": cost.grading_seconds / 3600, "disk_bytes": cost.disk_bytes,
        "resume_bytes": cost.state_bytes,
    }  # fmt: skip


def aligned(layout: str, *lines: tuple[object, ...]) -> list[str]:
    """Each line's cells in a format such as "{:19}{:>5}"."""
    return [layout.format(*map(str, line)) for line in lines]


def table_of_targets(table: list[dict[str, Any]], kept: bool) -> str:
    """Targets in the order of making them. kept: whether states of finished runs stay on the disk."""
    cells = [
        (r["target"], r["runs"], r["evaluations"], scaled(r["rollout_tokens"]), scaled(r["training_flops"]),
         scaled(r["rollout_flops"] + r["evaluation_flops"]), f"{r['gpu_hours']:.1f}", f"{r['cost']:.0f}",
         scaled(r["disk_bytes"]) + "B")
        for r in table
    ]  # fmt: skip
    heads = ("", "", "", "rollout", "training", "decoding", "device", "", "disk")
    units = ("target", "runs", "evals", "tokens", "FLOP", "FLOP", "hours", "$", "")
    lines = aligned("{:19}{:>5}{:>6}{:>9}{:>9}{:>9}{:>8}{:>7}{:>8}", heads, units, *cells)
    lines.insert(-1, "-" * WIDTH)
    note = (
        "Work that several targets need counts at the first of them. Grading takes another "
        f"{table[-1]['grading_cpu_hours']:.1f} CPU-hours, roughly. Of the disk, {scaled(table[-1]['resume_bytes'])}B "
        "are states to resume from (.scratch), "
        + ("which may be deleted after each run." if kept else f"of runs that share {NODE_GPUS} GPUs at one time.")
    )
    return "\n".join([*lines, "", wrapped(note)])


def table_of_models(estimator: Estimator) -> str:
    """Sizes, the peak per GPU over a model's methods, and its parts; ! marks what exceeds the accelerator."""
    training, chip, sizes, parts = estimator.config.training, estimator.accelerator, [], []
    for name, shape in estimator.shapes.items():
        hardware, load = estimator.hardware(name), largest_load(estimator, name)
        layout = f"{max(1, hardware.gpus)} x Z{hardware.zero}" + (" R" if hardware.recompute else "")
        weights, cache = estimator.roofline(name).weight_bytes, shape.cache_bytes(width_of(hardware))
        at, *stages = (peak(shape, each) for each in (load, *(load.changed(zero=stage) for stage in (1, 2, 3))))
        most = [each.most[1] for each in (at, *stages)]
        peaks = [scaled(size) + ("B!" if size > chip.memory * 1e9 else "B ") for size in most]
        sizes.append((name[:13], scaled(shape.parameters), f"{scaled(weights)}B", f"{scaled(cache)}B", layout, *peaks))
        held = (at.states, at.frozen, at.activations, at.logits, at.curves, at.rollout)
        rollouts = training.prompts_per_step * training.group_size
        at_once = estimator.rows_at_once(name, rollouts, at.states + at.frozen, estimator.lengths)
        runs = [estimator.train(name, method).device_seconds for method in estimator.methods(name).values()]
        hours = f"{max(runs) / hardware.processes / 3600:.1f}"
        parts.append((name[:14], *(f"{scaled(part)}B" for part in held), at_once, hours))
    size_heads = ("model", "meters", "weights", "a token", "layout", "own", "1", "2", "3")
    part_heads = ("its parts", "states", "frozen", "activations", "logits", "curves", "rollout", "rows", "hours")
    lines = [
        f"{'para-':>19}{'cache':>18}{'peak per GPU, at ZeRO':>43}",
        *aligned("{:13}{:>6}{:>9}{:>9}{:>10}{:>9}{:>8}{:>8}{:>8}", size_heads, *sizes),
        "",
        *aligned("{:14}{:>7}{:>8}{:>12}{:>8}{:>8}{:>8}{:>6}{:>7}", part_heads, *parts),
    ]
    note = (
        f"The largest peak over the methods that train a model; ! exceeds {chip.memory:g} GB. R: activations are "
        "computed again in the backward pass. Frozen: the base model, which every run keeps for the KL of its curves, "
        "an averaged posterior, and under ZeRO-3 the whole copy that generates. Peak = states + frozen + the most of "
        "activations + logits, step, curves, rollout. Rows: decoded at once in rollouts, where caches of the longest "
        "rows fill half of the free memory. Hours: of the longest training run."
    )
    return "\n".join([*lines, "", wrapped(note)])


def table_of_assumptions(estimator: Estimator) -> str:
    assumed, limit = estimator.assumed, estimator.config.training.max_response_tokens
    cut = f"{estimator.lengths.alive(limit):.1%}"
    meanings = {
        "mean_tokens": f"of a response. Lengths are exponential, cut at {limit}: {cut} are; the last rows wait for the "
        "longest",
        "prompt_tokens": "of a question of MATH; programs have longer ones",
        "gold_tokens": "of a data set's rationale, from which SFT learns",
        "accuracy": "of rollouts, spread over problems: filters keep the correct ones",
        "mfu": "share of peak FLOP/s in training, scoring and prefill",
        "bandwidth_share": "of the bandwidth, in decoding",
        "decode_share": "of peak FLOP/s, where many rows make decoding compute-bound",
        "slack": "factor on the arithmetic; published runs took 2.3 to 3.3 times (docs/cost.md)",
    }
    cells = []
    for name, meaning in meanings.items():
        value = getattr(assumed, name)
        cells.append((f"--{name.replace('_', '-')}", f"{value:.0f}" if "tokens" in name else f"{value:g}", meaning))
    for name in dict.fromkeys(model.hardware.engine for model in estimator.config.models.values()):
        rows = "pages of caches" if ENGINES[name].paged else "room for the longest row"
        meaning = f"per layer and step beside the roofline; {rows}"
        cells.append((f"engine {name}", f"{1e3 * ENGINES[name].overhead:g} ms", meaning))
    lines = ["Assumed, because only a run can tell; the options change them:"]
    for name, value, meaning in cells:
        first = f"  {name:18}{value:>8}  "
        lines += textwrap.wrap(meaning, WIDTH, initial_indent=first, subsequent_indent=" " * len(first))
    return "\n".join(lines)


def wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def scaled(number: float) -> str:
    """Three digits with a decimal prefix: 1.54G, 0 for nothing."""
    if number < 1:
        return f"{number:.2g}" if number else "0"
    for prefix in ("", "k", "M", "G", "T", "P"):
        if number < 999.5:
            return f"{number:.3g}{prefix}"
        number /= 1000
    return f"{number:.3g}E" if number < 999.5 else f"{number / 1000:.3g}Z"
