"""All engines give the same greedy tokens and stop tokens, and sample the same distribution."""

from __future__ import annotations

import importlib.util
import math
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import numpy as np
import pytest
import torch
from scipy.stats import chi2_contingency

from intro.config import Hardware
from intro.model.load import load_model
from intro.model.tokenizer import ModelTokenizer
from intro.rollout import vllm
from intro.rollout.api import ENGINES, open_engine
from intro.rollout.base import EngineOptions, cut_at_stop
from intro.rollout.sampling import Sampling
from intro.types import IntroError
from toy import random_model, random_tokens

TOKENIZER = ModelTokenizer(None, 0, (0, 3, 11))
RUN_HERE = ["native", "transformers"]
no_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def prompts_of(rows: int) -> list[tuple[int, ...]]:
    g = torch.Generator().manual_seed(0)
    return [random_tokens(1 + 3 * i % 13, 20, g) for i in range(rows)]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("live", [True, False])
def test_greedy_tokens_are_the_same(tmp_path: Path, live: bool) -> None:
    """For a live model and for its folder; rows end at different steps, and there are more prompts than rows."""
    model = random_model("qwen3", seed=3)
    model.save_pretrained(tmp_path)
    prompts = prompts_of(11)
    wanted = open_engine("native", model, TOKENIZER).generate(prompts, Sampling(12, 0))
    assert len({len(r.tokens) for r in wanted}) > 1
    for name in RUN_HERE:
        engine, seen = open_engine(name, model if live else tmp_path, TOKENIZER, EngineOptions(batch=4)), []
        got = engine.generate(prompts, Sampling(12, 0), progress=seen.append)
        assert [(r.tokens, r.truncated) for r in got] == [(r.tokens, r.truncated) for r in wanted], name
        assert sum(seen) == 11 and engine.generate([], Sampling(12, 0)) == []


@pytest.mark.parametrize("name", RUN_HERE)
def test_a_live_models_updates_are_followed(name: str) -> None:
    model, prompts = random_model(seed=3), prompts_of(5)
    engine = open_engine(name, model, TOKENIZER)
    before = engine.generate(prompts, Sampling(12, 0))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1
    after = engine.generate(prompts, Sampling(12, 0))
    fresh = open_engine(name, model, TOKENIZER).generate(prompts, Sampling(12, 0))
    assert [r.tokens for r in after] == [r.tokens for r in fresh] != [r.tokens for r in before]


@pytest.mark.parametrize("name", RUN_HERE)
def test_sampling_repeats_and_changes_no_other_state(name: str) -> None:
    """The caller's generator is the only randomness; global random state and the model's mode do not change."""
    model, prompts = random_model(seed=3).train(), prompts_of(6)
    engine, state = open_engine(name, model, TOKENIZER), torch.get_rng_state()
    first, second, other = (
        [r.tokens for r in engine.generate(prompts, Sampling(10, 1.0, 0.9), seeded(s))] for s in (1, 1, 2)
    )
    assert first == second != other
    assert torch.equal(state, torch.get_rng_state()) and model.training
    generator = seeded(1)
    rounds = [[r.tokens for r in engine.generate(prompts, Sampling(10), generator)] for _ in range(2)]
    assert rounds[0] != rounds[1], "a second round with the same generator gives other tokens"


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.6, 0.9)])
def test_engines_sample_one_distribution(temperature: float, top_p: float) -> None:
    """First tokens of many draws, native against transformers; all 20 words are possible, so neither has a top-k."""
    model, prompts = random_model(seed=1), [(4, 2, 5)] * 1500
    with torch.no_grad():
        model.get_output_embeddings().weight *= 0.3  # flat, so that a hidden cut would show
    counts = np.zeros((2, 20))
    for row, name in zip(counts, RUN_HERE, strict=True):
        drawn = open_engine(name, model, TOKENIZER, EngineOptions(batch=1500)).generate(
            prompts, Sampling(1, temperature, top_p), seeded(0)
        )
        for response in drawn:
            row[response.tokens[0]] += 1
    seen = counts[:, counts.sum(0) > 0]
    assert ((counts > 0).sum(1) > 10).all()
    assert chi2_contingency(seen[:, seen.sum(0) > 9]).pvalue > 1e-3


def test_responses_end_with_their_stop_token() -> None:
    assert cut_at_stop([5, 3, 0, 7], (0, 3)).tokens == (5, 3) and not cut_at_stop([5, 3], (0, 3)).truncated
    assert cut_at_stop([5, 7], (0, 3)).tokens == (5, 7) and cut_at_stop([5, 7], (0, 3)).truncated
    assert math.isnan(cut_at_stop([5], (5,)).entropy)


