"""What `intro plan` prints, within 80 columns, and the same numbers as CSV."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from intro.config import Config
from intro.cost.estimate.assumptions import ENGINES, Accelerator, Assumptions
from intro.cost.estimate.fit import ModelPlan, judge_trouble, model_plan
from intro.cost.estimate.memory import width_of
from intro.cost.estimate.targets import Target, targets, total
from intro.cost.estimate.work import NODE_GPUS, Planner
from intro.infra.files import to_csv, write_text

WIDTH = 80
COLUMNS = (
    "target runs evaluations rollout_tokens evaluation_tokens training_flops rollout_flops evaluation_flops gpu_hours "
    "cost grading_cpu_hours disk_bytes resume_bytes"
).split()


def plan(
    config: Config,
    accelerator: Accelerator,
    assumed: Assumptions,
    csv: Path | None = None,
    source: str = "config/paper.yaml",
) -> str:
    """The whole text; `csv` names a file for the table of targets. Nothing is run, fetched or trained."""
    planner = Planner(config, accelerator, assumed)
    work, models = targets(planner), [model_plan(planner, name) for name in config.models]
    if csv is not None:
        write_text(csv, to_csv(COLUMNS, rows(work, accelerator)))
    trouble = [sentence for model in models for sentence in model.trouble]
    trouble += [judged] if (judged := judge_trouble(planner)) else []
    parts = [
        heading(source, accelerator),
        table_of_targets(work, accelerator, config.training.keep_states),
        table_of_models(models, accelerator),
        "\n".join(wrapped(sentence) for sentence in trouble) or "Every run fits.",
        table_of_assumptions(planner),
    ]
    return "\n\n".join(parts)


def rows(work: list[Target], accelerator: Accelerator) -> list[dict[str, Any]]:
    """One per target and one named "total", with the columns of COLUMNS."""
    named = [(target.name, target.cost) for target in work] + [("total", total(work))]
    return [
        {
            "target": name,
            "runs": cost.runs,
            "evaluations": cost.evaluations,
            "rollout_tokens": cost.rollout_tokens,
            "evaluation_tokens": cost.evaluation_tokens,
            "training_flops": cost.training_flops,
            "rollout_flops": cost.rollout_flops,
            "evaluation_flops": cost.evaluation_flops,
            "gpu_hours": cost.device_seconds / 3600,
            "cost": cost.device_seconds / 3600 * accelerator.price,
            "grading_cpu_hours": cost.grading_seconds / 3600,
            "disk_bytes": cost.disk_bytes,
            "resume_bytes": cost.state_bytes,
        }
        for name, cost in named
    ]


# ---------------------------------------------------------------- the parts


def heading(source: str, chip: Accelerator) -> str:
    text = (
        f"Plan of {source} on {chip.name}: {chip.tflops:g} TFLOP/s, {chip.bandwidth:g} TB/s, {chip.memory:g} GB, "
        f"${chip.price:g} per hour. An estimate: nothing was run."
    )
    return wrapped(text)


def table_of_targets(work: list[Target], chip: Accelerator, kept: bool) -> str:
    """Targets in the order of making them; `kept` says whether states of finished runs stay on the disk."""
    lines = [
        f"{'':19}{'':5}{'':6}{'rollout':>9}{'training':>9}{'decoding':>9}{'device':>8}{'':>7}{'disk':>8}",
        f"{'target':19}{'runs':>5}{'evals':>6}{'tokens':>9}{'FLOP':>9}{'FLOP':>9}{'hours':>8}{'$':>7}{'':>8}",
    ]
    for row in rows(work, chip):
        decoding = row["rollout_flops"] + row["evaluation_flops"]
        lines.append(
            f"{row['target']:19}{row['runs']:5}{row['evaluations']:6}{scaled(row['rollout_tokens']):>9}"
            f"{scaled(row['training_flops']):>9}{scaled(decoding):>9}{row['gpu_hours']:8.1f}{row['cost']:7.0f}"
            f"{scaled(row['disk_bytes']) + 'B':>8}"
        )
    lines.insert(-1, "-" * WIDTH)
    cost = total(work)
    note = (
        "Work that several targets need counts at the first of them. Grading takes another "
        f"{cost.grading_seconds / 3600:.1f} CPU-hours, roughly. Of the disk, {scaled(cost.state_bytes)}B are states "
        "to resume from (.scratch), "
        + ("which may be deleted after each run." if kept else f"of runs that share {NODE_GPUS} GPUs at one time.")
    )
    return "\n".join([*lines, "", wrapped(note)])


def table_of_models(models: list[ModelPlan], chip: Accelerator) -> str:
    """Sizes, and the worst peak per GPU over a model's methods; ! marks what exceeds the accelerator."""
    lines = [
        f"{'':13}{'para-':>6}{'':>9}{'cache':>9}{'':>10}{'peak per GPU, at ZeRO':>33}",
        f"{'model':13}{'meters':>6}{'weights':>9}{'a token':>9}{'layout':>10}{'own':>9}{'1':>8}{'2':>8}{'3':>8}",
    ]
    limit = chip.memory * 1e9

    def size(most: float) -> str:
        return scaled(most) + ("B!" if most > limit else "B ")

    for model in models:
        width, layout = width_of(model.hardware), f"{max(1, model.hardware.gpus)} x Z{model.hardware.zero}"
        layout += " R" if model.hardware.recompute else ""
        peaks = [model.peak.most[1], *model.by_stage.values()]
        lines.append(
            f"{model.name[:13]:13}{scaled(model.shape.parameters):>6}{scaled(width * model.shape.parameters) + 'B':>9}"
            f"{scaled(model.shape.cache_bytes(width)) + 'B':>9}{layout:>10}"
            + f"{size(peaks[0]):>9}"
            + "".join(f"{size(p):>8}" for p in peaks[1:])
        )
    head = {"states": 7, "frozen": 8, "activations": 12, "logits": 8, "curves": 8, "rollout": 8, "rows": 6, "hours": 7}
    lines += ["", f"{'its parts':14}" + "".join(f"{name:>{width}}" for name, width in head.items())]
    for model in models:
        parts = [scaled(getattr(model.peak, name)) + "B" for name in list(head)[:-2]]
        told = [*parts, str(model.rows), f"{model.longest_s / 3600:.1f}"]
        lines.append(
            f"{model.name[:14]:14}" + "".join(f"{v:>{width}}" for v, width in zip(told, head.values(), strict=True))
        )
    note = (
        f"Worst over the methods that train a model; ! exceeds {chip.memory:g} GB. R: activations are computed again "
        "in the backward pass. Frozen: the base model, which every "
        "run keeps for the KL of its curves, an averaged posterior, and under ZeRO-3 the whole copy that generates. "
        "Peak = states + frozen + the most of activations + logits, step, curves, rollout. Rows: decoded at once in "
        "rollouts, where caches of the longest rows fill half of what is free. Hours: of the longest training run."
    )
    return "\n".join([*lines, "", wrapped(note)])


