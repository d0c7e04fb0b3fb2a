from __future__ import annotations

from pathlib import Path

import pytest

from intro import config
from intro.tasks.registry import load_source
from intro.types import IntroError

TINY = Path(__file__).parents[2] / "config" / "tiny.yaml"


@pytest.fixture(scope="module")
def tiny() -> config.Config:
    return config.load(TINY)


def test_the_default_config_makes_a_whole_world(tiny: config.Config) -> None:
    source = load_source(tiny.data, tiny.prompts, tiny.seed)
    for name, benchmark in tiny.data.benchmarks.items():
        assert len(source.problems(name)) == benchmark.problems
    assert len(source.train()) == tiny.data.train_problems
    assert len(source.validation()) == tiny.data.validation_problems
    assert source.unknown_answer() == "_"
    tokenizer = source.build_tokenizer()
    longest = max(len(tokenizer.encode(response)) for _, response in source.corpus("clean", 2000))
    assert longest < 1.2 * tiny.training.max_response_tokens


def test_an_unknown_source_raises(tiny: config.Config) -> None:
    data = tiny.data.model_copy(update={"source": "the_moon"})
    with pytest.raises(IntroError, match=r"data\.source: expected one of tiny_world, hub, found 'the_moon'"):
        load_source(data, tiny.prompts, tiny.seed)
