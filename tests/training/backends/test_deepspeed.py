"""DeepSpeed in two processes against the torch backend in this one. The two processes run `worker.py`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import needs
import steps
import toy
import worker
from intro.config import Hardware
from intro.model.load import load_model
from intro.training.backends import deepspeed as engine
from intro.training.distributed import ALONE, Ranks

pytestmark = needs.needs_deepspeed


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the toy world and of the results of both ranks of one launch."""
    folder = tmp_path_factory.mktemp("ranks")
    toy.write_world(folder)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(worker.SIZE)]
    folders = [str(Path(worker.__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(folders)}
    done = subprocess.run(
        [*command, worker.__file__, str(folder)], capture_output=True, text=True, timeout=600, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def found(root: Path) -> list[dict]:
    return [torch.load(root / f"rank{r}.pt", weights_only=False) for r in range(worker.SIZE)]


def assert_near(got: list, wanted: list) -> None:
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def same(a: list, b: list) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def without_seconds(rows: list[dict]) -> list[dict]:
    return [{k: v for k, v in row.items() if not k.startswith("seconds_")} for row in rows]


def test_collective_operations_of_real_processes(found: list[dict]) -> None:
    """As with the threads of test_distributed.py."""
    assert [f["gathered"] for f in found] == [(list("abcde"), [(0,), (1,)], 1)] * 2


@pytest.mark.parametrize("case", worker.CASES, ids=str)
def test_two_ranks_equal_one_process(case: tuple, found: list[dict]) -> None:
    """Losses, clipped norms and weights of three steps; in the second and third, one rank keeps no rationale.

    The ranks form their losses by chunks of rows, the one process at once.
    """
    name, tied, _ = case
    alone = steps.start(name, tied)
    before = alone.weights()
    alone.steps(range(3))
    for rank in found:
        got = rank["updates"][case]
        assert got["losses"] == pytest.approx(alone.losses, abs=1e-5)
        assert got["norms"] == pytest.approx(alone.norms, rel=1e-4)
        assert_near(got["weights"], alone.weights())
    assert max(alone.norms) > steps.ADAMW.gradient_clip, "nothing was clipped, so clipping was not compared"
    assert not any(torch.allclose(a, b, atol=1e-4) for a, b in zip(before, alone.weights(), strict=True))


def test_ranks_keep_uneven_numbers_of_rationales() -> None:
    """The ranks keep 4 and 5 rationales, then the second rank keeps none, then the first."""
    kept = [[int(steps.sample(s, Ranks(r, 2)).rewards.sum()) for r in range(2)] for s in range(3)]
    assert kept == [[4, 5], [3, 0], [0, 4]]


@pytest.mark.parametrize("stage", worker.STAGES)
def test_ranks_add_gradients_up_in_small_buckets(stage: int) -> None:
    """The configured bucket is larger than a toy model; the runs above use buckets of 300, which they exceed."""
    assert (
        engine.engine_config(Hardware(processes=2, zero=stage), 1.0)["zero_optimization"]["reduce_bucket_size"] <= 1e8
    )


@pytest.mark.parametrize("stage", worker.STAGES)
def test_optimizer_states_in_host_memory_change_nothing(stage: int, found: list[dict]) -> None:
    assert_near(found[0]["updates"]["offload", stage], steps.start("intro", True).steps(range(3)).weights())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("stage", worker.STAGES)
def test_restored_engine_continues_bit_for_bit(stage: int, dtype: str, found: list[dict]) -> None:
    for rank in found:
        whole, second = rank["resumes"][stage, dtype]
        assert same(whole, second)


@pytest.mark.parametrize("name", ["*model_states.pt", "*optim_states.pt"])
def test_a_damaged_engine_checkpoint_raises_a_clear_error(name: str, found: list[dict]) -> None:
    for rank in found:
        assert rank["resumes"][name].endswith("to start over") and "engine-1: damaged" in rank["resumes"][name]


CASES = [(1, "bfloat16"), (2, "bfloat16"), (3, "bfloat16"), (1, "float32"), (2, "float32")]


@pytest.mark.parametrize(("stage", "dtype"), CASES)
def test_replica_is_the_policy_in_the_training_dtype(stage: int, dtype: str, found: list[dict], root: Path) -> None:
    """Every step updates it in place, so decoders may share its storage; AdamW's weights are fp32."""
    for rank in found:
        got = rank["replicas"][stage, dtype]
        assert got["moved"] and got["stays"] and got["is policy"] == (stage < 3)
        assert got["types"] == {getattr(torch, dtype)} and got["masters"] == {torch.float32}
        assert got["buffers"] == {torch.float32}, "rotary frequencies were rounded"
    saved = load_model(root / f"final-{stage}-{dtype}", dtype)
    assert same(list(saved.parameters()), found[0]["replicas"][stage, dtype]["weights"])


def test_a_whole_run_reports_what_one_process_sees(found: list[dict], root: Path) -> None:
    """Rows and curves of gold rationales, ZeRO-3, on both ranks: the numbers are global."""
    alone = worker.trainer(root, "sft", Hardware(), 0.0)
    assert alone.ranks is ALONE
    alone.train()
    for rank in found:
        rows, curves = rank["trained"]["gold"]
        assert curves == alone.curves
        for got, wanted in zip(without_seconds(rows), without_seconds(alone.rows), strict=True):
            numbers = {k: v for k, v in wanted.items() if v is not None}  # no entropy where nothing was sampled
            assert got.keys() == wanted.keys()
            assert {k: got[k] for k in numbers} == pytest.approx(numbers, rel=1e-4, abs=1e-5)


def test_a_rank_without_prompts_joins_collective_operations(found: list[dict]) -> None:
    """One prompt a step for two ranks: the other rank has no rationales."""
    first, second = (without_seconds(f["trained"]["one_prompt"]) for f in found)
    assert first == second and all(row["kept_share"] == 1 for row in first) and first[-1]["k3"] > 0


def test_an_interrupted_run_equals_a_whole_one_bit_for_bit(found: list[dict]) -> None:
    """Weights, rows and curves of InTRO; only the engine's last checkpoint is kept."""
    for rank in found:
        trained = rank["trained"]
        (rows, curves, weights), (rows_, curves_, weights_) = trained["whole"], trained["half"]
        assert same(weights, weights_) and curves == curves_ and without_seconds(rows) == without_seconds(rows_)
        assert trained["resumed at"] == 2
    assert found[0]["trained"]["folders"] == [["engine-2"], ["engine-4"]]
    assert any(0 < row["kept_share"] < 1 for row in rows)
