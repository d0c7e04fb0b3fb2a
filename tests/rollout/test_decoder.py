"""Published model folders: their config.json, shards, dtypes and ropes give the logits of transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from intro.model.load import load_model
from intro.rollout.base import EngineOptions
from intro.rollout.decoder import Decoder
from intro.rollout.decoder_config import DecoderConfig
from intro.rollout.kv_cache import KVCache
from intro.rollout.native import NativeEngine
from intro.rollout.sampling import Sampling
from intro.types import IntroError
from toy import disturb, logits_of, random_model, random_tokens

no_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
STOP = (0, 3, 11)


def qwen2(layers: int, hidden: int, inner: int, heads: int, kv: int, vocabulary: int, tied: bool, window: int) -> dict:
    """config.json as Qwen2.5 was published: rope_theta at the top, a sliding_window that is not used."""
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "attention_dropout": 0.0,
        "bos_token_id": 151643,
        "eos_token_id": 151643,
        "hidden_act": "silu",
        "hidden_size": hidden,
        "initializer_range": 0.02,
        "intermediate_size": inner,
        "max_position_embeddings": window,
        "max_window_layers": layers,
        "model_type": "qwen2",
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "num_key_value_heads": kv,
        "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0,
        "sliding_window": window,
        "tie_word_embeddings": tied,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.40.1",
        "use_cache": True,
        "use_mrope": False,
        "use_sliding_window": False,
        "vocab_size": vocabulary,
    }


def qwen3(layers: int, hidden: int, inner: int, heads: int, kv: int, vocabulary: int, tied: bool) -> dict:
    """config.json as Qwen3 was published: with head_dim, rope_scaling and sliding_window null."""
    published = qwen2(layers, hidden, inner, heads, kv, vocabulary, tied, 32768)
    changes = {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "head_dim": 128, "attention_bias": False}
    return published | changes | {"rope_scaling": None, "sliding_window": None, "transformers_version": "4.51.0"}


PUBLISHED = {
    "Qwen2.5-1.5B": qwen2(28, 1536, 8960, 12, 2, 151936, True, 131072),
    "Qwen2.5-3B": qwen2(36, 2048, 11008, 16, 2, 151936, True, 32768),
    "Qwen2.5-7B": qwen2(28, 3584, 18944, 28, 4, 152064, False, 131072),
    "Qwen3-4B-Base": qwen3(36, 2560, 9728, 32, 8, 151936, True),
    "Qwen3-8B-Base": qwen3(36, 4096, 12288, 32, 8, 151936, False),
}
KV_BYTES = {"Qwen2.5-1.5B": 28672, "Qwen2.5-3B": 36864, "Qwen2.5-7B": 57344, "Qwen3-4B-Base": 147456}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes(name: str) -> None:
    """Heads are 128 wide in all five, and a token's keys and values have the published size in bytes."""
    config = PUBLISHED[name]
    shape = DecoderConfig.of(config, name)
    assert (shape.head_dim, shape.rope_theta, shape.layers) == (128, 1e6, config["num_hidden_layers"])
    assert 2 * shape.cached_per_token == KV_BYTES.get(name, 147456)  # bfloat16


def toy_folder(folder: Path, config: dict[str, Any], dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """A folder with a published config.json at toy widths, in its published form, and random weights."""
    config = config | {
        "hidden_size": 4 * config["num_attention_heads"] // config["num_key_value_heads"],
        "intermediate_size": 40,
        "num_hidden_layers": 2,
        "num_attention_heads": config["num_attention_heads"] // config["num_key_value_heads"],
        "num_key_value_heads": 1,
        "vocab_size": 24,
        "initializer_range": 0.3,
        "bos_token_id": None,
        "eos_token_id": 0,
    }
    config |= {"head_dim": 8} if "head_dim" in config else {}
    torch.manual_seed(4)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config), dtype=torch.float32).eval()
    disturb(model, 4)
    model.to(dtype).save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(config))
    return model


