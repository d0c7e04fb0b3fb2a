"""The native engine and its decoder: tokens and logits equal those of transformers, for any batch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from intro.model.load import load_model
from intro.rollout.base import EngineOptions
from intro.rollout.decoder import Decoder
from intro.rollout.decoder_config import DecoderConfig
from intro.rollout.kv_cache import KVCache
from intro.rollout.native import NativeEngine
from intro.rollout.sampling import SLICE, Sampling, choose, nucleus
from intro.types import IntroError
from toy import logits_of, random_model, random_tokens

VARIANTS = [(family, tied) for family in ("qwen2", "qwen3") for tied in (True, False)]
VOCABULARY = 20
STOP = (0, 3, 11)  # several, so that rows end at different times


@pytest.fixture(params=VARIANTS, ids=lambda v: f"{v[0]}-{'tied' if v[1] else 'untied'}", scope="module")
def model(request: pytest.FixtureRequest):
    return random_model(*request.param, vocabulary=VOCABULARY, seed=3)


def ragged(rows: int, seed: int = 0, shortest: int = 1) -> list[tuple[int, ...]]:
    g = torch.Generator().manual_seed(seed)
    lengths = torch.randint(shortest, 14, (rows,), generator=g).tolist()
    return [random_tokens(n, VOCABULARY, g) for n in lengths]


def transformers_greedy(model, prompt: tuple[int, ...], limit: int) -> tuple[int, ...]:
    ids = torch.tensor([prompt])
    out = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=limit,
        eos_token_id=list(STOP),
        pad_token_id=0,
    )
    return tuple(out[0, len(prompt) :].tolist())


@pytest.mark.parametrize("batch", [3, 64])
def test_greedy_tokens_are_those_of_transformers(model, batch: int) -> None:
    """With ragged prompts, rows that end early, and more prompts than the batch has rows."""
    prompts, limit = ragged(11), 12
    responses = NativeEngine(Decoder.from_model(model), STOP, 0, EngineOptions(batch)).generate(
        prompts, Sampling(limit, 0)
    )
    assert [r.tokens for r in responses] == [transformers_greedy(model, p, limit) for p in prompts]
    for response in responses:
        assert response.truncated == (response.tokens[-1] not in STOP)
        assert not set(response.tokens[:-1]) & set(STOP)
    lengths = {len(r.tokens) for r in responses if not r.truncated}
    assert len(lengths) > 1, "rows must end at different steps, or compaction is not tested"


def test_a_rows_tokens_do_not_depend_on_the_other_rows(model) -> None:
    """Alone, with other rows and in another order: the same response, and the same entropy up to rounding."""
    prompts = ragged(9, seed=1)
    engine = NativeEngine(Decoder.from_model(model), STOP, pad=0)
    together = engine.generate(prompts, Sampling(10, 0))
    backwards = engine.generate(prompts[::-1], Sampling(10, 0))[::-1]
    for i, prompt in enumerate(prompts):
        (alone,) = engine.generate([prompt], Sampling(10, 0))
        assert alone.tokens == together[i].tokens == backwards[i].tokens
        assert alone.entropy == pytest.approx(together[i].entropy, abs=1e-5)


def test_prefill_and_decode_logits_equal_the_models(model) -> None:
    """The decoder's logits at every position, in one pass and token by token, to 1e-5."""
    decoder, tokens = Decoder.from_model(model), torch.tensor(ragged(1, seed=5, shortest=12)[0])
    length = len(tokens)
    with torch.inference_mode():
        wanted = model(tokens[None]).logits[0]
        torch.testing.assert_close(logits_of(decoder, tokens), wanted, atol=1e-5, rtol=1e-5)
        cache, one = KVCache(decoder.config, 1, length, decoder.embedding), torch.zeros(1, dtype=torch.long)
        decoder.prefill(tokens[None, :2], one + 1, cache, slice(1), one)
        for t in range(2, length):
            hidden = decoder.step(tokens[t : t + 1], one + t, cache, t + 1)
            torch.testing.assert_close(decoder.logits(hidden)[0], wanted[t], atol=1e-5, rtol=1e-5)


