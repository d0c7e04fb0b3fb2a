"""What fits an accelerator's memory, and what would make the rest fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from intro import experiments
from intro.config import Hardware
from intro.cost.estimate.memory import Load, Peak, peak, remedies, width_of
from intro.cost.estimate.shapes import Shape
from intro.cost.estimate.work import Planner


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """A model's sizes, the worst peak over its runs at its own ZeRO stage and at others, and what does not fit."""

    name: str
    shape: Shape
    hardware: Hardware
    peak: Peak
    by_stage: dict[int, float]  # bytes per GPU at ZeRO 1, 2 and 3 on the same GPUs
    rows: int  # decoded at once in rollouts
    longest_s: float  # of a training run, wall clock on its own devices
    trouble: tuple[str, ...]  # sentences


def model_plan(planner: Planner, model: str) -> ModelPlan:
    """The worst peak over the methods that train this model, and one sentence per group that does not fit."""
    config, shape, limit = planner.config, planner.shape(model), planner.accelerator.memory * 1e9
    names = dict.fromkeys(cell.method for cell in experiments.training_runs(config) if cell.model == model)
    loads = {name: planner.load(model, config.all_methods[name]) for name in names}
    distinct: dict[Load, list[str]] = {}
    for name, load in loads.items():
        distinct.setdefault(load, []).append(name)
    worst = max(distinct, key=lambda load: peak(shape, load).most[1])
    at = peak(shape, worst)
    batch = min(config.evaluation.batch, _share(planner, worst.hardware))
    return ModelPlan(
        name=model,
        shape=shape,
        hardware=worst.hardware,
        peak=at,
        by_stage={stage: _at_stage(shape, worst, stage).most[1] for stage in (1, 2, 3)},
        rows=planner.rows(model, at.states + at.frozen, planner.lengths, batch),
        longest_s=max(planner.train(model, config.all_methods[name]).device_seconds for name in names)
        / worst.hardware.processes,
        trouble=tuple(_troubles(planner, model, distinct, limit)),
    )


def _share(planner: Planner, hardware: Hardware) -> int:
    training = planner.config.training
    return -(-training.prompts_per_step * training.group_size // hardware.processes)


def _troubles(planner: Planner, model: str, distinct: dict[Load, list[str]], limit: float) -> Iterator[str]:
    shape = planner.shape(model)
    for load, names in distinct.items():
        at = peak(shape, load)
        phase, most = at.most
        if most <= limit:
            continue
        resident = {"states": at.states, "frozen": at.frozen}
        parts = {
            "update": resident | {"activations": at.activations, "logits": at.logits},
            "step": resident | {"AdamW's temporary": at.step},
            "curves": resident | {"logits of the KL": at.curves},
            "rollout": resident | {"cache": at.rollout},
            "answers": {"weights and cache": at.answers},
        }[phase]
        told = " + ".join(f"{name} {size / 1e9:.0f}" for name, size in parts.items())
        fix = next((text for text, other in remedies(load) if text and peak(shape, other).most[1] <= limit), None)
        hardware = load.hardware
        where = f"{max(1, hardware.gpus)} x {limit / 1e9:.0f} GB, ZeRO-{hardware.zero}"
        yield (
            f"does not fit: {model} {', '.join(names)} ({where}): {most / 1e9:.0f} GB at the {phase}: {told}; "
            + (f"fits with {fix}" if fix else "no layout tried fits; take a larger accelerator")
        )


def judge_trouble(planner: Planner) -> str | None:
    """One sentence where the judge's weights leave no room for a cache on its GPUs."""
    verifier, shape = planner.config.verifier, planner.judge_shape
    if verifier is None or shape is None:
        return None
    weights = width_of(verifier.hardware) * shape.parameters
    devices, limit = max(1, verifier.hardware.gpus), planner.accelerator.memory * 1e9
    if weights / devices <= 0.85 * limit:
        return None
    needed = -(-weights // (0.85 * limit))
    return (
        f"does not fit: judge {verifier.checkpoint} on {devices} x {limit / 1e9:.0f} GB: its weights are "
        f"{weights / 1e9:.0f} GB; fits with gpus: {needed:.0f}"
    )


PROCESS_BYTES = 1e9  # of a process beside its tensors: Python, torch, transformers


def host_memory(planner: Planner) -> float:
    """Bytes of the host that one command needs at most: the weights once per process, and what is offloaded."""
    most = 0.0
    for name, model in planner.config.models.items():
        hardware, parameters = model.hardware, planner.shape(name).parameters
        held = model_plan(planner, name).peak.most[1] if hardware.gpus == 0 else width_of(hardware) * parameters
        offloaded = 12.0 * parameters if hardware.offload else 0.0
        most = max(most, hardware.processes * (PROCESS_BYTES + held) + offloaded)
    return most


def _at_stage(shape: Shape, load: Load, stage: int) -> Peak:
    return peak(shape, replace(load, hardware=load.hardware.model_copy(update={"zero": stage})))
