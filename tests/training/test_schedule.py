"""The prompts of a step: whole passes without repetition, as a function of seed and step."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from intro.infra.seeds import generator_for, seed_of
from intro.training.schedule import prompts_of, steps_of

sizes = st.tuples(st.integers(1, 40), st.integers(1, 50), st.integers(0, 5))


@given(sizes)
def test_steps_are_consecutive_parts_of_whole_passes(size: tuple[int, int, int]) -> None:
    """Concatenated, the steps are one permutation of all problems after another, also where a step spans two passes."""
    problems, per_step, seed = size
    passes = 3
    steps = steps_of(problems, per_step, passes)
    assert steps == 1 or passes * problems - per_step < steps * per_step <= passes * problems
    stream = [i for step in range(steps + 1) for i in prompts_of(seed, step, problems, per_step)]
    for start in range(0, len(stream) - problems + 1, problems):
        assert sorted(stream[start : start + problems]) == list(range(problems))


def test_prompts_depend_on_seed_and_step_only() -> None:
    """Global random state and the order of calls do not matter; seeds and passes differ."""
    torch.manual_seed(1)
    forwards = [prompts_of(3, step, 20, 6) for step in range(8)]
    torch.rand(5)
    assert [prompts_of(3, step, 20, 6) for step in reversed(range(8))] == forwards[::-1]
    assert prompts_of(4, 0, 20, 20) != prompts_of(3, 0, 20, 20) != prompts_of(3, 1, 20, 20)


def test_steps_by_hand() -> None:
    """8,888 problems by 128 give 69 steps, with the remainder dropped; 960 by 32 give 30; there is at least one."""
    assert (steps_of(8888, 128, 1), steps_of(960, 32, 1), steps_of(10, 4, 3), steps_of(2, 4, 1)) == (69, 30, 7, 1)


def test_generators_are_named_and_repeat() -> None:
    """A generator is a function of its name: other names, or parts in another order, give other numbers."""
    names = [("a", 1), ("a", 2), ("b", 1), (1, "a")]
    first = [torch.rand(1, generator=generator_for(*n)).item() for n in names]
    assert first == [torch.rand(1, generator=generator_for(*n)).item() for n in names]
    assert len(set(first)) == 4
    assert seed_of("a", 1) == 6431086039603022688  # as it was when results were published: else none could be repeated
