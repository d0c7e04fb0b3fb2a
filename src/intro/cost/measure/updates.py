"""What one update costs: passes, FLOPs, seconds and peak memory of SFT, GRPO and InTRO on the same tokens."""

from __future__ import annotations

import copy
from statistics import median

import torch

from intro.config import Config
from intro.cost.measure.step import Step
from intro.cost.measure.timing import interleaved, paired, peak_bytes
from intro.experiments import base_folder, problems_file
from intro.infra.files import to_csv, write_json, write_text
from intro.infra.provenance import Provenance
from intro.model.load import load_model
from intro.model.scoring import Rationale
from intro.model.tokenizer import ModelTokenizer
from intro.tasks.jsonl import read_problems
from intro.tasks.registry import load_source
from intro.training.distributed import device_of
from intro.training.samples import Prompter, Sample

BASELINE = "sft"


def fixed_sample(config: Config, prompter: Prompter, tokens: int) -> Sample:
    """Gold rationales of about `tokens` tokens in all, each with its prompt with and without the answer."""
    rationales: list[Rationale] = []
    for problem in read_problems(problems_file(config, "train")):
        if sum(len(r.tokens) for r in rationales) >= tokens:
            break
        z = (*prompter.tokenizer.encode(problem.rationale), prompter.tokenizer.stop[0])
        with_answer = prompter.named("posterior", problem)
        rationales.append(Rationale(prompter.question(problem), z, len(rationales), with_answer))
    shape = (len(rationales), 1)
    lengths = [len(r.tokens) for r in rationales]
    complete = torch.zeros(shape, dtype=torch.bool)
    return Sample(rationales, torch.ones(shape), complete, sum(lengths), None)


def cost_check(config: Config) -> None:
    """Write cost.csv. The methods alternate, and ratios are taken within a round, since the machine's speed drifts."""
    provenance, settings = Provenance(), config.cost
    folder = base_folder(config, settings.model)
    source = load_source(config.data, config.prompts, config.seed)
    sample = fixed_sample(config, Prompter(ModelTokenizer.from_folder(folder), config.prompts, source), settings.tokens)
    hardware = config.models[settings.model].hardware
    device = device_of(hardware)
    policy = load_model(folder, hardware.dtype, device)
    base = copy.deepcopy(policy)
    updates = {n: Step(config.methods[n], sample, policy, base) for n in settings.methods}
    seconds = interleaved(updates, settings.runs, device=device)
    ratios = paired(seconds, BASELINE, config.evaluation.resamples)
    tokens = sum(len(r.tokens) for r in sample.rationales)
    rows = [
        {"method": name, "forward_passes": update.objective.forward_passes.total, "backward_passes": 1,
         "tokens": tokens, "flops": update.flops(), "seconds_median": median(seconds[name]),
         "ratio_median": ratios[name].median, "ratio_low": ratios[name].low, "ratio_high": ratios[name].high,
         "peak_bytes": peak_bytes(update, device), "runs": settings.runs}
        for name, update in updates.items()
    ]  # fmt: skip
    write_text(config.results_dir / "cost.csv", to_csv(list(rows[0]), rows))
    record = provenance.record(settings=settings.model_dump(), seed=config.seed, inputs={"model": folder})
    write_json(config.results_dir / "cost.record.json", record)
