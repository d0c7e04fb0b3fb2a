"""What one update costs: passes, FLOPs, seconds and peak memory of SFT, GRPO and InTRO on the same tokens."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from intro.config import Config
from intro.lm.engine import on_device
from intro.lm.load import load_model
from intro.lm.scoring import Rationale
from intro.lm.text import Text
from intro.objectives import Objective, build
from intro.plan import base_folder, problems_file
from intro.provenance import Stopwatch, to_csv, write_json, write_text
from intro.seeds import generator_for
from intro.tasks.registry import load_source
from intro.tasks.store import read_problems
from intro.training import update as training
from intro.training.backend import AdamW, Torch
from intro.training.ranks import device_of
from intro.training.rollouts import Prompter, Sample
from intro.training.update import Networks, backward, parts_of, score
from intro.types import Signal

COLUMNS = (
    "method forward_passes backward_passes tokens flops seconds_median ratio_median ratio_low ratio_high "
    "peak_bytes runs"
).split()
YARDSTICK = "sft"
IDLE_ADAMW = AdamW(lr=0.0, updates=1, betas=(0.9, 0.95), weight_decay=0.0, gradient_clip=1.0, warmup=0.0)  # no step


class Update:
    """Everything between rollouts and the optimizer, for one objective on given rationales."""

    def __init__(self, objective: Objective, sample: Sample, policy: torch.nn.Module, base: torch.nn.Module) -> None:
        # one part: the same tokens reach one gradient, however many updates a method would make of them
        self.objective, self.sample = replace(objective, updates_per_rollout=1), sample
        asks = Signal.POSTERIOR in objective.needs
        self.networks = Networks(policy, base, policy if asks else None)
        self.backend = Torch(training.Update(policy, self.objective), IDLE_ADAMW)
        self.device = next(policy.parameters()).device
        self.budget = sum(len(r.tokens) + len(r.prompt) for r in sample.rationales) * 4

    def __call__(self) -> None:
        passes = score(self.sample, self.objective, self.networks, self.budget)
        generator = on_device(generator_for("cost"), self.device)
        for part in parts_of(self.sample, passes, self.objective):
            backward(part, self.backend, self.networks, self.budget, generator)
        self.networks.policy.zero_grad(set_to_none=True)
        if self.device.type == "cuda":  # work is queued there; the clock waits for it
            torch.cuda.synchronize(self.device)

    def forward_passes(self) -> int:
        """Network passes per rationale, the one with gradient included."""
        needs = self.objective.needs
        return 1 + sum(signal in needs for signal in (Signal.POSTERIOR, Signal.OLD_LOGPROBS, Signal.REFERENCE))

    def flops(self) -> int:
        with FlopCounterMode(display=False) as counter:
            self()
        return counter.get_total_flops()

    def peak_bytes(self) -> int:
        """The most memory that one update holds at a time beyond what it started with."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            before = torch.cuda.memory_allocated(self.device)
            self()
            return torch.cuda.max_memory_allocated(self.device) - before
        return peak_bytes(self)


def peak_bytes(work: Callable[[], None]) -> int:
    """The most memory of the host that `work` holds at a time beyond what there was before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    held = peak = 0
    for event in profiler.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return peak


def fixed_sample(config: Config, prompter: Prompter, tokens: int) -> Sample:
    """Gold rationales of about `tokens` tokens in all, each with its prompt with and without the answer."""
    rationales: list[Rationale] = []
    for problem in read_problems(problems_file(config, "train")):
        if sum(len(r.tokens) for r in rationales) >= tokens:
            break
        z = (*prompter.text.encode(problem.rationale), prompter.text.stop[0])
        given = prompter.named("posterior", problem)
        rationales.append(Rationale(prompter.question(problem), z, len(rationales), given))
    shape = (len(rationales), 1)
    lengths = [len(r.tokens) for r in rationales]
    complete = torch.zeros(shape, dtype=torch.bool)
    return Sample(rationales, torch.ones(shape), complete, sum(lengths), None)


def median_interval(values: list[float], resamples: int) -> tuple[float, float]:
    """95 % bootstrap interval of the median over runs."""
    drawn = np.random.default_rng(0).choice(values, size=(resamples, len(values)))
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
    return float(low), float(high)


def cost_check(config: Config) -> None:
    """Write cost.csv. Runs are interleaved, and ratios are taken within a round: the machine's speed drifts."""
    watch, settings = Stopwatch(), config.cost
    folder = base_folder(config, settings.model)
    source = load_source(config.data, config.prompts, config.seed)
    sample = fixed_sample(config, Prompter(Text.from_folder(folder), config.prompts, source), settings.tokens)
    hardware = config.models[settings.model].hardware
    policy = load_model(folder, hardware.dtype, device_of(hardware))
    base = copy.deepcopy(policy)
    entries = {name: config.methods[name] for name in settings.methods}
    updates = {n: Update(build(e.objective, **e.options()), sample, policy, base) for n, e in entries.items()}
    seconds: dict[str, list[float]] = {name: [] for name in updates}
    for number in tqdm(range(settings.runs + 1), desc="cost", unit="round"):
        for name, update in updates.items():
            start = time.perf_counter()
            update()
            if number:  # the first round warms up
                seconds[name].append(time.perf_counter() - start)
    tokens = sum(len(r.tokens) for r in sample.rationales)
    rows = []
    for name, update in updates.items():
        ratios = [a / b for a, b in zip(seconds[name], seconds[YARDSTICK], strict=True)]
        low, high = median_interval(ratios, config.evaluation.resamples)
        rows.append({
            "method": name, "forward_passes": update.forward_passes(), "backward_passes": 1, "tokens": tokens,
            "flops": update.flops(), "seconds_median": median(seconds[name]), "ratio_median": median(ratios),
            "ratio_low": low, "ratio_high": high, "peak_bytes": update.peak_bytes(), "runs": settings.runs,
        })  # fmt: skip
    write_text(config.results_dir / "cost.csv", to_csv(COLUMNS, rows))
    record = watch.record(settings=settings.model_dump(), seed=config.seed, inputs={"model": folder})
    write_json(config.results_dir / "cost.record.json", record)
