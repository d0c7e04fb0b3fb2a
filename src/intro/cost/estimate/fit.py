"""What fits the memory of an accelerator and of the host, and which changes make the rest fit."""

from __future__ import annotations

from intro.cost.estimate.arithmetic import width_of
from intro.cost.estimate.memory import Load, peak, remedies
from intro.cost.estimate.work import Estimator

PROCESS_BYTES = 1e9  # of a process beside its tensors: Python, torch, transformers


def loads(estimator: Estimator, model: str) -> dict[Load, list[str]]:
    """What a model's runs put on a GPU -> the methods that do."""
    found: dict[Load, list[str]] = {}
    for name, method in estimator.methods(model).items():
        found.setdefault(estimator.load(model, method), []).append(name)
    return found


def largest_load(estimator: Estimator, model: str) -> Load:
    """The one with the largest peak over the methods that train this model."""
    return max(loads(estimator, model), key=lambda load: peak(estimator.shapes[model], load).most[1])


def misfits(estimator: Estimator) -> dict[str, list[str]]:
    """Each model with a load that does not fit, and "the judge" -> one sentence per load."""
    found: dict[str, list[str | None]] = {}
    for model in estimator.shapes:
        found[model] = [misfit(estimator, model, load, names) for load, names in loads(estimator, model).items()]
    found["the judge"] = [judge_misfit(estimator)]
    return {name: list(filter(None, sentences)) for name, sentences in found.items() if any(sentences)}


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
    verifier, limit = estimator.config.verifier, estimator.accelerator.memory * 1e9
    if verifier is None:
        return None
    weights, devices = estimator.judge_roofline.weight_bytes, estimator.judge_roofline.devices
    if weights / devices <= 0.85 * limit:
        return None
    return (
        f"does not fit: judge {verifier.checkpoint} on {devices} x {limit / 1e9:.0f} GB: its weights are "
        f"{weights / 1e9:.0f} GB; fits with gpus: {-(-weights // (0.85 * limit)):.0f}"
    )


def host_memory(estimator: Estimator) -> float:
    """Bytes of the host that one command needs at most: the weights once per process, and what is offloaded."""
    most = 0.0
    for name, shape in estimator.shapes.items():
        hardware = estimator.hardware(name)
        held = width_of(hardware) * shape.parameters
        if hardware.gpus == 0:
            held = peak(shape, largest_load(estimator, name)).most[1]
        offloaded = 12.0 * shape.parameters if hardware.offload else 0.0
        most = max(most, hardware.processes * (PROCESS_BYTES + held) + offloaded)
    return most
