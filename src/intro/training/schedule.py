"""The number of steps, and the prompts of a step as a function of (seed, step): a resumed run draws the same."""

from __future__ import annotations

from intro.infra.seeds import generator_for


def steps_of(problems: int, per_step: int, epochs: int) -> int:
    """Whole steps in `epochs` passes over the training prompts, at least one; an incomplete last step is dropped."""
    return max(1, problems * epochs // per_step)


def prompts_of(seed: int, step: int, problems: int, per_step: int) -> list[int]:
    """Indices of the prompts of one step (0-based): consecutive slices of one shuffled pass after another."""
    import torch  # inside: the workflow imports this module while planning

    start, chosen = step * per_step, []
    while len(chosen) < per_step:
        position = start + len(chosen)
        epoch, offset = divmod(position, problems)
        order = torch.randperm(problems, generator=generator_for("prompts", seed, epoch)).tolist()
        chosen += order[offset : offset + per_step - len(chosen)]
    return chosen