def test_equal_prompts_are_prefilled_once(model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal prompts share one prefill in any order of the prompts, and each row has the response that it has alone."""
    distinct = ragged(4, seed=2)
    prompts, prefilled = [distinct[i] for i in (2, 0, 1, 0, 3, 2, 2, 0)], []
    decoder = Decoder.from_model(model)
    monkeypatch.setattr(decoder, "prefill", lambda t, *a: prefilled.append(len(t)) or Decoder.prefill(decoder, t, *a))
    got = NativeEngine(decoder, STOP, pad=0).generate(prompts, Sampling(12, 0))
    assert sum(prefilled) == 4
    assert [r.tokens for r in got] == [transformers_greedy(model, p, 12) for p in prompts]


def test_no_step_is_spent_on_rows_that_have_ended(model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Free rows are refilled while prompts remain, and removed afterwards, so no batch waits for its longest row."""
    prompts, stepped = ragged(60, seed=4), []
    decoder = Decoder.from_model(model)
    monkeypatch.setattr(decoder, "step", lambda t, *rest: stepped.append(len(t)) or Decoder.step(decoder, t, *rest))
    responses = NativeEngine(decoder, STOP, 0, EngineOptions(16)).generate(
        prompts, Sampling(40, 1.0), torch.Generator()
    )
    lengths = [len(r.tokens) for r in responses]
    at_once = sum(length == 1 for length in lengths)  # rows that end with the prefill are still in the next step
    assert sum(stepped) == sum(lengths) - 60 + at_once
    in_turn = sum(max(lengths[i : i + 16]) for i in range(0, 60, 16))
    assert len(stepped) < in_turn and max(stepped) == 16


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_sampled_tokens_do_not_depend_on_the_batch(model, batch: int) -> None:
    """Each row has separate random numbers, so a seed gives the same responses for any batch size."""
    prompts, sampling = ragged(15, seed=6) * 2, Sampling(14, 0.9, 0.95)
    engines = (NativeEngine(Decoder.from_model(model), STOP, 0, EngineOptions(rows)) for rows in (7, batch))
    wanted, got = (engine.generate(prompts, sampling, torch.Generator().manual_seed(3)) for engine in engines)
    assert [r.tokens for r in got] == [r.tokens for r in wanted]
    assert [r.tokens for r in got[:15]] != [r.tokens for r in got[15:]], "equal prompts have different responses"


def test_steps_of_a_gpu_give_the_same_responses(model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checks for ended rows after several steps, and steps over more positions than requested."""
    prompts, sampling = ragged(21, seed=7), Sampling(13, 1.0)

    def rounded(step, rows: int, length: int):
        return lambda live, read: step(rows, read + 5)[:live]

    engine = NativeEngine(Decoder.from_model(model), STOP, 0, EngineOptions(6))
    wanted = engine.generate(prompts, sampling, torch.Generator().manual_seed(3))
    monkeypatch.setattr("intro.rollout.native.CudaGraphs", rounded)
    monkeypatch.setattr(KVCache, "reserve", lambda self, length, grow=KVCache.reserve: grow(self, length + 5))
    engine.cuda_graphs, engine.steps = True, 4
    got = engine.generate(prompts, sampling, torch.Generator().manual_seed(3))
    assert [(r.tokens, r.truncated) for r in got] == [(r.tokens, r.truncated) for r in wanted]
    assert [r.entropy for r in got] == pytest.approx([r.entropy for r in wanted], abs=1e-5)


def test_entropy_is_the_untempered_mean_over_tokens(model) -> None:
    """The logged entropy is the policy's at temperature 1, averaged over generated tokens."""
    prompt = ragged(1, seed=2)[0]
    engine = NativeEngine(Decoder.from_model(model), STOP, pad=0)
    (response,) = engine.generate([prompt], Sampling(8, 0.5, 0.8), torch.Generator().manual_seed(0))
    with torch.inference_mode():
        logp = model(torch.tensor([[*prompt, *response.tokens]])).logits[0].log_softmax(-1)
    wanted = -(logp.exp() * logp).sum(-1)[len(prompt) - 1 : -1].mean()
    assert response.entropy == pytest.approx(float(wanted), abs=1e-5)


def test_decoder_follows_the_live_model() -> None:
    """After an update of the model and `refresh`, the decoder computes the logits of the new policy."""
    model = random_model("qwen3")
    decoder, tokens = Decoder.from_model(model), torch.tensor([1, 2, 3])
    before = logits_of(decoder, tokens)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1
        decoder.refresh()
        torch.testing.assert_close(logits_of(decoder, tokens), model(tokens[None]).logits[0], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(before, logits_of(decoder, tokens))


# ---------------------------------------------------------------- sampling


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.6, 1.0), (1.0, 0.8), (1.6, 0.8)])
def test_sampled_pairs_have_the_models_frequencies(temperature: float, top_p: float) -> None:
    """First and second token together follow softmax at the temperature, cut to the nucleus (chi-square)."""
    model, draws = random_model("qwen3", vocabulary=8, seed=1), 6000
    prompt = (4, 2, 5)
    engine = NativeEngine(Decoder.from_model(model), stop=(99,), pad=0, options=EngineOptions(2000))
    drawn = engine.generate([prompt] * draws, Sampling(2, temperature, top_p), torch.Generator().manual_seed(0))
    counts = np.zeros((8, 8))
    for response in drawn:
        counts[response.tokens] += 1

    def expected(prefix: tuple[int, ...]) -> np.ndarray:
        with torch.inference_mode():
            logits = model(torch.tensor([prefix])).logits[0, -1].double().numpy() / temperature
        p = np.exp(logits - logits.max())
        p /= p.sum()
        ranked = np.argsort(-p)
        kept = ranked[: int(np.searchsorted(np.cumsum(p[ranked]), top_p - 1e-9)) + 1]
        cut = np.where(np.isin(np.arange(8), kept), p, 0)
        return cut / cut.sum()

    first = expected(prompt)
    joint = np.stack([first[v] * expected((*prompt, v)) for v in range(8)])
    assert counts[joint == 0].sum() == 0
    likely = joint * draws >= 5
    rest = (counts[~likely].sum(), joint[~likely].sum() * draws)
    seen, wanted = [*counts[likely], rest[0]], [*(joint[likely] * draws), rest[1]]
    if rest[1] == 0:
        seen, wanted = seen[:-1], wanted[:-1]
    assert len(seen) > 3
    assert chisquare(seen, np.array(wanted) * sum(seen) / sum(wanted)).pvalue > 1e-3