LLAMA = {k: v for k, v in PUBLISHED["Qwen2.5-1.5B"].items() if "window" not in k and k != "rope_theta"} | {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
}
SHORT = {"factor": 4.0, "original_max_position_embeddings": 16}
LLAMA3 = SHORT | {"rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0}
FOLDERS = PUBLISHED | {
    "llama": LLAMA | {"rope_theta": 10000.0},
    "llama with biases": LLAMA | {"rope_theta": 10000.0, "attention_bias": True, "mlp_bias": True},
    "llama3 as published": LLAMA | {"rope_theta": 500.0, "rope_scaling": LLAMA3},
    "llama3 of transformers 5": LLAMA | {"rope_parameters": LLAMA3 | {"rope_theta": 500.0}},
    "linear": LLAMA | {"rope_theta": 100.0, "rope_scaling": {"type": "linear", "factor": 3.0}},
    "yarn": PUBLISHED["Qwen2.5-7B"] | {"rope_theta": 100.0, "rope_scaling": SHORT | {"rope_type": "yarn"}},
}


@pytest.mark.parametrize("name", FOLDERS)
def test_published_configs_give_the_logits_of_transformers(tmp_path: Path, name: str) -> None:
    """Both read the same folder; the text is longer than a scaled rope's original context."""
    toy_folder(tmp_path, FOLDERS[name])
    tokens = torch.tensor(random_tokens(60, 24, torch.Generator().manual_seed(1)))
    model, decoder = load_model(tmp_path), Decoder.from_folder(tmp_path)
    with torch.inference_mode():
        wanted = model(tokens[None]).logits[0]
    torch.testing.assert_close(logits_of(decoder, tokens), wanted, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(logits_of(Decoder.from_model(model), tokens), wanted, atol=1e-4, rtol=1e-4)
    if "rope_scaling" in FOLDERS[name] and FOLDERS[name]["rope_scaling"]:
        plain = Decoder.from_folder(toy_plain(tmp_path))
        assert not torch.allclose(logits_of(plain, tokens), wanted, atol=1e-2), "the scaling must matter in this test"


def toy_plain(folder: Path) -> Path:
    """The same folder without its rope scaling."""
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"rope_scaling": None}))
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"use_sliding_window": True}, "sliding"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "sliding"),
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "rope_type 'dynamic'"),
        ({"rope_parameters": {"rope_type": "longrope", "rope_theta": 1e4}}, "rope_type 'longrope'"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu'"),
    ],
)
def test_unsupported_configs_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(IntroError, match=message):
        DecoderConfig.of(PUBLISHED["Qwen2.5-7B"] | changes, "model")


def test_layer_types_of_transformers_5_are_accepted() -> None:
    saved = AutoConfig.for_model(**PUBLISHED["Qwen2.5-7B"]).to_dict()
    assert set(saved["layer_types"]) == {"full_attention"} and "rope_theta" not in saved
    assert DecoderConfig.of(saved, "model") == DecoderConfig.of(PUBLISHED["Qwen2.5-7B"], "model")


# ---------------------------------------------------------------- files and dtypes


