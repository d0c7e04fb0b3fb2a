"""The divergence of the estimated posterior pi(z | x (+) y) from the true one, pi(z | x, y).

If the answer f(z) follows from the rationale, Bayes gives the true posterior: pi(z | x) on the rationales that end
in y, divided by their mass pi(y | x). Two estimates of KL(true || estimated), in nats per rationale:
"bayes"        N sampled rationales; those that end in y are exact samples of the true posterior
"enumeration"  every rationale whose prefixes all have probability above a floor; `covered` is their mass
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm import tqdm

from intro.config import Config
from intro.experiments import base_folder, problems_file
from intro.infra.files import to_csv, write_text
from intro.infra.provenance import Provenance
from intro.infra.seeds import generator_for
from intro.model.load import load_model
from intro.model.logprobs import log_distribution
from intro.model.scoring import Rationale, head_of, logprob_pass, response_hidden
from intro.model.tokenizer import ModelTokenizer, render
from intro.rollout.base import EngineOptions
from intro.rollout.native import NativeEngine
from intro.rollout.sampling import Sampling
from intro.tasks.jsonl import read_problems
from intro.tasks.registry import TaskSource, load_source
from intro.types import Problem

COLUMNS = "model estimate problem rationales kl effective_sample_size covered".split()
BUDGET = 16_384  # tokens per scoring pass


@dataclass(frozen=True, slots=True)
class Subject:
    """One base model with its tokenizer, graders and prompts."""

    name: str
    model: nn.Module
    tokenizer: ModelTokenizer
    source: TaskSource
    prompts: dict[str, str]

    def prompt(self, template: str, problem: Problem) -> tuple[int, ...]:
        return tuple(self.tokenizer.encode(render(self.prompts[template], problem)))

    def correct(self, tokens: Sequence[int], problem: Problem) -> bool:
        return self.source.grade_all([(self.tokenizer.decode(tokens), problem)])[0].correct

    def logprobs(self, template: str, problem: Problem, rationales: Sequence[tuple[int, ...]]) -> Tensor:
        """log pi(z | prompt) of each rationale [R], fp64, summed over its tokens and the end token."""
        prompt = self.prompt(template, problem)
        scored = logprob_pass(self.model, [Rationale(prompt, z, 0) for z in rationales], BUDGET)
        return torch.stack([part.double().sum() for part in scored])


def sequence_kl(log_true: Tensor, log_estimated: Tensor, weights: Tensor) -> float:
    """sum_z weights[z] * (log true - log estimated), all [R]; weights are the true posterior's and sum to one."""
    return float((weights * (log_true - log_estimated)).sum())


def by_sampling(subject: Subject, problem: Problem, rationales: int, max_tokens: int) -> dict[str, object] | None:
    """KL by Bayes' rule over sampled rationales; None when none of them ends in y."""
    engine = NativeEngine.open(subject.model, subject.tokenizer, EngineOptions(batch=512))
    prompt = subject.prompt("question", problem)
    generator = generator_for("posterior", subject.name, problem.id)
    drawn = engine.generate([prompt] * rationales, Sampling(max_tokens), generator)
    kept = [r.tokens for r in drawn if not r.truncated and subject.correct(r.tokens, problem)]
    if not kept:
        return None
    distinct = sorted(set(kept))
    counts = torch.tensor([kept.count(z) for z in distinct], dtype=torch.float64)
    log_policy = subject.logprobs("question", problem, distinct)
    log_true = log_policy - math.log(len(kept) / rationales)  # Bayes: pi(z|x) / pi(y|x)
    divergence = divergence_from(log_true, counts / counts.sum(), subject, problem, distinct)
    return {"estimate": "bayes", "rationales": len(kept), **divergence, "covered": None}


def divergence_from(
    log_true: Tensor, weights: Tensor, subject: Subject, problem: Problem, rationales: Sequence[tuple[int, ...]]
) -> dict[str, float]:
    """The KL from the true posterior [R] of these rationales, weighted by `weights` [R], and their effective number."""
    kl = sequence_kl(log_true, subject.logprobs("posterior", problem, rationales), weights)
    # the number of equally frequent rationales with this sum of squares
    return {"kl": kl, "effective_sample_size": float(1 / (weights**2).sum())}


@torch.no_grad()
def enumerate_rationales(
    subject: Subject, problem: Problem, floor: float, max_tokens: int
) -> tuple[list[tuple[int, ...]], Tensor]:
    """Every rationale all of whose prefixes have probability >= floor, and their log pi(z | x) [R]."""
    prompt, stop = subject.prompt("question", problem), set(subject.tokenizer.stop)
    alive: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
    done: list[tuple[tuple[int, ...], float]] = []
    for _ in range(max_tokens):
        # the hidden state before a dummy token predicts the next one
        prefixes = [(*z, 0) for z, _ in alive]
        parts = [prefixes[i : i + 512] for i in range(0, len(prefixes), 512)]
        last = [response_hidden(subject.model, [prompt + z[:-1] for z in part], [(0,)] * len(part)) for part in parts]
        logp = log_distribution(torch.cat(last), head_of(subject.model)).double()
        total = logp + torch.tensor([before for _, before in alive], dtype=torch.float64)[:, None]
        rows, tokens = (total >= math.log(floor)).nonzero(as_tuple=True)
        grown = [((*alive[i][0], t), float(total[i, t])) for i, t in zip(rows.tolist(), tokens.tolist(), strict=True)]
        done += [(z, p) for z, p in grown if z[-1] in stop]
        alive = [(z, p) for z, p in grown if z[-1] not in stop]
        if not alive:
            break
    return [z for z, _ in done], torch.tensor([p for _, p in done], dtype=torch.float64)


def by_enumeration(subject: Subject, problem: Problem, floor: float, max_tokens: int) -> dict[str, object] | None:
    """KL over the enumerated rationales that end in y, renormalised to them; None when there are none."""
    found, logs = enumerate_rationales(subject, problem, floor, max_tokens)
    right = [i for i, z in enumerate(found) if subject.correct(z, problem)]
    if not right:
        return None
    log_true = logs[right] - logs[right].logsumexp(0)
    divergence = divergence_from(log_true, log_true.exp(), subject, problem, [found[i] for i in right])
    covered = float(logs.exp().sum())
    return {"estimate": "enumeration", "rationales": len(right), **divergence, "covered": covered}


def posterior_check(config: Config) -> None:
    """Write posterior.csv: both estimates per validation problem and base model."""
    watch, settings = Provenance(), config.posterior
    source = load_source(config.data, config.prompts, config.seed)
    problems = read_problems(problems_file(config, "validation"))
    small = [p for p in problems if p.benchmark == settings.enumerate_benchmark][: settings.enumerated]
    chosen = {p.id: p for p in [*problems[: settings.problems], *small]}
    limit, rows = config.training.max_response_tokens, []
    for name in settings.models:
        folder = base_folder(config, name)
        subject = Subject(name, load_model(folder), ModelTokenizer.from_folder(folder), source, config.prompts)
        for problem in tqdm(chosen.values(), desc=f"posterior {name}", unit="problem"):
            found = [by_sampling(subject, problem, settings.rationales, limit)]
            if problem in small:
                found.append(by_enumeration(subject, problem, settings.floor, limit))
            rows += [{"model": name, "problem": problem.id, **row} for row in found if row]
    out = config.results_dir / "posterior.csv"
    write_text(out, to_csv(COLUMNS, rows))
    inputs = {name: base_folder(config, name) for name in settings.models}
    watch.write(out.with_suffix(".record.json"), settings=settings.model_dump(), seed=config.seed, inputs=inputs)