def test_sampling_repeats_with_its_generator() -> None:
    engine = NativeEngine(Decoder.from_model(random_model()), STOP, pad=0)
    first, second, other = (
        [r.tokens for r in engine.generate(ragged(8), Sampling(10), torch.Generator().manual_seed(s))]
        for s in (1, 1, 2)
    )
    assert first == second != other


def test_temperature_zero_is_the_most_likely_token() -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0], [2.0, -1.0, 0.0]])
    token, entropy = choose(logits, Sampling(1, 0), torch.zeros(2))
    assert token.tolist() == [1, 0]
    p = logits.softmax(-1)
    torch.testing.assert_close(entropy, -(p * p.log()).sum(-1))


distributions = st.lists(st.floats(1e-4, 1.0), min_size=1, max_size=12).map(
    lambda w: torch.tensor(w, dtype=torch.float64) / sum(w)
)


def cut(p: torch.Tensor, top_p: float) -> torch.Tensor:
    """p [B, V] with 0 outside of the nucleus."""
    kept, ids = nucleus(p, top_p)
    return torch.zeros_like(p).scatter(-1, ids, kept)


def plain_cut(p: torch.Tensor, top_p: float) -> torch.Tensor:
    """The same by sorting the whole vocabulary."""
    ranked, ids = p.sort(dim=-1, descending=True, stable=True)
    before = ranked.cumsum(-1) - ranked
    return torch.zeros_like(p).scatter(-1, ids, ranked.masked_fill(before >= top_p, 0.0))


@given(distributions, st.floats(0.01, 1.0))
def test_nucleus_is_the_smallest_set_that_reaches_its_mass(p: torch.Tensor, top_p: float) -> None:
    """Kept tokens are the likeliest, keep their value, reach top_p, and one fewer would not."""
    kept = cut(p[None], top_p)[0]
    chosen = kept > 0
    assert chosen.any() and torch.equal(kept[chosen], p[chosen])
    assert kept.sum() >= min(top_p, float(p.sum())) - 1e-9
    assert kept.sum() - kept[chosen].min() < top_p + 1e-9
    if not chosen.all():
        assert p[~chosen].max() <= p[chosen].min()


def test_nucleus_by_hand() -> None:
    p = torch.tensor([[0.1, 0.5, 0.15, 0.25]])
    assert cut(p, 0.5).tolist() == [[0, 0.5, 0, 0]]
    assert cut(p, 0.51)[0, 3] == 0.25 and cut(p, 0.51)[0, 2] == 0
    assert torch.equal(cut(p, 1.0), p)


