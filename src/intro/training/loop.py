"""The training loop of every method: rollouts, grades, passes, one or more gradient steps, records, checkpoints.

With several ranks each has its share of a step's prompts, and all of them come to the same rows and curves.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from intro.config import Hardware, Training
from intro.infra.seeds import generator_for, seed_of
from intro.objectives import Objective, Posterior
from intro.rollout.api import open_engine
from intro.rollout.base import RolloutEngine, on_device
from intro.rollout.sampling import Sampling
from intro.training.backends.base import AdamW
from intro.training.backends.build import build_backend
from intro.training.checkpoint import Scratch
from intro.training.measure import kl_to_base, measure, posterior_accuracy
from intro.training.metrics import MetricAccumulator
from intro.training.minibatches import Networks, minibatches_of, precompute_logprobs
from intro.training.policy_loss import PolicyLoss
from intro.training.samples import Prompter, Sample, gold_sample, own_sample
from intro.training.schedule import prompts_of, steps_of
from intro.training.update import accumulate_gradient
from intro.types import IntroError, Problem, Signal

PLAIN = Hardware()
PLAIN_POSTERIOR = Posterior("live", 1.0, "posterior", "gold")  # measured for methods that train without one


@dataclass(frozen=True)
class Run:
    """Everything that decides a run's outcome, apart from the code."""

    objective: Objective
    settings: Training
    lr: float
    seed: int
    steps: int
    sampling: Sampling  # of the curves; rollouts are untempered
    batch: int  # rows the engine decodes at once

    @classmethod
    def of(cls, objective: Objective, settings: Training, lr: float, seed: int, problems: int, **engine: Any) -> Run:
        """One pass (or `epochs`) over the training prompts, the same number of steps for every method."""
        return cls(
            objective, settings, lr, seed, steps_of(problems, settings.prompts_per_step, settings.epochs), **engine
        )


