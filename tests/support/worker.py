"""The work of each of two ranks in test_deepspeed.py, in one launch, since starting takes longest."""

from __future__ import annotations

import os
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import torch

import steps
import toy
from intro.config import Hardware, parse
from intro.experiments import Cell, base_folder
from intro.model import chunked_loss as chunks
from intro.model.load import load_model, save_model
from intro.tasks.registry import load_source
from intro.training.backends import deepspeed as engine
from intro.training.checkpoint import Scratch
from intro.training.distributed import join
from intro.training.loop import Trainer
from intro.training.run_spec import Curves, RunSpec
from intro.training.samples import Prompter
from intro.types import IntroError

SIZE = 2
STAGES = (1, 2, 3)
CASES = [(name, tied, stage) for name, tied in (("intro", True), ("intro", False), ("grpo", False)) for stage in STAGES]


def hardware(stage: int, dtype: str = "float32", offload: bool = False) -> Hardware:
    return Hardware(processes=SIZE, zero=stage, dtype=dtype, offload=offload)


def shard_small_parameters() -> None:
    """Shard a toy model's parameters and split its buckets, as happens to a large model's."""
    whole = engine.engine_config

    def settings(*args):
        made = whole(*args)
        made["zero_optimization"] |= {"stage3_param_persistence_threshold": 0, "reduce_bucket_size": 300}
        return made

    engine.engine_config = settings


def use_small_chunks() -> None:
    """As with a large vocabulary: the head's gradient is formed in the forward pass, a few rows at a time."""
    chunks.rows_per_chunk = lambda vocabulary: 5


def updates() -> dict:
    out = {}
    for name, tied, stage in CASES:
        run = steps.start(name, tied, hardware(stage)).steps(range(3))
        out[name, tied, stage] = {"losses": run.losses, "norms": run.norms, "weights": run.weights()}
        run.backend.close()
    for stage in STAGES:
        offloaded = steps.start("intro", True, hardware(stage, offload=True)).steps(range(3))
        out["offload", stage] = offloaded.weights()
    return out


def resumes(root: Path) -> dict:
    """Weights of resumed runs, and the messages for damaged checkpoints."""
    found = {
        (stage, dtype): steps.resumed("grpo", True, hardware(stage, dtype), root / f"{stage}-{dtype}")
        for stage in STAGES
        for dtype in ("float32", "bfloat16")
    }
    for name in ("*model_states.pt", "*optim_states.pt"):
        run = steps.start("grpo", True, hardware(3)).steps(range(1))
        folder = root / f"damaged-{name[1:6]}"
        state = run.backend.save(folder, 1)
        mine = sorted(folder.glob(f"*/{name}"))[run.backend.ranks.rank]
        mine.write_bytes(mine.read_bytes()[:100])
        run.backend.ranks.barrier()
        try:
            steps.start("grpo", True, hardware(3)).backend.restore(state, folder)
        except IntroError as error:
            found[name] = str(error)
    return found


def masters(optimizer) -> list:
    """The weights that AdamW updates."""
    if hasattr(optimizer, "fp32_partitioned_groups_flat"):  # ZeRO-3
        return optimizer.fp32_partitioned_groups_flat
    return [p for group in optimizer.optimizer.param_groups for p in group["params"]]


def replicas(root: Path) -> dict:
    """The replica that passes without gradient use: its storage, its dtypes and its weights."""
    out = {}
    for stage, dtype in [*((stage, "bfloat16") for stage in STAGES), (1, "float32"), (2, "float32")]:
        run = steps.start("intro", False, hardware(stage, dtype))
        before = [p.data_ptr() for p in run.backend.replica.parameters()]
        start = run.weights()
        run.steps(range(1))
        replica, policy = run.backend.replica, run.backend.policy_loss.policy
        out[stage, dtype] = got = {
            "moved": any(not torch.equal(a, b) for a, b in zip(start, run.weights(), strict=True)),
            "stays": before == [p.data_ptr() for p in replica.parameters()],
            "is policy": replica is policy,
            "types": {p.dtype for p in replica.parameters()},
            "buffers": {b.dtype for net in (replica, policy) for b in net.buffers()},
            "masters": {p.dtype for p in masters(run.backend.engine.optimizer)},
        }
        if run.backend.ranks.first:
            save_model(replica, root / f"final-{stage}-{dtype}")
        got["weights"] = run.weights()
    return out


def trainer(root: Path, name: str, hardware: Hardware, temperature: float, **settings) -> Trainer:
    config = parse(toy.mapping(root))
    source = load_source(config.data, config.prompts, config.seed)
    prompter = Prompter(toy.tokenizer_of(config, "qwen2-s"), config.prompts, toy.LengthJudge(source))
    training = config.training.model_copy(update=settings)
    spec = RunSpec.of(config.model_copy(update={"training": training}), Cell("qwen2-s", name, "paper", 0), 0.003, "")
    curves = Curves({}, temperature=temperature, top_p=1.0, max_response_tokens=12)
    spec = replace(spec, steps=4, hardware=hardware, batch=32, curves=curves)
    policy, base = (load_model(base_folder(config, "qwen2-s")) for _ in range(2))
    problems = source.train()
    return Trainer(spec, policy, base, prompter, problems, {"all": problems[:3], "train": problems[3:8]})


def trained(root: Path) -> dict:
    """Whole runs: gold rationales and greedy curves, equal for any number of ranks; and an interrupted run."""
    gold = trainer(root, "sft", hardware(3).model_copy(update={"recompute": True}), 0.0)
    gold.train()
    # prompts_per_step 1: the second rank never has a prompt
    one_prompt = trainer(root, "grpo", hardware(3), 0.6, prompts_per_step=1)
    one_prompt.train()
    whole = trainer(root, "intro", hardware(2), 0.6)
    whole.train()
    halves = []
    for until in (2, None):
        half = trainer(root, "intro", hardware(2), 0.6)
        scratch = Scratch(root / "runs", "key", half.ranks)
        with scratch.lock():
            if state := scratch.load():
                half.restore(state, scratch.folder)
            half.train(scratch, until=until)
        halves.append(sorted(p.name for p in scratch.folder.glob("engine-*")))
    return {
        "gold": (gold.rows, gold.curves),
        "one_prompt": one_prompt.rows,
        "whole": (whole.rows, whole.curves, [p.detach() for p in whole.networks.policy.parameters()]),
        "half": (half.rows, half.curves, [p.detach() for p in half.networks.policy.parameters()]),
        "folders": halves,
        "resumed at": state["done"],
    }


def main(root: Path) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    ranks = join(hardware(3))
    shard_small_parameters()
    use_small_chunks()
    out = {"updates": updates(), "resumes": resumes(root), "replicas": replicas(root), "trained": trained(root)}
    out["gathered"] = ranks.gather_in_order(ranks.shard("abcde")), ranks.gather(ranks.name), ranks.max(ranks.rank)
    torch.save(out, root / f"rank{ranks.rank}.pt")
    ranks.barrier()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # as in intro.training.launch.exit_rank


if __name__ == "__main__":
    main(Path(sys.argv[1]))