@pytest.mark.parametrize("sharpness", [0.0, 0.3, 2.0, 6.0])
@pytest.mark.parametrize("steps", [None, 4])
def test_nucleus_of_a_wide_vocabulary_is_that_of_a_full_sort(sharpness: float, steps: int | None) -> None:
    """With nuclei inside and outside of the slice, and with equal probabilities at the cut (`steps`: coarse logits)."""
    logits = sharpness * torch.randn(7, 5 * SLICE, generator=torch.Generator().manual_seed(0))
    p = (logits if steps is None else (logits * steps).round() / steps).softmax(-1)
    for top_p in (0.1, 0.5, 0.95):
        assert torch.equal(cut(p, top_p), plain_cut(p, top_p))
    width = nucleus(p, 0.5)[0].shape[1]
    assert width == (SLICE if sharpness >= 2 else 5 * SLICE), "both ways must be tested"


# ---------------------------------------------------------------- model folders


@pytest.fixture(params=VARIANTS, ids=lambda v: f"{v[0]}-{'tied' if v[1] else 'untied'}")
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    random_model(*request.param, seed=2).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_folder_gives_the_same_decoder_as_its_model(folder: Path) -> None:
    """Reading a saved folder without transformers changes no bit of the logits."""
    tokens = torch.tensor([1, 5, 2, 9])
    decoders = Decoder.from_folder(folder), Decoder.from_model(load_model(folder))
    assert torch.equal(*(logits_of(decoder, tokens) for decoder in decoders))


def change_config(folder: Path, **changes: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


DAMAGE = {
    "no folder": lambda f: [p.unlink() for p in f.iterdir()] and f.rmdir(),
    "no config": lambda f: (f / "config.json").unlink(),
    "no weights": lambda f: (f / "model.safetensors").unlink(),
    "config cut": lambda f: (f / "config.json").write_text('{"model_type": "qwe'),
    "config binary": lambda f: (f / "config.json").write_bytes(b"\xff\xfe\x00"),
    "weights cut": lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:200]),
    "weights empty": lambda f: (f / "model.safetensors").write_bytes(b""),
    "weights of fewer layers": lambda f: change_config(f, num_hidden_layers=3),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("folder", [("qwen2", True)], indirect=True)
def test_damaged_folder_is_a_one_line_error_with_its_path(folder: Path, damage: str) -> None:
    """For every kind of damage, and from both readers of a folder."""
    DAMAGE[damage](folder)
    for reader in (Decoder.from_folder, load_model):
        with pytest.raises(IntroError) as error:
            reader(folder)
        assert str(folder) in str(error.value) and "\n" not in str(error.value)


def test_other_architectures_are_refused(tmp_path: Path) -> None:
    random_model().save_pretrained(tmp_path)
    change_config(tmp_path, model_type="gemma")
    with pytest.raises(IntroError, match="expected a model of type qwen2 or qwen3 or llama, found 'gemma'"):
        Decoder.from_folder(tmp_path)


def test_the_cache_grows_by_blocks_and_keeps_its_content() -> None:
    """Old positions do not change; new ones are zero, since masked positions are multiplied by zero weights."""
    shape, block = (
        DecoderConfig(2, heads=2, kv_heads=1, head_dim=4, epsilon=1e-6, rope_theta=1e4, context=512),
        KVCache.BLOCK,
    )
    cache = KVCache(shape, 3, 5, torch.empty(0))
    assert cache.length == block and not torch.stack(cache.keys).any()
    for part in (*cache.keys, *cache.values):
        part.uniform_()
    keys, values = torch.stack(cache.keys), torch.stack(cache.values)
    cache.reserve(block)
    assert cache.length == block
    cache.reserve(block + 1)
    for old, new in ((keys, torch.stack(cache.keys)), (values, torch.stack(cache.values))):
        assert new.shape == (2, 3, 1, 2 * block, 4)
        assert new[..., :block, :].equal(old) and not new[..., block:, :].any()
    cache.reserve(4 * block)
    assert cache.length == 4 * block
    cache.move(torch.tensor([2]), torch.tensor([0]), 7)
    moved = torch.stack(cache.values)
    assert moved[:, 0, :, :7].equal(values[:, 2, :, :7]) and moved[:, 0, :, 7:block].equal(values[:, 0, :, 7:])
    assert moved[:, 1:, :, :block].equal(values[:, 1:])
