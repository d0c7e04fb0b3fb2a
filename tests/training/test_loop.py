"""The trainer on the toy world: a resumed run equals an uninterrupted one bit for bit; which networks change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import toy
from intro.config import Config, Hardware, parse
from intro.experiments import Cell, base_folder
from intro.model.load import load_model
from intro.objectives import build
from intro.tasks.registry import load_source
from intro.training import loop
from intro.training.checkpoint import Scratch
from intro.training.loop import Trainer
from intro.training.minibatches import precompute_logprobs
from intro.training.run_spec import Curves, RunSpec
from intro.training.samples import Prompter
from intro.types import IntroError

STEPS = 4
PLAIN = Hardware()
RUNS = {
    "intro": ("intro", {}),
    "intro-average": ("intro", {"posterior": "average", "decay": 0.8}),
    "grpo": ("grpo", {"updates_per_rollout": 2}),
}


@pytest.fixture(scope="module")
def world(toy_root: Path) -> Config:
    return parse(toy.mapping(toy_root))


def trainer(
    config: Config, name: str, options: dict, judge: bool = True, hardware: Hardware = PLAIN, **settings
) -> Trainer:
    objective = build(name, **options)
    source = load_source(config.data, config.prompts, config.seed)
    prompter = Prompter(
        toy.tokenizer_of(config, "qwen2-s"), config.prompts, toy.LengthJudge(source) if judge else source
    )
    problems = source.train()
    training = config.training.model_copy(update=settings)
    spec = RunSpec.of(config.model_copy(update={"training": training}), Cell("qwen2-s", "intro", "paper", 0), 0.01, "")
    curves = Curves({}, temperature=0.6, top_p=0.95, max_response_tokens=12)
    spec = replace(spec, method=objective, steps=STEPS, hardware=hardware, batch=32, curves=curves)
    policy, base = (load_model(base_folder(config, "qwen2-s")) for _ in range(2))
    return Trainer(spec, policy, base, prompter, problems, {"all": problems[:3], "train": problems[3:6]})


def without_seconds(rows: list[dict]) -> list[dict]:
    return [{k: v for k, v in row.items() if not k.startswith("seconds_")} for row in rows]


def assert_same(a, b, path: str = "state") -> None:
    """Equal to the last bit, tensors included."""
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), path
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), path
        for key in a:
            assert_same(a[key], b[key], f"{path}.{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), path
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{path}[{i}]")
    else:
        assert a == b, path


def test_recomputed_activations_change_nothing(world: Config) -> None:
    """Running layers again in the backward pass gives the same weights, metrics and curves."""
    runs = [trainer(world, *RUNS["intro"], hardware=Hardware(recompute=again)) for again in (False, True)]
    passes: list[list[bool]] = [[], []]
    for run, seen in zip(runs, passes, strict=True):
        mlp = run.networks.policy.model.layers[0].mlp
        mlp.register_forward_pre_hook(lambda *_, seen=seen: seen.append(torch.is_grad_enabled()))
        run.train(until=2)
    assert_same(*(run.networks.policy.state_dict() for run in runs))
    assert without_seconds(runs[0].rows) == without_seconds(runs[1].rows) and runs[0].curves == runs[1].curves
    assert sum(passes[1]) == 2 * sum(passes[0]) > 0


@pytest.mark.parametrize("label", RUNS)
def test_interrupted_and_resumed_is_bit_for_bit_the_same(label: str, world: Config, tmp_path: Path) -> None:
    """2 + 2 steps in two trainers equal 4 in one: weights, averaged posterior, optimizer, metrics, curves."""
    name, options = RUNS[label]
    whole = trainer(world, name, options)
    whole.train()
    first = trainer(world, name, options)
    first.train(Scratch(tmp_path, "key"), until=2)
    torch.rand(3)  # the global random state plays no part
    second = trainer(world, name, options)
    second.restore(Scratch(tmp_path, "key").load())
    assert second.done == 2
    second.train(Scratch(tmp_path, "key"))
    states = [t.state() for t in (whole, second)]
    for state in states:
        state["rows"] = without_seconds(state["rows"])
    assert_same(*states)
    assert len(states[0]["rows"]) == STEPS and {c["step"] for c in states[0]["curves"]} == {0, 2, 4}
    assert (states[0]["posterior"] is not None) == (label == "intro-average")
    assert any(row["gradient_norm"] > 0 for row in states[0]["rows"]), "nothing was learned, so nothing was compared"
    assert_same(Scratch(tmp_path, "key").load()["policy"], dict(states[0]["policy"]))


def test_finished_run_is_not_trained_again(world: Config, tmp_path: Path) -> None:
    """Runs of equal settings share their scratch folder: the second only reads it."""
    first = trainer(world, "intro", {})
    first.train(Scratch(tmp_path, "key"))
    again = trainer(world, "intro", {})
    again.restore(Scratch(tmp_path, "key").load())
    again.step = None  # any further step would fail
    again.train(Scratch(tmp_path, "key"))
    assert_same(dict(first.networks.policy.state_dict()), dict(again.networks.policy.state_dict()))
    assert again.rows == first.rows and again.curves == first.curves


def parameters(model) -> list[torch.Tensor]:
    return [p.detach().clone() for p in model.parameters()]


def equal(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("label", ["live", "frozen", "average"])
def test_which_networks_change(label: str, world: Config) -> None:
    """The base model never changes; the posterior follows the policy, stays, or moves a fifth of the way."""
    made = trainer(world, "intro", {"posterior": label, "decay": 0.8})
    base, before = parameters(made.networks.base), parameters(made.networks.policy)
    made.step()
    after, posterior = parameters(made.networks.policy), parameters(made.networks.posterior)
    assert not equal(before, after) and equal(base, parameters(made.networks.base))
    if label == "average":
        for mean, old, new in zip(posterior, base, after, strict=True):
            torch.testing.assert_close(mean, 0.8 * old + 0.2 * new)
    else:
        assert equal(posterior, after if label == "live" else base)
        assert made.networks.posterior is (made.networks.policy if label == "live" else made.networks.base)


def test_frozen_posterior_stays_through_a_whole_run(world: Config) -> None:
    made = trainer(world, "intro", {"posterior": "frozen"})
    before = parameters(made.networks.base)
    made.train()
    assert equal(before, parameters(made.networks.posterior))


def test_methods_without_a_posterior_have_no_such_network(world: Config) -> None:
    assert trainer(world, "grpo", {}).networks.posterior is None


def test_sft_needs_no_rollout_and_learns_gold_rationales(world: Config) -> None:
    """Every prompt's gold rationale is trained on, and its likelihood increases."""
    made = trainer(world, "sft", {}, judge=False)
    made.train()
    rows = made.rows
    assert [row["kept_share"] for row in rows] == [1.0] * STEPS and "seconds_rollout" not in rows[0]
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert rows[0]["forward_passes"] == 1


