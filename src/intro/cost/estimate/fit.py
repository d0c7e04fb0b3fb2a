"""What fits the memory of an accelerator and of the host, and which changes make the rest fit."""

from __future__ import annotations

from dataclasses import dataclass

from intro.config import Hardware
from intro.cost.estimate.arithmetic import ModelShape, width_of
from intro.cost.estimate.memory import Load, Peak, peak, remedies
from intro.cost.estimate.work import Estimator
from intro.experiments import training_runs

PROCESS_BYTES = 1e9  # of a process beside its tensors: Python, torch, transformers


@dataclass(frozen=True, slots=True)
class ModelFit:
    """A model's sizes, its peak over the methods that train it, and what does not fit."""

    name: str
    shape: ModelShape
    hardware: Hardware
    peak: Peak
    by_stage: dict[int, float]  # bytes per GPU at ZeRO 1, 2 and 3 on the same GPUs
    rows: int  # decoded at once in rollouts
    longest_s: float  # of a training run, wall clock on its own devices
    misfits: tuple[str, ...]  # one sentence per memory load that does not fit


def model_fit(estimator: Estimator, model: str) -> ModelFit:
    """The largest peak over the methods that train this model."""
    config, shape, hardware = estimator.config, estimator.shapes[model], estimator.hardware(model)
    methods = {cell.method: config.all_methods[cell.method] for cell in training_runs(config) if cell.model == model}
    loads: dict[Load, list[str]] = {}
    for name, method in methods.items():
        loads.setdefault(estimator.load(model, method), []).append(name)
    worst = max(loads, key=lambda load: peak(shape, load).most[1])
    at = peak(shape, worst)
    share = -(-config.training.prompts_per_step * config.training.group_size // hardware.processes)
    batch = min(config.evaluation.batch, share)
    misfits = (misfit(estimator, model, load, names) for load, names in loads.items())
    return ModelFit(
        name=model,
        shape=shape,
        hardware=hardware,
        peak=at,
        by_stage={stage: peak(shape, worst.changed(zero=stage)).most[1] for stage in (1, 2, 3)},
        rows=estimator.roofline(model).rows(estimator.prompt, estimator.lengths, at.states + at.frozen, batch),
        longest_s=max(estimator.train(model, m).device_seconds for m in methods.values()) / hardware.processes,
        misfits=tuple(filter(None, misfits)),
    )


def misfit(estimator: Estimator, model: str, load: Load, methods: list[str]) -> str | None:
    """None where a load fits; else its largest phase by parts, and the cheapest change that fits."""
    shape, limit, hardware = estimator.shapes[model], estimator.accelerator.memory * 1e9, load.hardware
    at = peak(shape, load)
    phase, most = at.most
    if most <= limit:
        return None
    parts = " + ".join(f"{name} {size / 1e9:.0f}" for name, size in at.parts[phase].items())
    fix = next((text for text, other in remedies(load) if text and peak(shape, other).most[1] <= limit), None)
    where = f"{max(1, hardware.gpus)} x {limit / 1e9:.0f} GB, ZeRO-{hardware.zero}"
    return f"does not fit: {model} {', '.join(methods)} ({where}): {most / 1e9:.0f} GB at the {phase}: {parts}; " + (
        f"fits with {fix}" if fix else "no layout tried fits; take a larger accelerator"
    )


def judge_misfit(estimator: Estimator) -> str | None:
    """One sentence where the judge's weights leave no room for a cache on its GPUs."""
    verifier = estimator.config.verifier
    if verifier is None:
        return None
    weights, devices = estimator.judge_model().disk_bytes, max(1, verifier.hardware.gpus)
    limit = estimator.accelerator.memory * 1e9
    if weights / devices <= 0.85 * limit:
        return None
    return (
        f"does not fit: judge {verifier.checkpoint} on {devices} x {limit / 1e9:.0f} GB: its weights are "
        f"{weights / 1e9:.0f} GB; fits with gpus: {-(-weights // (0.85 * limit)):.0f}"
    )


def host_memory(estimator: Estimator) -> float:
    """Bytes of the host that one command needs at most: the weights once per process, and what is offloaded."""
    most = 0.0
    for name, model in estimator.config.models.items():
        hardware, parameters = model.hardware, estimator.shapes[name].parameters
        held = model_fit(estimator, name).peak.most[1] if hardware.gpus == 0 else width_of(hardware) * parameters
        offloaded = 12.0 * parameters if hardware.offload else 0.0
        most = max(most, hardware.processes * (PROCESS_BYTES + held) + offloaded)
    return most