class Trainer:
    """Trains `policy` in place. `rows` and `curves` grow by one record per step and per measured subset."""

    def __init__(
        self,
        run: Run,
        policy: nn.Module,
        base: nn.Module,
        prompter: Prompter,
        problems: Sequence[Problem],
        subsets: Mapping[str, Sequence[Problem]],
        hardware: Hardware = PLAIN,
    ) -> None:
        self.run, self.prompter, self.problems, self.subsets = run, prompter, problems, subsets
        self.hardware = hardware
        source = run.objective.posterior_source or PLAIN_POSTERIOR
        if source.network == "average" and hardware.dtype != "float32":
            raise IntroError(
                f"posterior average: a moving average in {hardware.dtype} rounds back to where it was and never "
                "moves; set the model's hardware.dtype to float32, or take another posterior"
            )
        if hardware.recompute:
            policy.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
            policy.train()  # transformers recomputes in this mode only; these models have no dropout
        self.adamw = AdamW.of(run.settings, run.lr, run.steps * run.objective.updates_per_rollout)
        self.backend = build_backend(PolicyLoss(policy, run.objective), self.adamw, hardware)
        self.ranks, policy = self.backend.ranks, self.backend.replica
        self.networks = Networks(policy, base, self._posterior_network(policy, base))
        self.engine = self._engine(policy)
        self.done = self.updates = 0
        self.rows: list[dict[str, Any]] = []
        self.curves: list[dict[str, Any]] = []
        self._seconds: dict[str, float] = {}

    def _posterior_network(self, policy: nn.Module, base: nn.Module) -> nn.Module | None:
        if Signal.POSTERIOR not in self.run.objective.needs:
            return None
        network = self.run.objective.posterior_source.network
        return {"live": policy, "frozen": base}.get(network) or copy.deepcopy(base)

    def _engine(self, network: nn.Module) -> RolloutEngine:
        hardware = self.hardware
        return open_engine(
            hardware.engine, network, self.prompter.tokenizer, self.run.batch, cuda_graphs=hardware.cuda_graphs
        )

    # ------------------------------------------------------------ the loop

    def train(self, scratch: Scratch | None = None, report: Any = lambda row: None, until: int | None = None) -> None:
        """Run the remaining steps (up to `until`), saving state every `checkpoint_every` steps and at the end."""
        last = min(self.run.steps, until or self.run.steps)
        if self.done == 0 and not self.curves:
            self.measure()
        while self.done < last:
            row = self.step()
            if self.done % self.run.settings.eval_every == 0 or self.done == self.run.steps:
                row |= self.measure()
            self.rows.append(row | {f"seconds_{k}": v for k, v in self._seconds.items()})
            self._seconds = {}
            if scratch and (self.done % self.run.settings.checkpoint_every == 0 or self.done == last):
                scratch.save(self.state(scratch.folder))
            report(self.rows[-1])

    def step(self) -> dict[str, Any]:
        """One step of Algorithm 1 for any objective: sample, grade, precompute, one update per minibatch."""
        objective, budget = self.run.objective, self.run.settings.micro_batch_tokens
        generator = generator_for("step", self.run.seed, self.done, *self.ranks.name)
        generator = on_device(generator, next(self.networks.policy.parameters()).device)
        sample = self._sample(generator)
        with self._timed("score"):
            precomputed = precompute_logprobs(sample, objective, self.networks, budget)
            minibatches = minibatches_of(sample, precomputed, objective, self.networks, budget, self.ranks)
        metrics, norms, rate = MetricAccumulator(), [], self.adamw.rate(self.updates)
        with self._timed("update"):
            for minibatch in minibatches:
                if minibatch.kept:  # without kept rationales there is no gradient; the schedule advances all the same
                    metrics.merge(accumulate_gradient(minibatch, self.backend, self.networks, budget, generator))
                    norms.append(self.backend.step(self.adamw.rate(self.updates)))
                self.updates += 1
            self._update_ema()
        self.done += 1
        kept = sum(minibatch.kept for minibatch in minibatches)
        row = {"step": self.done, "learning_rate": rate, **self._reduce_metrics(sample, metrics, kept)}
        return row | {
            "trained_tokens": sum(minibatch.tokens for minibatch in minibatches),
            "gradient_norm": sum(norms) / len(norms) if norms else 0.0,
            "forward_passes": objective.forward_passes.total,
        }

    def _reduce_metrics(self, sample: Sample, metrics: MetricAccumulator, kept: int) -> dict[str, Any]:
        """Means over the samples and micro-batches of all ranks."""
        everything = self.ranks.gather((sample.rewards, sample.truncated, sample.tokens, sample.entropy, metrics))
        rewards, truncated, tokens, entropy, accumulators = zip(*everything, strict=True)
        correct, whole = torch.cat(rewards), MetricAccumulator()
        for accumulator in accumulators:
            whole.merge(accumulator)
        return {
            "accuracy": 100 * float(correct.mean()),
            "mean_tokens": sum(tokens) / correct.numel(),
            "truncated_share": float(torch.cat(truncated).double().mean()),
            "entropy": None if sample.entropy is None else sum(entropy) / sum(tokens),
            "kept_share": kept / correct.numel(),
            **whole.means(),
        }

    def _sample(self, generator: torch.Generator) -> Sample:
        settings = self.run.settings
        chosen = prompts_of(self.run.seed, self.done, len(self.problems), settings.prompts_per_step)
        problems = [self.problems[i] for i in self.ranks.shard(chosen)]
        if Signal.GOLD_RATIONALE in self.run.objective.needs:
            return gold_sample(problems, self.prompter)
        with self._timed("rollout"):
            return own_sample(
                problems,
                settings.group_size,
                self.run.objective,
                self.prompter,
                self.engine,
                settings.max_response_tokens,
                generator,
            )

    def _update_ema(self) -> None:
        """Move an averaged posterior a step towards the policy."""
        posterior = self.networks.posterior
        if posterior is None or posterior is self.networks.policy or posterior is self.networks.base:
            return
        decay = self.run.objective.posterior_source.decay
        with torch.no_grad():
            for mean, now in zip(posterior.parameters(), self.networks.policy.parameters(), strict=True):
                mean.lerp_(now, 1 - decay)

    # ------------------------------------------------------------ measuring

    def measure(self) -> dict[str, Any]:
        """Fill the curves; the posterior's own accuracy and the KL to the base, on the training subset."""
        run, budget = self.run, self.run.settings.micro_batch_tokens
        with self._timed("eval"):
            for name, problems in self.subsets.items():
                prompts = [self.prompter.question(p) for p in problems]
                seed = seed_of(name, run.seed)
                got = measure(problems, prompts, self.prompter, self.engine, run.sampling, seed, self.ranks)
                row = {"step": self.done, "subset": name, "value": got.value, "mean_tokens": got.mean_tokens}
                self.curves.append(row)
            source = run.objective.posterior_source or PLAIN_POSTERIOR
            network = self.networks.posterior or self.networks.policy
            engine = self.engine if network is self.networks.policy else self._engine(network)
            told = posterior_accuracy(problems, self.prompter, engine, source, run.sampling, seed, self.ranks)
            kl = kl_to_base(self.networks, got.rationales, budget, self.ranks)
        # own samples have an entropy per step; a method without them has the last subset's
        entropy = {"entropy": got.entropy} if Signal.GOLD_RATIONALE in run.objective.needs else {}
        return {"posterior_accuracy": told.value, "posterior_tokens": told.mean_tokens, "kl": kl, **entropy}

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._seconds[phase] = self._seconds.get(phase, 0.0) + time.perf_counter() - start

    # ------------------------------------------------------------ resume

    def state(self, folder: Path | None = None) -> dict[str, Any]:
        """All that a resumed run needs; an engine of several ranks writes its part below `folder`.

        Randomness is a function of (seed, step), so there is none to store.
        """
        networks = self.networks
        averaged = networks.posterior not in (None, networks.policy, networks.base)
        return {
            **self.backend.save(folder, self.done),
            "posterior": networks.posterior.state_dict() if averaged else None,
            "done": self.done,
            "updates": self.updates,
            "rows": self.rows,
            "curves": self.curves,
        }

    def restore(self, state: Mapping[str, Any], folder: Path | None = None) -> None:
        self.backend.restore(state, folder)
        if state["posterior"] is not None:
            self.networks.posterior.load_state_dict(state["posterior"])
        self.done, self.updates = state["done"], state["updates"]
        self.rows, self.curves = list(state["rows"]), list(state["curves"])