def test_rows_count_passes_and_kept_rationales(world: Config) -> None:
    """InTRO makes two passes per rationale; GRPO has a reference, and old log-probs in its second update."""
    made = trainer(world, "intro", {})
    row = made.step()
    assert row["forward_passes"] == 2 and 0 < row["kept_share"] < 1 and 0 < row["accuracy"] < 100
    assert row["correction_max"] >= row["correction_mean"] > 0
    other = trainer(world, "grpo", {}).step()
    assert other["forward_passes"] == 2.5 and other["kept_share"] == 1


def test_methods_share_prompts_and_random_numbers(world: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first step's samples are the same for all methods that sample: names of generators contain no method."""
    drawn = []
    monkeypatch.setattr(
        loop, "precompute_logprobs", lambda sample, *_: drawn.append(sample) or precompute_logprobs(sample, *_)
    )
    for name, options in RUNS.values():
        trainer(world, name, options).step()
    first, *others = [[(r.prompt, r.tokens) for r in sample.rationales] for sample in drawn]
    assert len({tokens for _, tokens in first}) > 1 and all(other == first for other in others)


def test_step_without_a_correct_rationale_changes_nothing(world: Config) -> None:
    """Prompts without kept rationales contribute nothing, and the schedule advances."""
    made = trainer(world, "intro", {}, judge=False, max_response_tokens=1)  # one word is never an answer
    before = parameters(made.networks.policy)
    row = made.step()
    assert equal(before, parameters(made.networks.policy))
    assert row["kept_share"] == row["gradient_norm"] == row["trained_tokens"] == 0 and made.updates == 1


def test_budget_changes_no_more_than_rounding(world: Config) -> None:
    """The same step with one row per micro-batch and with all at once (n infinite: nothing is drawn in the loss)."""
    made = [trainer(world, "intro", {"n": "infinite"}, micro_batch_tokens=b) for b in (1, 10**6)]
    rows = [t.step() for t in made]
    assert rows[0]["loss"] == pytest.approx(rows[1]["loss"], rel=1e-5)
    assert rows[0]["gradient_norm"] == pytest.approx(rows[1]["gradient_norm"], rel=1e-4)


def test_measuring_does_not_change_training(world: Config) -> None:
    """Any interval between measurements gives the same policy."""
    dense, thin = (trainer(world, "intro", {}, eval_every=k) for k in (1, 100))
    dense.train()
    thin.train()
    assert equal(parameters(dense.networks.policy), parameters(thin.networks.policy))
    assert len(dense.curves) > len(thin.curves) == 2 * 2  # before the first step and after the last


def test_length_of_a_run_is_passes_over_the_prompts(world: Config) -> None:
    """Two epochs over 12 problems, 4 a step."""
    config = world.model_copy(update={"training": world.training.model_copy(update={"epochs": 2})})
    assert RunSpec.of(config, Cell("qwen2-s", "intro", "paper", 0), 0.1, "").steps == 6


# ---------------------------------------------------------------- checkpoints


def test_scratch_without_a_state_is_a_new_run(tmp_path: Path) -> None:
    assert Scratch(tmp_path, "key").load() is None


@pytest.mark.parametrize("damage", [b"", b"not a checkpoint", None], ids=["empty", "text", "cut"])
def test_damaged_checkpoint_raises_a_clear_error(tmp_path: Path, damage: bytes | None) -> None:
    """The error names the file and a remedy."""
    scratch = Scratch(tmp_path, "key")
    with scratch.lock():
        scratch.save({"policy": torch.zeros(1000)})
    assert torch.equal(scratch.load()["policy"], torch.zeros(1000))
    scratch.file.write_bytes(scratch.file.read_bytes()[:500] if damage is None else damage)
    from intro.types import IntroError

    with pytest.raises(IntroError, match="delete it to start over") as error:
        scratch.load()
    assert str(scratch.file) in str(error.value) and "\n" not in str(error.value)


def test_scratch_below_a_file_raises_a_clear_error(tmp_path: Path) -> None:
    from intro.types import IntroError

    (tmp_path / "results").write_text("a file")
    with pytest.raises(IntroError, match="cannot make this results folder"), Scratch(tmp_path / "results", "k").lock():
        pass


def test_an_average_that_could_never_move_is_refused(world: Config) -> None:
    """In bfloat16 a step of 5 % towards a nearby value rounds to none, so the posterior would stay frozen."""
    with pytest.raises(IntroError, match="average in bfloat16 rounds back"):
        trainer(world, "intro", {"posterior": "average"}, hardware=Hardware(zero=1, dtype="bfloat16"))