def test_a_failed_prompt_is_a_one_line_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers logs errors and returns fewer responses, which must not be assigned to other prompts."""
    model = random_model()
    engine = open_engine("transformers", model, TOKENIZER)
    bad = SimpleNamespace(error="out of memory\ntrace", generated_tokens=[])
    good = SimpleNamespace(error=None, generated_tokens=[1, 0])
    monkeypatch.setattr(model, "generate_batch", lambda **_: {"a": good, "b": bad})
    with pytest.raises(IntroError, match=r"2 of 3 prompts have no response \(out of memory\)$"):
        engine.generate([(1,), (2,), (3,)], Sampling(4))


def test_unknown_engines_and_missing_packages_are_one_line_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(IntroError, match="expected one of native, transformers, vllm, found 'sglang'"):
        open_engine("sglang", random_model(), TOKENIZER)
    with pytest.raises(IntroError, match="it holds a model on one GPU, found gpus: 4"):
        open_engine("native", random_model(), TOKENIZER, EngineOptions(gpus=4))
    monkeypatch.setattr(vllm, "find_spec", lambda name: None)
    with pytest.raises(IntroError, match=r"vllm is not installed; install the extra `vllm`"):
        open_engine("vllm", random_model(), TOKENIZER)
    monkeypatch.setattr(vllm, "find_spec", lambda name: True)
    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(LLM=StandIn))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(IntroError, match="expected one process, found several"):
        open_engine("vllm", random_model(), TOKENIZER)


class StandIn:
    """The calls of vLLM that VllmEngine makes, answered by the native engine."""

    def __init__(self, model: str, **options: object) -> None:
        self.folder, self.options, self.log = model, options, []

    def collective_rpc(self, method: str, kwargs: dict) -> None:
        self.log.append((method, kwargs["weights_path"]))
        self.folder = kwargs["weights_path"]

    def reset_prefix_cache(self) -> None:
        self.log.append("reset")

    def generate(self, prompts: list[dict], params: list, use_tqdm: bool) -> list[SimpleNamespace]:
        assert len({p["seed"] for p in params}) == len(prompts) and params[0]["ignore_eos"]
        native = open_engine("native", self.folder, TOKENIZER)
        limit = params[0]["max_tokens"]
        responses = native.generate([p["prompt_token_ids"] for p in prompts], Sampling(limit, params[0]["temperature"]))
        return [SimpleNamespace(outputs=[SimpleNamespace(token_ids=list(r.tokens))]) for r in responses]


def test_vllm_reads_the_live_weights_before_every_call(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The current weights are in the folder that vLLM is asked to load. vLLM itself is not tested."""
    monkeypatch.setattr(vllm, "find_spec", lambda name: True)
    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(LLM=StandIn, SamplingParams=dict))
    monkeypatch.setattr(vllm, "MEMORY", tmp_path)
    model, prompts = random_model(seed=3), prompts_of(5)
    engine = vllm.VllmEngine(model, TOKENIZER, EngineOptions(batch=8))
    assert engine._llm.options["dtype"] == "float32", "the dtype is the live model's"
    engine.generate(prompts, Sampling(8, 0))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1
    got = engine.generate(prompts, Sampling(8, 0))
    wanted = open_engine("native", model, TOKENIZER).generate(prompts, Sampling(8, 0))
    assert [(r.tokens, r.truncated) for r in got] == [(r.tokens, r.truncated) for r in wanted]
    assert [entry[0] if isinstance(entry, tuple) else entry for entry in engine._llm.log] == [
        "reload_weights",
        "reset",
    ] * 2
    assert engine._llm.options["generation_config"] == "vllm" and Path(engine._llm.folder).parent == tmp_path


@pytest.mark.gpu
@no_gpu
@pytest.mark.parametrize("name", RUN_HERE)
def test_engines_on_a_gpu(tmp_path: Path, name: str) -> None:
    """bfloat16 on the device: responses end with a stop token or are truncated, and repeat with their seed."""
    random_model("qwen3", seed=3).save_pretrained(tmp_path)
    engine = open_engine(name, tmp_path, TOKENIZER, EngineOptions(dtype="bfloat16", device="cuda"))
    first, second = (engine.generate(prompts_of(20), Sampling(12, 0.6, 0.95), seeded(1)) for _ in range(2))
    assert [r.tokens for r in first] == [r.tokens for r in second]
    assert all(r.truncated == (r.tokens[-1] not in TOKENIZER.stop) for r in first)


@pytest.mark.gpu
@no_gpu
@pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="needs the extra `vllm`")
@pytest.mark.skipif("INTRO_TEST_MODEL" not in os.environ, reason="needs a small checkpoint's folder, INTRO_TEST_MODEL")
def test_vllm_follows_a_live_model() -> None:
    """A real checkpoint in fp32: greedy tokens are the native engine's, before and after the weights change."""
    folder = Path(os.environ["INTRO_TEST_MODEL"])
    model, tokenizer = load_model(folder, device="cuda"), ModelTokenizer.from_folder(folder)
    prompts = tokenizer.prompts(["1 + 1 =", "The capital of France is", "def add(a, b):"])
    engine = open_engine("vllm", model, tokenizer, EngineOptions(memory=0.3))
    for _ in range(2):
        wanted = open_engine("native", model, tokenizer).generate(prompts, Sampling(16, 0))
        assert [r.tokens for r in engine.generate(prompts, Sampling(16, 0))] == [r.tokens for r in wanted]
        with torch.no_grad():
            for parameter in model.parameters():
                parameter *= 1.05


def test_the_registry_has_the_engines_of_the_config() -> None:
    assert set(get_args(Hardware.model_fields["engine"].annotation)) == set(ENGINES)
