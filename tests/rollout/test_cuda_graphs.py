"""CUDA graphs of the decode step: few graphs, and the same responses as without them."""

from __future__ import annotations

import pytest
import torch

from intro.rollout.base import EngineOptions
from intro.rollout.cuda_graphs import bucket
from intro.rollout.decoder import Decoder
from intro.rollout.native import NativeEngine
from intro.rollout.sampling import Sampling
from toy import random_model, random_tokens

no_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def test_buckets_are_few() -> None:
    """Sizes are rounded up to powers of two, and limited to the number of rows."""
    sizes = [bucket(n, 1000) for n in range(1, 1001)]
    assert all(n <= size < 2 * n or n == size == 1 for n, size in enumerate(sizes, start=1))
    assert sorted(set(sizes)) == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000]
    assert bucket(70, 71) == 71 and bucket(1, 1) == 1


@pytest.mark.gpu
@no_gpu
def test_graphs_give_the_responses_of_the_step_without_them() -> None:
    """Greedy and sampled, with rows that end, are refilled and dropped; before and after an update of the weights."""
    model = random_model("qwen3", seed=3).cuda()
    g = torch.Generator().manual_seed(1)
    prompts = [random_tokens(1 + i % 7, 20, g) for i in range(40)]
    decoder = Decoder.from_model(model)
    with_graphs, without = (
        NativeEngine(decoder, (0, 3, 11), 0, EngineOptions(12, cuda_graphs=on)) for on in (True, False)
    )
    for sampling in (Sampling(60, 0), Sampling(60, 1.0), Sampling(60, 0.6, 0.95)):
        got, wanted = (e.generate(prompts, sampling, torch.Generator().manual_seed(2)) for e in (with_graphs, without))
        assert [r.tokens for r in got] == [r.tokens for r in wanted]
        with torch.no_grad():
            for parameter in model.parameters():
                parameter *= 1.05
