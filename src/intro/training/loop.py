"""The training loop of every method: rollouts, grades, forward passes, updates, metrics and saved states.

Several ranks share the prompts of a step; all compute the same rows and curves.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from intro.infra.seeds import generator_for, seed_of
from intro.model.tokenizer import ModelTokenizer
from intro.rollout.api import open_engine
from intro.rollout.base import EngineOptions, RolloutEngine, on_device
from intro.training.backends.base import AdamW
from intro.training.backends.build import build_backend
from intro.training.checkpoint import Scratch
from intro.training.distributed import device_of
from intro.training.measure import kl_to_base, measure
from intro.training.metrics import MetricAccumulator
from intro.training.minibatches import Networks, minibatches_of, precompute_logprobs
from intro.training.policy_loss import PolicyLoss
from intro.training.run_spec import RunSpec
from intro.training.samples import Prompter, Sample, gold_sample, own_sample
from intro.training.schedule import prompts_of
from intro.training.update import accumulate_gradient
from intro.types import IntroError, Problem, Signal


def engine_of(spec: RunSpec, source: Path | nn.Module, tokenizer: ModelTokenizer) -> RolloutEngine:
    """The run's engine over a model folder or a live model."""
    hardware, device = spec.hardware, device_of(spec.hardware)
    options = EngineOptions(spec.batch, hardware.dtype, device, cuda_graphs=hardware.cuda_graphs)
    return open_engine(hardware.engine, source, tokenizer, options)


class Trainer:
    """Trains `policy` in place. `rows` gets one record per step, `curves` one per measured subset."""

    def __init__(
        self,
        spec: RunSpec,
        policy: nn.Module,
        base: nn.Module,
        prompter: Prompter,
        problems: Sequence[Problem],
        subsets: Mapping[str, Sequence[Problem]],
    ) -> None:
        self.spec, self.prompter, self.problems, self.subsets = spec, prompter, problems, subsets
        hardware, objective = spec.hardware, spec.method
        if spec.posterior.network == "average" and hardware.dtype != "float32":
            raise IntroError(
                f"posterior average: a moving average in {hardware.dtype} rounds back to its old value and never "
                "moves; set the model's hardware.dtype to float32, or choose another posterior"
            )
        if hardware.recompute:
            policy.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
            policy.train()  # transformers recomputes in this mode only; these models have no dropout
        self.adamw = AdamW.of(spec.training, spec.learning_rate, spec.steps * objective.updates_per_rollout)
        self.backend = build_backend(PolicyLoss(policy, objective), self.adamw, hardware)
        self.ranks, policy = self.backend.ranks, self.backend.replica
        self.networks = Networks(policy, base, self._posterior_network(policy, base))
        self.engine = engine_of(spec, policy, prompter.tokenizer)
        self.done = self.updates = 0
        self.rows: list[dict[str, Any]] = []
        self.curves: list[dict[str, Any]] = []
        self._seconds: dict[str, float] = {}

    def _posterior_network(self, policy: nn.Module, base: nn.Module) -> nn.Module | None:
        if Signal.POSTERIOR not in self.spec.method.needs:
            return None
        network = self.spec.posterior.network
        return {"live": policy, "frozen": base}.get(network) or copy.deepcopy(base)

    # ------------------------------------------------------------ the loop

    def train(self, scratch: Scratch | None = None, report: Any = lambda row: None, until: int | None = None) -> None:
        """Run the remaining steps (up to `until`), saving state every `checkpoint_every` steps and at the end."""
        last = min(self.spec.steps, until or self.spec.steps)
        if self.done == 0 and not self.curves:
            self.measure()
        while self.done < last:
            row = self.step()
            if self.done % self.spec.training.eval_every == 0 or self.done == self.spec.steps:
                row |= self.measure()
            self.rows.append(row | {f"seconds_{k}": v for k, v in self._seconds.items()})
            self._seconds = {}
            if scratch and (self.done % self.spec.training.checkpoint_every == 0 or self.done == last):
                scratch.save(self.state(scratch.folder))
            report(self.rows[-1])

    def step(self) -> dict[str, Any]:
        """One step of Algorithm 1 for any objective: sample, grade, precompute, one update per minibatch."""
        objective, budget = self.spec.method, self.spec.training.micro_batch_tokens
        generator = generator_for("step", self.spec.seed, self.done, *self.ranks.name)
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
        settings = self.spec.training
        chosen = prompts_of(self.spec.seed, self.done, len(self.problems), settings.prompts_per_step)
        problems = [self.problems[i] for i in self.ranks.shard(chosen)]
        if Signal.GOLD_RATIONALE in self.spec.method.needs:
            return gold_sample(problems, self.prompter)
        with self._timed("rollout"):
            return own_sample(problems, self.spec.method, self.prompter, self.engine, settings, generator)

    def _update_ema(self) -> None:
        """Move the moving average of the posterior towards the policy, once per step."""
        if average := self.networks.average:
            with torch.no_grad():
                for mean, now in zip(average.parameters(), self.networks.policy.parameters(), strict=True):
                    mean.lerp_(now, 1 - self.spec.posterior.decay)

    # ------------------------------------------------------------ measuring

    def measure(self) -> dict[str, Any]:
        """Add a point to every curve; return posterior accuracy and KL to the base model, of the training subset."""
        spec, budget = self.spec, self.spec.training.micro_batch_tokens
        with self._timed("eval"):
            for name, problems in self.subsets.items():
                seed = seed_of(name, spec.seed)
                got = measure(problems, self.prompter, self.engine, spec.sampling, seed, self.ranks)
                point = {"step": self.done, "subset": name, "value": got.value, "mean_tokens": got.mean_tokens}
                self.curves.append(point)
            network = self.networks.posterior or self.networks.policy
            live = network is self.networks.policy
            engine = self.engine if live else engine_of(spec, network, self.prompter.tokenizer)
            answered = measure(problems, self.prompter, engine, spec.sampling, seed, self.ranks, spec.posterior)
            kl = kl_to_base(self.networks, got.rationales, budget, self.ranks)
        # sampled rationales have an entropy per step; a method without them reports that of the last subset
        entropy = {"entropy": got.entropy} if Signal.GOLD_RATIONALE in spec.method.needs else {}
        return {"posterior_accuracy": answered.value, "posterior_tokens": answered.mean_tokens, "kl": kl, **entropy}

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._seconds[phase] = self._seconds.get(phase, 0.0) + time.perf_counter() - start

    # ------------------------------------------------------------ resume

    def state(self, folder: Path | None = None) -> dict[str, Any]:
        """Everything that a resumed run needs; a backend of several ranks writes files below `folder`.

        Random numbers are a function of (seed, step), so no generator is stored.
        """
        average = self.networks.average
        return {
            **self.backend.save(folder, self.done),
            "posterior": average and average.state_dict(),
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
