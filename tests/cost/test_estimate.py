"""`intro plan`: sizes as transformers counts them, formulas by hand, and all work counted once."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForCausalLM
from typer.testing import CliRunner

from intro import cli, experiments, intro_loss
from intro.config import Config, Hardware, Serving, load, parse, read
from intro.cost.estimate import memory
from intro.cost.estimate.arithmetic import KNOWN, Cost, Lengths, ModelShape, Roofline, Spent, checkpoint_shape, shape_of
from intro.cost.estimate.assumptions import ENGINES, EngineSpeed, accelerator, assumptions
from intro.cost.estimate.fit import host_memory, misfits
from intro.cost.estimate.memory import Load, peak, state_bytes
from intro.cost.estimate.report import plan as planned
from intro.cost.estimate.report import rows, scaled
from intro.cost.estimate.work import Estimator, kept_share, pieces, targets, total, work_by_target
from intro.cost.measure.updates import peak_bytes
from intro.model import chunked_loss as chunks
from intro.model.chunked_loss import loss_by_rows, map_rows
from intro.model.logprobs import log_distribution, token_logprobs
from intro.training.backends.deepspeed import engine_config
from intro.types import IntroError, Loss
from toy import mapping

CONFIGS = Path(__file__).resolve().parents[2] / "config"
SMALL = ModelShape(2, 16, 32, 4, 2, 4, 100, tied=True)
FAMILIES = ("qwen2", "qwen3", "llama")


def pinned(**training: object) -> dict:
    """The paper's config before any model is fetched. What the expected numbers depend on is pinned here."""
    settings = read(CONFIGS / "paper.yaml") | {"results": "/nonexistent"}
    settings["data"]["train_problems"] = 8888
    settings["training"] |= {
        "prompts_per_step": 128, "group_size": 4, "epochs": 1, "max_response_tokens": 3072,
        "micro_batch_tokens": 16384, "eval_every": 10, "keep_states": True,
    } | training  # fmt: skip
    settings["evaluation"]["max_response_tokens"] = 4096
    layouts = [(1, 1), (2, 1), (8, 2), (4, 2), (8, 2)]
    for name, (gpus, stage) in zip(settings["models"], layouts, strict=True):
        settings["models"][name]["hardware"] = {"gpus": gpus, "processes": gpus, "zero": stage, "dtype": "bfloat16"}
    settings["verifier"]["hardware"] = {"gpus": 4, "dtype": "bfloat16", "engine": "vllm"}
    return settings


@pytest.fixture(scope="module")
def paper() -> Config:
    return parse(pinned())


def estimator(config: Config, device: str | None = None, memory: float | None = None, **changes: float) -> Estimator:
    return Estimator(config, accelerator(config, device, memory=memory), assumptions(config, **changes))


def device(config: Config, model: str, engine: str = "vllm", devices: int = 1) -> Roofline:
    """A100s with a model of KNOWN in bfloat16."""
    serving = Serving(dtype="bfloat16", engine=engine)
    return Roofline(KNOWN[f"Qwen/{model}"], serving, accelerator(config, "a100"), assumptions(config), devices)


def transformer(family: str, tied: bool, device: str = "meta", **changes: int):
    sizes = {
        "vocab_size": 211, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3,
        "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 10 if family == "qwen3" else 8,
    }  # fmt: skip
    settings = AutoConfig.for_model(family, tie_word_embeddings=tied, **(sizes | changes))
    with torch.device(device):
        return settings, AutoModelForCausalLM.from_config(settings)


# ---------------------------------------------------------------- sizes


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_parameters_are_those_of_transformers(family: str, tied: bool) -> None:
    """Biases, norms on queries and keys, heads that do not divide the width: none is forgotten."""
    settings, model = transformer(family, tied)
    assert ModelShape.of(settings.to_dict(), "here").parameters == sum(p.numel() for p in model.parameters())