def table_of_assumptions(planner: Planner) -> str:
    assumed, config = planner.assumed, planner.config
    limit = config.training.max_response_tokens
    engines = dict.fromkeys(model.hardware.engine for model in config.models.values())
    told = [
        ("--mean-tokens", f"{assumed.mean_tokens:.0f}", f"of a response. Lengths are exponential, cut at {limit}: "
         f"{planner.lengths.alive(limit):.1%} are; the last rows wait for the longest"),
        ("--prompt-tokens", f"{assumed.prompt_tokens:.0f}", "a question of MATH; programs have longer ones"),
        ("--gold-tokens", f"{assumed.gold_tokens:.0f}", "a data set's rationale, what SFT learns from"),
        ("--accuracy", f"{assumed.accuracy:g}", "of rollouts, spread over problems: filters keep what is right"),
        ("--mfu", f"{assumed.mfu:g}", "share of peak FLOP/s in training, scoring and prefill"),
        ("--bandwidth-share", f"{assumed.bandwidth_share:g}", "of the bandwidth, in decoding"),
        ("--decode-share", f"{assumed.decode_flops_share:g}", "of peak FLOP/s, where many rows make decoding "
         "compute-bound"),
        ("--slack", f"{assumed.slack:g}", "times the arithmetic; published runs took 2.3 to 3.3 times (docs/cost.md)"),
        *((f"engine {name}", f"{1e3 * ENGINES[name].overhead:g} ms",
           "a layer and step beside the roofline; " + ("pages of caches" if ENGINES[name].paged
                                                       else "room for the longest row")) for name in engines),
    ]  # fmt: skip
    lines = ["Assumed, because only a run could tell; the options change them:"]
    for name, value, why in told:
        first = f"  {name:18}{value:>8}  "
        lines += textwrap.wrap(why, WIDTH, initial_indent=first, subsequent_indent=" " * len(first))
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