def test_shards_give_the_same_decoder(tmp_path: Path) -> None:
    """Weights in several files; a file that the index does not name is not read."""
    model, tokens = random_model("qwen3", tied=False, seed=6), torch.tensor([1, 5, 2])
    model.save_pretrained(tmp_path, max_shard_size="4KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    (tmp_path / "leftover.safetensors").write_bytes(b"of another model")
    assert torch.equal(logits_of(Decoder.from_folder(tmp_path), tokens), logits_of(Decoder.from_model(model), tokens))
    assert torch.equal(load_model(tmp_path)(tokens[None]).logits, model(tokens[None]).logits)
    first = min(tmp_path.glob("model-*.safetensors"))
    first.unlink()
    for reader in (Decoder.from_folder, load_model):
        with pytest.raises(IntroError, match=f"{first.name}: expected a part of the model's weights, found no file"):
            reader(tmp_path)


def test_bfloat16_weights_remain_bfloat16(tmp_path: Path) -> None:
    """Weights are bfloat16; logits are fp32, and about as exact as those of transformers or better."""
    model = toy_folder(tmp_path, PUBLISHED["Qwen2.5-7B"], torch.bfloat16)
    decoder, tokens = Decoder.from_folder(tmp_path), torch.tensor(random_tokens(12, 24, torch.Generator()))
    layer = decoder.layers[0]
    assert {w.dtype for w in (decoder.lm_head, *layer.qkv, layer.norm, layer.up[0])} == {torch.bfloat16}
    got = logits_of(decoder, tokens)
    assert got.dtype == torch.float32
    with torch.inference_mode():
        exact = load_model(tmp_path)(tokens[None]).logits[0]  # the same weights in fp32
        theirs = (model(tokens[None]).logits[0] - exact).abs().max()
    assert (got.float() - exact).abs().max() < 2 * theirs + 0.05
    assert Decoder.from_folder(tmp_path, "float32").embedding.dtype == torch.float32
    in_full = logits_of(Decoder.from_folder(tmp_path, "float32"), tokens)
    torch.testing.assert_close(in_full, exact, atol=1e-4, rtol=1e-4)


def test_bfloat16_decodes_token_by_token_as_in_one_pass(tmp_path: Path) -> None:
    """Attention over the cache agrees with the prefill's, for rows of different length in one batch."""
    toy_folder(tmp_path, PUBLISHED["Qwen3-8B-Base"], torch.bfloat16)
    decoder, g = Decoder.from_folder(tmp_path), torch.Generator().manual_seed(3)
    tokens = torch.tensor([random_tokens(10, 24, g) for _ in range(2)])
    whole = torch.stack([logits_of(decoder, row) for row in tokens])
    cache, start, both = KVCache(decoder.config, 2, 10, decoder.embedding), torch.tensor([2, 5]), torch.arange(2)
    assert cache.keys[0].dtype == torch.bfloat16
    with torch.inference_mode():
        decoder.prefill(tokens, start, cache, slice(2), both)
        for step in range(4):  # computed again over a cache whose later positions must not be read
            at = start + step
            got = decoder.logits(decoder.step(tokens[both, at], at, cache, 10))
            torch.testing.assert_close(got.float(), whole[both, at].float(), atol=0.15, rtol=0.05)


def test_weights_are_stored_once(tmp_path: Path) -> None:
    """A folder's q, k and v are stored as one matrix only; a live model's other weights are shared."""
    model = random_model("qwen3", seed=3)
    model.save_pretrained(tmp_path)
    assert Decoder.from_folder(tmp_path).weights is None
    decoder = Decoder.from_model(model)
    assert decoder.layers[0].up[0].data_ptr() == model.model.layers[0].mlp.up_proj.weight.data_ptr()


# ---------------------------------------------------------------- device and memory


def prompts_of(rows: int) -> list[tuple[int, ...]]:
    g = torch.Generator().manual_seed(8)
    return [random_tokens(1 + i % 7, 20, g) for i in range(rows)]


def test_everything_lies_on_the_decoders_device() -> None:
    """Under the default device "meta", a tensor that is created without a device would have no data."""
    decoder, prompts, sampling = Decoder.from_model(random_model("qwen3", seed=3)), prompts_of(6), Sampling(9, 0.7, 0.9)
    wanted = NativeEngine(decoder, STOP, 0).generate(prompts, sampling, torch.Generator().manual_seed(1))
    decoder = Decoder(decoder.config, decoder.weights)  # without its table of angles
    with torch.device("meta"):
        got = NativeEngine(decoder, STOP, 0).generate(prompts, sampling, torch.Generator("cpu").manual_seed(1))
    assert got == wanted


def test_little_memory_gives_smaller_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows of a batch at full length fit the share of the free memory; the responses are the same."""
    engine = NativeEngine(Decoder.from_model(random_model(seed=3)), STOP, 0, EngineOptions(16, memory=0.5))
    prompts, sampling, seen = prompts_of(40), Sampling(9, 0), []
    wanted = engine.generate(prompts, sampling)
    token = 2 * 2 * 2 * 4 * 4  # keys and values, layers, kv heads, head dim, bytes
    monkeypatch.setattr(engine, "_free_bytes", lambda: 2 * 100 * token)
    assert engine.decoder.config.cached_per_token * 4 == token
    assert (engine.rows(1), engine.rows(10), engine.rows(12), engine.rows(13), engine.rows(1000)) == (16, 8, 8, 4, 1)
    got = engine.generate(prompts, sampling, progress=seen.append)
    assert [r.tokens for r in got] == [r.tokens for r in wanted]
    assert sum(seen) == 40 and max(seen) <= 8


def test_prefill_in_parts_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, prompts = NativeEngine(Decoder.from_model(random_model(seed=3)), STOP, 0), prompts_of(23)
    wanted = engine.generate(prompts, Sampling(9, 0))
    monkeypatch.setattr(NativeEngine, "PREFILL", 20)
    for got, want in zip(engine.generate(prompts, Sampling(9, 0)), wanted, strict=True):
        assert got.tokens == want.tokens and got.entropy == pytest.approx(want.entropy, abs=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.gpu
@no_gpu
def test_gpu_rollouts(tmp_path: Path, dtype: str) -> None:
    """On a GPU: fp32's greedy tokens are the CPU's, sampling repeats with its seed, and memory limits the rows."""
    random_model("qwen3", seed=3).save_pretrained(tmp_path)
    there = NativeEngine(Decoder.from_folder(tmp_path, dtype, "cuda"), STOP, 0)
    here = NativeEngine(Decoder.from_folder(tmp_path, dtype), STOP, 0)
    greedy = [[r.tokens for r in e.generate(prompts_of(11), Sampling(12, 0))] for e in (here, there)]
    assert dtype == "bfloat16" or greedy[0] == greedy[1]
    first, second, other = (
        there.generate(prompts_of(11), Sampling(12, 1.0, 0.9), torch.Generator().manual_seed(s)) for s in (1, 1, 2)
    )
    assert first == second != other
    assert there.rows(10**9) == 1 and there.rows(10) == there.batch