def test_known_checkpoints_have_their_published_size() -> None:
    billions = {
        "Qwen/Qwen2.5-1.5B": 1.54, "Qwen/Qwen2.5-3B": 3.09, "Qwen/Qwen2.5-7B": 7.62, "Qwen/Qwen3-4B-Base": 4.02,
        "Qwen/Qwen3-8B-Base": 8.19, "Qwen/Qwen2.5-72B-Instruct": 72.7, "meta-llama/Llama-3.2-3B": 3.21,
    }  # fmt: skip
    assert {name: shape.parameters / 1e9 for name, shape in KNOWN.items()} == pytest.approx(billions, rel=0.003)


def test_sizes_of_a_folder_and_of_a_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, _ = transformer("qwen3", True)
    folder = tmp_path / "org" / "name"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(settings.to_dict()))
    expected = ModelShape.of(settings.to_dict(), "here")
    assert checkpoint_shape(str(folder)) == checkpoint_shape("org/other", folder) == expected
    monkeypatch.setenv("INTRO_MODELS_DIR", str(tmp_path))
    assert checkpoint_shape("org/name") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "the sizes of this checkpoint are not known here; fetch it first"),
        ("{", "expected the JSON of a model's config"),
        ('{"model_type": "gpt2"}', "expected a model of type qwen2, qwen3, llama, found 'gpt2'"),
        ('{"model_type": "qwen2", "num_attention_heads": 2}', "'num_hidden_layers' is missing"),
    ],
)
def test_a_checkpoint_without_sizes_is_one_sentence(text: str | None, message: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(IntroError, match=message):
        checkpoint_shape(str(tmp_path))


# ---------------------------------------------------------------- FLOPs and seconds


def test_flops_and_cache_by_hand() -> None:
    """8,192 response tokens: body 21.5 and head 3.8 TFLOP forward, SFT 75.9, InTRO's further forward pass 101. The
    cache holds keys and values of 28 layers, two heads of 128, two bytes each. Causal attention sees half the context.
    """
    shape = KNOWN["Qwen/Qwen2.5-1.5B"]
    body, whole = shape.forward_flops(8192, 0), shape.forward_flops(8192)
    assert [flops / 1e12 for flops in (body, whole - body, 3 * whole, 4 * whole)] == pytest.approx(
        [21.5, 3.8, 75.9, 101], rel=0.02
    )
    assert shape.cache_bytes() == 2 * 28 * 2 * 128 * 2 == 28_672
    extra = SMALL.forward_flops(10, 0, context=100) - SMALL.forward_flops(10, 0)
    assert extra == 10 * 2 * (2 * 2 * 16 * 50)  # tokens, layers, (scores + values) x 2 FLOPs x width x positions


@settings(max_examples=20)
@given(st.floats(20, 900), st.integers(1000, 5000))
def test_lengths_have_the_mean_they_were_asked_for(mean: float, limit: int) -> None:
    lengths = Lengths.of(mean, limit)
    steps = 10_000
    area = sum(lengths.alive((i + 0.5) * limit / steps) for i in range(steps)) * limit / steps
    assert area == pytest.approx(mean, rel=1e-3)
    assert lengths.alive(0) == 1


def test_a_step_of_decoding_is_bound_by_weights_or_by_arithmetic(
    paper: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One row reads all weights once; with very many short rows the FLOPs decide. Weights that are split are read
    twice as fast, on twice as many devices. Here launching kernels takes no time."""
    monkeypatch.setitem(ENGINES, "vllm", EngineSpeed(0.0, True))
    roofline = device(paper, "Qwen2.5-7B")
    weights = roofline.shape.matrices + roofline.shape.head
    assert roofline.step_seconds(1, 0) == pytest.approx(2 * weights / (2.04e12 * 0.6))
    assert roofline.step_seconds(10_000, 0) == pytest.approx(2 * 10_000 * weights / (312e12 * 0.4))
    split = (device(paper, "Qwen2.5-72B-Instruct", devices=n) for n in (1, 2))
    one, two = (each.generate(8, 50, Lengths.of(100, 1000), 8) for each in split)
    assert one.flops == two.flops and one.seconds == pytest.approx(two.seconds)


@settings(max_examples=30)
@given(st.integers(1, 3000), st.integers(1, 512), st.sampled_from(sorted(ENGINES)))
def test_more_rows_never_take_less_time_and_never_more_than_their_share(rows: int, batch: int, engine: str) -> None:
    roofline = device(load(CONFIGS / "paper.yaml"), "Qwen2.5-1.5B", engine)
    less, more = (roofline.generate(n, 100, Lengths.of(300, 2000), batch) for n in (rows, 2 * rows))
    assert less.seconds <= more.seconds * (1 + 1e-9)
    assert more.flops == pytest.approx(2 * less.flops)


def test_rows_are_refilled(paper: Config) -> None:
    """Many prompts take what their tokens take, not what the longest response of every batch does."""
    roofline = device(paper, "Qwen2.5-1.5B", "native")
    one, many = (roofline.generate(n * 128, 100, Lengths.of(300, 3000), 128).seconds for n in (1, 8))
    assert many < 0.5 * 8 * one


# ---------------------------------------------------------------- an update, by the signals of its method


def test_passes_of_an_update_by_hand(paper: Config) -> None:
    """In forward passes over the step's rationales: SFT learns from one gold rationale per prompt; LaTRO scores
    all twice and learns from them, GRPO half a pass less; InTRO and RAFT++ learn from the kept ones and score those."""
    p = estimator(paper, gold_tokens=400.0, mean_tokens=400.0)
    context = 150 + 400
    forward = p.shapes["Qwen2.5-3B"].forward_flops(512 * context, 512 * 400, context)
    passes = {name: p.update_flops("Qwen2.5-3B", method) / forward for name, method in paper.methods.items()}
    kept = kept_share(paper.methods["intro"], 0.5, 4)
    assert kept == pytest.approx(0.5, abs=0.03)
    assert passes["sft"] == pytest.approx(3 / 4)
    assert passes["latro"] == pytest.approx(5) and passes["grpo"] == pytest.approx(4.5)
    assert passes["intro"] == pytest.approx(4 * kept)
    assert passes["raft++"] == pytest.approx(3.5 * kept)
    settings = pinned()
    settings["models"]["Qwen3-4B"]["hardware"]["recompute"] = True  # costs another forward pass
    sft = [estimator(c).update_flops("Qwen3-4B", paper.methods["sft"]) for c in (paper, parse(settings))]
    assert sft[1] == pytest.approx(4 / 3 * sft[0])


@pytest.mark.parametrize("accuracy", [0.1, 0.5, 0.9])
def test_kept_share_follows_the_accuracy(accuracy: float, paper: Config) -> None:
    """By the credit of the objectives: a filter keeps correct rationales, GRPO all, GPG those of mixed groups."""
    shares = {name: kept_share(paper.methods[name], accuracy, 4) for name in ("intro", "grpo", "gpg")}
    assert shares["intro"] == pytest.approx(accuracy, abs=0.04)
    assert shares["grpo"] == 1
    assert 0 < shares["gpg"] < 1


# ---------------------------------------------------------------- memory


def zero(stage: int, gpus: int = 4, **more: object) -> Hardware:
    return Hardware(gpus=gpus, processes=gpus, zero=stage, dtype="bfloat16", **more)


def test_states_by_hand() -> None:
    """bf16 weights 2, fp32 sums of gradients 4, fp32 master weights and moments 12 bytes; a stage splits some."""
    assert state_bytes(1000, Hardware()) == 16_000
    assert state_bytes(1000, zero(1)) == 2000 + 4000 + 12_000 / 4
    assert state_bytes(1000, zero(2)) == 2000 + 4000 / 4 + 12_000 / 4
    assert state_bytes(1000, zero(3)) == 18_000 / 4
    assert state_bytes(1000, zero(2, offload=True)) == 2000 + 4000 / 4
    assert {state_bytes(1000, zero(stage, 1)) for stage in (1, 2, 3)} == {18_000}
    assert engine_config(zero(2), 1.0)["data_types"] == {"grad_accum_dtype": "fp32"}


def a_load(hardware: Hardware, micro: int = 4096, **more: object) -> Load:
    return Load(hardware, micro, 100, Lengths.of(200, 1000), Lengths.of(200, 2000), **more)


def test_peak_by_hand() -> None:
    """One chunk, the micro-batch with the longest rows; ZeRO-3 keeps a whole copy that generates."""
    load = a_load(zero(3), posterior=True, averaged=True)
    found, cells = peak(SMALL, load), 4096 * 1000 / 1100 * 100
    assert found.logits == pytest.approx(12 * cells)
    assert peak(SMALL, a_load(zero(3))).logits == pytest.approx(8 * cells)
    assert found.frozen == 3 * 2 * SMALL.parameters
    assert peak(SMALL, a_load(zero(2))).frozen == 2 * SMALL.parameters
    assert found.activations == 4096 * SMALL.activation_bytes()
    assert found.rollout == 2 * 1100 * SMALL.cache_bytes() + memory.SAMPLING * 100
    resident = found.states + found.frozen
    assert found.phases["update"] == resident + found.activations + found.logits
    assert found.phases["step"] == resident + 4 * SMALL.parameters / 4
    assert peak(SMALL, a_load(zero(1), micro=1)) == peak(SMALL, a_load(zero(1), micro=1100))  # at least one row


def test_logits_of_a_large_vocabulary_are_those_of_a_chunk() -> None:
    """512 MiB of fp32 hold 883 rows of Qwen's logits; longer micro-batches add sums of gradients, but no logits."""
    shape, cells = KNOWN["Qwen/Qwen2.5-1.5B"], 883 * 151_936
    short, long = (peak(shape, a_load(zero(1), micro)) for micro in (8192, 16384))
    sums = (4 + 2 + 2) * 151_936 * 1536
    assert long.logits == pytest.approx(8 * cells + sums + 2 * 1536 * 16384 * 1000 / 1100)
    assert long.logits - short.logits == pytest.approx(2 * 1536 * 8192 * 1000 / 1100)
    assert short.curves == long.curves == memory.CURVES_HEAD * cells


@settings(max_examples=100)
@given(
    st.sampled_from(sorted(KNOWN)), st.integers(1, 63), st.integers(1, 3), st.integers(1, 20_000), st.booleans(),
    st.booleans(),
)  # fmt: skip
def test_more_gpus_or_a_higher_stage_never_take_more_memory(
    name: str, gpus: int, stage: int, micro: int, posterior: bool, recompute: bool
) -> None:
    """Per GPU; ZeRO-3 has smaller states, but the copy that generates takes more than it saves."""

    def at(stage: int, gpus: int) -> memory.Peak:
        return peak(KNOWN[name], a_load(zero(stage, gpus, recompute=recompute), micro, posterior=posterior))

    here, wider = at(stage, gpus), at(stage, gpus + 1)
    assert all(wider.phases[phase] <= here.phases[phase] for phase in here.phases)
    if stage < 3:
        higher = at(stage + 1, gpus)
        assert higher.states <= here.states
    if stage == 1:
        assert all(higher.phases[phase] <= here.phases[phase] for phase in here.phases)


def small_model(family: str, dtype: torch.dtype, width: int, layers: int = 3) -> tuple[ModelShape, torch.nn.Module]:
    """The body, with heads of a quarter of the width."""
    sizes = {"hidden_size": width, "intermediate_size": 4 * width, "num_attention_heads": 4, "head_dim": width // 4}
    settings, model = transformer(family, True, "cpu", num_hidden_layers=layers, **sizes)
    return ModelShape.of(settings.to_dict(), "here"), model.to(dtype).train().model


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_activations_are_what_autograd_keeps(family: str, dtype: torch.dtype) -> None:
    """Measured on transformers' own layers, weights left out; the formula leaves out the last norm and small things."""
    shape, model = small_model(family, dtype, 256)
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept, ids = {}, torch.zeros(2, 128, dtype=torch.long)

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = model(input_ids=ids, use_cache=False)
    assert output.last_hidden_state.requires_grad
    found = sum(storage.nbytes() for storage in kept.values()) / ids.numel()
    assert shape.activation_bytes(dtype.itemsize) == pytest.approx(found, rel=0.06)


@pytest.mark.parametrize("family", ["qwen2", "qwen3"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_recomputed_activations_are_what_a_backward_pass_holds(family: str, dtype: torch.dtype) -> None:
    """Measured on the body of twelve layers: their inputs, and one layer with its gradients."""
    shape, model = small_model(family, dtype, 64, layers=12)
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    ids = torch.zeros(8, 256, dtype=torch.long)

    def work() -> None:
        model(input_ids=ids, use_cache=False).last_hidden_state.sum().backward()

    work()  # the gradients of the weights are there from now on
    expected = shape.activation_bytes(dtype.itemsize, recomputed=True)
    assert expected == pytest.approx(peak_bytes(work) / ids.numel(), rel=0.06)


@pytest.mark.parametrize("several", [False, True])
def test_logits_take_what_the_head_takes(several: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured in fp32, where nothing is cast. One chunk: the constants. Several: what they add up to, with sums of
    gradients, is an upper bound, since not all of it is there at once."""
    positions, width, vocabulary, rows = (512, 64, 4096, 32) if several else (128, 8, 4096, 128)
    monkeypatch.setattr(chunks, "rows_per_chunk", lambda vocabulary: rows)
    shape = ModelShape(1, width, 1, 1, 1, 1, vocabulary, tied=True)
    hidden = torch.randn(positions, width, requires_grad=True)
    other, head = torch.randn(positions, width), torch.randn(vocabulary, width, requires_grad=True)
    tokens, weights = torch.zeros(positions, dtype=torch.long), torch.ones(positions)

    def plain(rows: slice, hidden: torch.Tensor, head: torch.Tensor) -> Loss:
        return Loss(token_logprobs(hidden, head, tokens[rows]).sum())

    def posterior(rows: slice, hidden: torch.Tensor, head: torch.Tensor) -> Loss:
        return Loss(intro_loss(hidden, other[rows], head, tokens[rows], weights[rows], n=5, clip=200.0).loss)

    @torch.no_grad()
    def divergence() -> None:
        def kl(rows: slice, hidden: torch.Tensor) -> torch.Tensor:  # as in training/measure.py
            logp = log_distribution(hidden, head)
            return (logp.exp() * (logp - log_distribution(other[rows], head))).sum(-1)

        map_rows(kl, hidden, head)

    least = 0.75 if several else 0.98
    for loss_of, per_cell in ((plain, memory.PLAIN_HEAD), (posterior, memory.POSTERIOR_HEAD)):
        hidden.grad = head.grad = None
        found = peak_bytes(lambda loss_of=loss_of: loss_by_rows(loss_of, hidden, head).loss.backward())
        assert least < found / memory.loss_bytes(shape, positions, per_cell, 4) < 1.02, loss_of.__name__
    assert peak_bytes(divergence) == pytest.approx(memory.CURVES_HEAD * rows * vocabulary, rel=0.02)


def test_rows_fill_half_of_what_is_free(paper: Config) -> None:
    """Paged caches by the present tokens, others by the longest response."""
    lengths = Lengths.of(50, 75)
    for engine, tokens in (("vllm", 75), ("native", 100)):
        full = Roofline(SMALL, Serving(engine=engine), accelerator(paper, memory=1e3), assumptions(paper))
        per_row = tokens * SMALL.cache_bytes(4)
        assert full.rows(25, lengths, 1e12 - 10 * per_row, 256) == 5
        assert (full.rows(25, lengths, 0.0, 256), full.rows(25, lengths, 2e12, 256)) == (256, 1)


def test_remedies_fit(paper: Config) -> None:
    """With the remedy that a sentence names, the peak is below the limit."""
    p = estimator(paper)
    for model, sentences in misfits(p).items():
        assert all(text.startswith(f"does not fit: {model} ") and "; fits with " in text for text in sentences)
    load, shape = p.load("Qwen3-8B", paper.methods["intro"]), p.shapes["Qwen3-8B"]
    text, other = next((t, o) for t, o in memory.remedies(load) if t and peak(shape, o).most[1] <= 80e9)
    assert text == "recompute: true" and other.hardware == load.hardware.model_copy(update={"recompute": True})


def test_a_large_accelerator_has_room_for_everything(paper: Config) -> None:
    chips = (("h200", 1000.0), ("rtx4090",), ("a100", 2.0))
    roomy, narrow, tight = (misfits(estimator(paper, *chip)) for chip in chips)
    assert not roomy and set(narrow) == {*paper.models, "the judge"}
    assert "its weights are 145 GB; fits with gpus: 8" in narrow["the judge"][0]
    assert "no layout tried fits" in " ".join(tight["Qwen3-8B"])


# ---------------------------------------------------------------- all work, once


@pytest.mark.parametrize("name", ["paper", "llama", "tiny", "reference"])
def test_every_run_and_evaluation_counts_once(name: str) -> None:
    """The targets share out exactly what intro.experiments lists; a run of the learning-rate grid is made there."""
    config = load(CONFIGS / f"{name}.yaml")
    p, runs, swept = estimator(config), experiments.training_runs(config), experiments.sweeps(config)
    keys = pieces(p).keys()
    assert keys == {key for _, key, _ in work_by_target(p)}
    assert {key[1] for key in keys if key[0] == "train"} == set(runs)
    assert {key[1:] for key in keys if key[0] == "evaluate"} == set(experiments.evaluations(config))
    seed, grid = config.training.train_seeds[0], len(swept) * len(config.training.learning_rates)
    cost = total(p)
    assert cost.runs == len(runs) + grid - sum((c.model, c.method) in swept and c.seed == seed for c in runs)
    assert cost.evaluations == len(experiments.evaluations(config))


def test_shared_work_counts_at_the_first_target(paper: Config) -> None:
    """Table n's cell at n = 5 is Table 1's; the base rows of Table 1 are the base check's; Table 2 trains nothing."""
    p = estimator(paper)
    found = targets(p)
    counts = {name: (cost.runs, cost.evaluations) for name, cost in found.items()}
    assert counts["table_main"][0] == 5 * 6 and counts["table_ablation_n"][0] == 5
    assert counts["table_ood"] == (0, 9) and counts["table_main_base"][1] == 5
    shared = "train", experiments.Cell("Qwen2.5-1.5B", "intro", "paper", 0)
    needed = {(name, key) for name, key, _ in work_by_target(p)}
    assert {("table_ablation_n", shared), ("table_main", shared)} < needed and pieces(p)[shared][0] == "table_main"


def test_tokens_by_hand(paper: Config) -> None:
    """69 steps of 128 prompts with 4 rationales of 768 tokens; SFT samples none. Eight points of the curves: before
    the first step, every ten, after the last."""
    p = estimator(paper)
    assert p.steps == 69
    run = p.train("Qwen3-4B", paper.methods["grpo"])
    assert run.rollouts.tokens == pytest.approx(69 * 512 * 768)
    assert p.train("Qwen3-4B", paper.methods["sft"]).rollouts.tokens == 0
    assert run.evaluation.tokens == pytest.approx((1 + 6 + 1) * 4 * paper.training.curve_problems * 768)
    answers = 500 + 272 + 675 + 2818 + 32 * 40 + 32 * 30
    assert p.evaluate("Qwen3-8B", "main").evaluation.tokens == pytest.approx(answers * 768)


def test_longer_responses_cost_more(paper: Config) -> None:
    """And a faster or cheaper accelerator less; slack multiplies all device time."""
    short, long, faster = (
        total(estimator(paper, chip, mean_tokens=mean))
        for chip, mean in (("a100", 400.0), ("a100", 1200.0), ("h100", 400.0))
    )
    assert faster.device_seconds < short.device_seconds < long.device_seconds
    assert faster.training.flops == short.training.flops
    bare, slack = (total(estimator(paper, slack=value)).device_seconds for value in (1.0, 3.0))
    assert slack == pytest.approx(3 * bare)


def test_states_of_finished_runs_count_only_where_they_are_kept(paper: Config) -> None:
    """14 bytes a parameter; without them the most that eight GPUs train at once: eight runs of the smallest model, two
    of four GPUs each, or one of eight."""
    p = estimator(paper)
    kept, deleted = total(p), total(estimator(parse(pinned(keep_states=False))))
    size = {name: 14 * shape.parameters for name, shape in p.shapes.items()}
    assert deleted.state_bytes == max(size[name] * (8 // m.hardware.gpus) for name, m in paper.models.items())
    assert kept.state_bytes == sum(size[cell.model] for cell in experiments.training_runs(paper))
    assert kept.disk_bytes - kept.state_bytes == pytest.approx(deleted.disk_bytes - deleted.state_bytes)


def test_host_memory_by_hand() -> None:
    """One process for each GPU loads the 8B model; with offload the host holds its fp32 states as well."""
    weights = 2 * 8_190_735_360
    assert host_memory(estimator(parse(pinned()))) == 8 * (1e9 + weights)
    settings = pinned()
    settings["models"]["Qwen3-8B"]["hardware"]["offload"] = True
    assert host_memory(estimator(parse(settings))) == 8 * (1e9 + weights) + 6 * weights


# ---------------------------------------------------------------- published runs


def hours(model: str, chip: str, mean: float, gpus: int, steps: int, prompts: int, group: int, limit: int) -> float:
    """GPU-hours of a run of another project, in this one's words."""
    hardware = {"gpus": gpus, "processes": gpus, "zero": 2, "dtype": "bfloat16", "engine": "vllm"}
    settings = pinned(
        prompts_per_step=prompts, group_size=group, max_response_tokens=limit, eval_every=10**6, curve_problems=1
    )
    settings["models"][model]["hardware"] = hardware
    settings["data"]["train_problems"] = prompts * steps
    config = parse(settings)
    return estimator(config, chip, mean_tokens=mean).train(model, config.methods["grpo"]).device_seconds / 3600


def test_published_gpu_hours_are_met_within_half() -> None:
    """docs/cost.md has the settings. SimpleRL-Zoo 7B: 240 H100-hours. DeepScaleR 1.5B: 3,800 A100-hours in stages."""
    stages = [(4000, 8, 1040, 128, 8, 8192), (5000, 32, 480, 128, 16, 16384), (6000, 32, 230, 128, 16, 24576)]
    assert 0.67 < hours("Qwen2.5-7B", "h100", 850, 16, 100, 1024, 8, 8192) / 240 < 1.5
    assert 0.67 < sum(hours("Qwen2.5-1.5B", "a100", *stage) for stage in stages) / 3800 < 1.5


# ---------------------------------------------------------------- the text of intro plan


def test_csv_has_a_row_per_target_and_one_of_their_sums(tmp_path: Path, paper: Config) -> None:
    *parts, last = rows(estimator(paper))
    assert last["target"] == "total"
    for column in list(last)[1:]:
        assert last[column] == pytest.approx(math.fsum(part[column] for part in parts)), column
    config, file = parse(mapping(tmp_path)), tmp_path / "plan.csv"
    planned(config, None, {}, file, "toy.yaml")
    with file.open() as lines:
        found = list(csv.DictReader(lines))
    assert " ".join(found[0]) == (
        "target runs evaluations rollout_tokens evaluation_tokens training_flops rollout_flops evaluation_flops "
        "gpu_hours cost grading_cpu_hours disk_bytes resume_bytes"
    )
    assert [row["target"] for row in found] == [*targets(estimator(config)), "total"]


@pytest.mark.parametrize("name", ["paper.yaml", "llama.yaml"])
def test_the_papers_scale_fits_a_node(name: str) -> None:
    """Eight A100s of 80 GB, without a download; and every rank has equally many of a step's prompts."""
    config = load(CONFIGS / name)
    assert {m.checkpoint for m in config.models.values()} | {config.verifier.checkpoint} <= set(KNOWN)
    p = estimator(config)
    assert p.accelerator.name == "a100-80g"
    assert not misfits(p)
    for model in config.models.values():
        assert 8 % model.hardware.gpus == 0 and config.training.prompts_per_step % model.hardware.processes == 0


@pytest.mark.parametrize("name", ["paper.yaml", "llama.yaml", "tiny.yaml", "reference.yaml"])
def test_plan_fits_eighty_columns(name: str) -> None:
    """On stdout, with exit code 0 even where something does not fit."""
    done = CliRunner().invoke(cli.app, ["plan", "--config", str(CONFIGS / name)])
    assert done.exit_code == 0, done.output
    assert max(map(len, done.output.splitlines())) <= 80
    assert ("does not fit: " in done.output) != ("Every run fits." in done.output)
    for part in ("total", "table_main ", "--mean-tokens", "--slack"):
        assert part in done.output


def test_options_change_the_plan(tmp_path: Path) -> None:
    """The accelerator by name or number, and what is assumed."""
    options = "--accelerator h100 --memory 1000 --price 7 --mean-tokens 500 --slack 1 --csv".split()
    file = tmp_path / "plan.csv"
    done = CliRunner().invoke(cli.app, ["plan", "--config", str(CONFIGS / "paper.yaml"), *options, str(file)])
    assert done.exit_code == 0, done.output
    assert "on h100: 989 TFLOP/s, 3.35 TB/s, 1000 GB, $7 per hour" in " ".join(done.output.split())
    assert "Every run fits." in done.output
    *_, last = csv.DictReader(file.open())
    assert float(last["cost"]) == pytest.approx(7 * float(last["gpu_hours"]))


@pytest.mark.parametrize(
    ("name", "numbers", "message"),
    [
        (None, {"mean_tokens": 5000.0}, "expected less than training.max_response_tokens"),
        (None, {"mean_tokens": 0.0}, "--mean-tokens: expected at least 1"),
        (None, {"mfu": 1.5}, "--mfu: expected a share between 0 and 1"),
        (None, {"decode_share": 0.0}, "--decode-share: expected a share"),
        (None, {"slack": 0.5}, "--slack: expected at least 1"),
        ("tpu", {}, "unknown 'tpu'; known are a100, a100-80g"),
        ("a100", {"tflops": -1.0}, "--tflops: expected a positive number"),
    ],
)
def test_impossible_numbers_are_refused(name: str | None, numbers: dict, message: str, paper: Config) -> None:
    with pytest.raises(IntroError, match=message):
        planned(paper, name, numbers, None, "paper.yaml")
    assert accelerator(paper, "a100", price=0.0).price == 0


def test_an_unknown_checkpoint_is_one_sentence(tmp_path: Path) -> None:
    """It says what to do, and nothing else is printed."""
    settings = read(CONFIGS / "paper.yaml") | {"results": str(tmp_path)}
    settings["models"]["Qwen2.5-1.5B"] |= {"checkpoint": "someone/else"}
    file = tmp_path / "other.yaml"
    file.write_text(yaml.safe_dump(settings))
    done = CliRunner().invoke(cli.app, ["plan", "--config", str(file)])
    assert isinstance(done.exception, IntroError) and "someone/else" in str(done.exception)
    assert done.stdout == ""


def test_tiny_models_have_their_tokenizers_vocabulary(toy_config) -> None:
    """As pretrained: the same count as the saved model's."""
    for name in toy_config.models:
        saved = json.loads((experiments.base_folder(toy_config, name) / "config.json").read_text())
        assert shape_of(toy_config, name) == ModelShape.of(saved, name)


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0"), (0.5, "0.5"), (999.4, "999"), (1000, "1k"), (1.5437e9, "1.54G"), (2.5e19, "25E")]
)
def test_numbers_are_short(number: float, text: str) -> None:
    assert scaled(number) == text


def test_costs_add_up_field_by_field() -> None:
    one = Cost(1, 2, *(Spent(3.0 * i, 4.0 * i, 5.0 * i) for i in (1, 2, 3)), 9.0, 10.0, 11.0)
    assert (one + one).rollouts == Spent(6.0, 8.0, 10.0) * 2 and one.device_seconds == 30
    assert one + Cost() == one and (one + one).disk_bytes == 20
