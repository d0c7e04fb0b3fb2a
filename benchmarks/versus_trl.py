"""A whole training step of TRL and of ours, in one process: `python benchmarks/versus_trl.py [--out FILE]`.

The same random model, prompts, number and length of completions, rewards, optimizer and threads; steps take turns.
A step is everything from one optimizer step of the training loop to the next: sampling, grading, passes without
gradient, loss, backward pass, optimizer, records. Setting up a trainer, logging, saving and evaluating are left out.
No model can end a response, so all of them have the full length, and count as complete.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast, PrinterCallback, TrainerCallback
from transformers.utils import logging

from common import needs_trl, parser, report
from intro.config import Hardware, TinyModel, Training
from intro.cost.measure.timing import installed, interleaved, machine, paired
from intro.model.load import load_model
from intro.model.tokenizer import ModelTokenizer
from intro.objectives import build
from intro.pretraining.base_model import build_model
from intro.rollout.base import Response
from intro.tasks.tiny_world.source import TinyWorldSource
from intro.training.loop import Trainer
from intro.training.run_spec import Curves, RunSpec
from intro.training.samples import Prompter
from intro.types import Grade, Problem

PROMPTS, GROUP, LENGTH, CONTEXT = 8, 4, 64, 256
LR, BETA, CLIP = 1e-5, 1e-3, 1.0  # BETA: of GRPO's penalty to the reference model; CLIP: of the gradient's norm
TEMPLATES = {"question": "{question} :", "posterior": "{question} : given {answer}"}
MODEL = TinyModel(stands_for="-", architecture="qwen3", hidden=128, layers=4, heads=4, kv_heads=2)
NEVER = "<never>"  # the end token: the tokenizer knows it, the model has no row for it
WARMUP = 2
MANY = 1 << 30  # steps: no run comes to its end
YARDSTICKS = {1: "TRL GRPO, 1 update", 2: "TRL GRPO, 2 updates"}  # by the updates that a step makes of its completions

Judge = Callable[[str], bool]


def half(text: str) -> bool:
    """Right for about one text in two, and always the same for one text."""
    return len(text) % 2 == 0


def every(text: str) -> bool:
    return True


@dataclass
class Parts:
    """Where the seconds of each step went; the rest is grading, GRPO's passes before the loss, and bookkeeping."""

    generate: list[float] = field(default_factory=list)
    update: list[float] = field(default_factory=list)  # the loss with its passes, backward pass, optimizer
    tokens: list[int] = field(default_factory=list)  # generated

    def begin(self) -> None:
        self.generate.append(0.0)
        self.update.append(0.0)
        self.tokens.append(0)


# ---------------------------------------------------------------- ours


@dataclass(frozen=True)
class Judged(TinyWorldSource):
    """The tiny world's problems with another judge: a random model solves none of them."""

    judge: Judge = half

    def grade_all(self, pairs: Sequence[tuple[str, Problem]]) -> list[Grade]:
        right = [self.judge(text) for text, _ in pairs]
        return [Grade(r, None, "correct" if r else "wrong answer") for r in right]


@dataclass
class Uncut:
    """An engine whose responses count as complete: the limit ended all of them."""

    engine: Any
    parts: Parts

    def generate(self, *args: Any, **kwargs: Any) -> list[Response]:
        start = time.perf_counter()
        responses = self.engine.generate(*args, **kwargs)
        self.parts.generate[-1] += time.perf_counter() - start
        self.parts.tokens[-1] += sum(len(r.tokens) for r in responses)
        return [replace(r, truncated=False) for r in responses]


class Ours:
    """A call is one step of the project's own trainer, records included."""

    def __init__(self, folder: Path, seed: int, judge: Judge, name: str, **options: Any) -> None:
        settings = Training(
            prompts_per_step=PROMPTS, group_size=GROUP, max_response_tokens=LENGTH, micro_batch_tokens=1 << 16,
            eval_every=MANY, checkpoint_every=MANY, learning_rates=[LR], sweep_models=[], protocols=[], train_seeds=[],
            gradient_clip=CLIP, warmup=0.0,
        )  # fmt: skip
        spec = RunSpec(
            model="-", base="-", method=build(name, **options), learning_rate=LR, seed=seed, steps=MANY,
            training=settings, curves=Curves({}, temperature=1.0, top_p=1.0, max_response_tokens=1),
            batch=PROMPTS * GROUP, hardware=Hardware(), prompts=TEMPLATES, data={}, world_seed=seed,
        )  # fmt: skip
        world = Judged(seed, {}, PROMPTS, 1, TEMPLATES, judge)
        policy, base = (load_model(folder) for _ in range(2))
        prompter = Prompter(ModelTokenizer.from_folder(folder), TEMPLATES, world)
        problems = world.train()
        self.trainer = Trainer(spec, policy, base, prompter, problems, {"train": problems[:1]})
        self.trainer.measure()  # the curves' first point, which the first step would take
        self.parts, self.over = Parts(), YARDSTICKS[spec.method.updates_per_rollout]
        self.trainer.engine = Uncut(self.trainer.engine, self.parts)

    def __call__(self) -> None:
        self.parts.begin()
        self.trainer.train(until=self.trainer.done + 1)
        self.parts.update[-1] = self.trainer.rows[-1]["seconds_update"]

    def kept(self) -> float | None:
        """Share of the completions that the loss is taken on."""
        return median(row["kept_share"] for row in self.trainer.rows[WARMUP:])

    def close(self) -> None: ...


# ---------------------------------------------------------------- TRL's


class Peer(TrainerCallback):
    """A call lets a TRL trainer, whose `train` runs in a thread, go on to the end of its next step."""

    def __init__(self, trainer: Any, updates: int = 1) -> None:
        """updates: optimizer steps that TRL makes of one batch of completions; a call takes all of them."""
        self.trainer, self.updates, self.over, self.parts = trainer, updates, YARDSTICKS[updates], Parts()
        self._go, self._stopped, self._error = threading.Semaphore(0), threading.Semaphore(0), None
        self._over = False
        self._generate, self._loss = trainer.model.generate, trainer.compute_loss
        trainer.model.generate, trainer.compute_loss = self._timed_generate, self._timed_loss
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(self)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __call__(self) -> None:
        self.parts.begin()
        for _ in range(self.updates):
            self._go.release()
            self._stopped.acquire()
            if self._error is not None:
                raise self._error

    def kept(self) -> float | None:
        return None

    def close(self) -> None:
        self._over = True
        self._go.release()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._go.acquire()
            self.trainer.train()
        except Exception as error:  # raised where the step was asked for
            self._error = error
            self._stopped.release()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.parts.update[-1] += time.perf_counter() - self._began
        self._stopped.release()
        self._go.acquire()
        control.should_training_stop = self._over

    def _timed_generate(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        start = time.perf_counter()
        sequences = self._generate(*args, **kwargs)
        self.parts.generate[-1] += time.perf_counter() - start
        self.parts.tokens[-1] += sequences.numel() - kwargs["input_ids"].numel()
        return sequences

    def _timed_loss(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        self._began = time.perf_counter()
        return self._loss(*args, **kwargs)


def peers(folder: Path, seed: int) -> dict[str, Peer]:
    """TRL's trainers with the settings of ours. Their optimizer is TRL's own choice, the fused AdamW."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer
    from trl.experimental.sdft import SDFTConfig, SDFTTrainer
    from trl.experimental.sdpo import SDPOConfig, SDPOTrainer

    problems = TinyWorldSource(seed, {}, PROMPTS, 1, TEMPLATES).train()
    prompts = [TEMPLATES["question"].format(question=p.question) for p in problems]
    data = Dataset.from_dict({"prompt": prompts, "privileged_context": [f"given {p.answer}" for p in problems]})

    def common(updates: int = 1) -> dict[str, Any]:
        return {
            **{"output_dir": str(folder / "trl"), "seed": seed, "use_cpu": True, "bf16": False, "fp16": False},
            **{"per_device_train_batch_size": PROMPTS * GROUP // updates, "steps_per_generation": updates},
            **{"num_generations": GROUP, "max_completion_length": LENGTH, "temperature": 1.0, "max_steps": 100_000},
            **{"learning_rate": LR, "lr_scheduler_type": "constant", "max_grad_norm": CLIP, "adam_beta2": 0.95},
            **{"gradient_checkpointing": False, "report_to": [], "logging_strategy": "no", "save_strategy": "no"},
            **{"disable_tqdm": True, "dataloader_pin_memory": False},
        }

    def reward(completions: list[str], **_: Any) -> list[float]:
        return [float(half(text)) for text in completions]

    def grpo(updates: int) -> Peer:
        settings = GRPOConfig(**common(updates), beta=BETA, loss_type="grpo")
        return Peer(GRPOTrainer(str(folder), reward, settings, data), updates)

    teacher = {"teacher_model_kind": "live", "distillation_alpha": 1.0}  # the policy itself, reverse KL
    # SDFT's default keeps the 100 most likely tokens, more than this vocabulary has
    sdft = SDFTConfig(
        **common(), **teacher, distillation_mode="full_logits", teacher_prompt_template="{prompt} {privileged_context}"
    )
    sdpo = SDPOConfig(  # its own words are not in this vocabulary
        **common(), **teacher, reprompt_template="{prompt}{solution}{feedback}",
        solution_template=" {successful_previous_attempt}", feedback_template=" {feedback_raw}",
    )  # fmt: skip
    return {
        **{name: grpo(updates) for updates, name in YARDSTICKS.items()},
        "TRL SDFT": Peer(SDFTTrainer(str(folder), sdft, data)),
        "TRL SDPO": Peer(SDPOTrainer(str(folder), reward, sdpo, data.remove_columns("privileged_context"))),
    }


def ours(folder: Path, seed: int) -> dict[str, Ours]:
    return {
        "GRPO, 1 update": Ours(folder, seed, half, "grpo", updates_per_rollout=1, kl=BETA),
        "GRPO, 2 updates": Ours(folder, seed, half, "grpo", updates_per_rollout=2, kl=BETA),
        "InTRO, half kept": Ours(folder, seed, half, "intro"),
        "InTRO, all kept": Ours(folder, seed, every, "intro"),
    }


def write_model(folder: Path, seed: int) -> None:
    """A Hugging Face folder with random weights whose end token cannot be sampled."""
    world = TinyWorldSource(seed, {}, PROMPTS, 1, TEMPLATES)
    tokenizer = world.build_tokenizer()
    model = build_model(MODEL, tokenizer, CONTEXT, seed)
    whole = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **world.tokenizer_settings() | {"eos_token": NEVER})
    model.config.eos_token_id = model.generation_config.eos_token_id = whole.eos_token_id
    model.save_pretrained(folder)
    whole.save_pretrained(folder)


def measure(folder: Path, rounds: int, seed: int) -> list[dict[str, Any]]:
    works: dict[str, Any] = {**peers(folder, seed), **ours(folder, seed)}
    seconds = interleaved(works, rounds, WARMUP)
    rows = []
    for name, work in works.items():
        ratio = paired(seconds, work.over)[name]
        generate, update = (median(part[WARMUP:]) for part in (work.parts.generate, work.parts.update))
        whole = zip(seconds[name], work.parts.generate[WARMUP:], work.parts.update[WARMUP:], strict=True)
        rows.append({
            "step": name, "seconds": median(seconds[name]), "generate": generate, "update": update,
            "rest": median(s - g - u for s, g, u in whole), "over": work.over, "ratio": ratio.median,
            "ratio_low": ratio.low, "ratio_high": ratio.high, "kept": work.kept(),
            "tokens": median(work.parts.tokens[WARMUP:]), "completions": PROMPTS * GROUP, "rounds": rounds,
        })  # fmt: skip
        work.close()
    return rows


def main() -> None:
    given = parser("versus_trl", __doc__).parse_args()
    needs_trl()
    logging.set_verbosity_error()  # the end token outside of the model's vocabulary is meant
    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as name:
        write_model(Path(name), given.seed)
        rows = measure(Path(name), given.rounds, given.seed)
    taken = {"trl": installed("trl"), **machine(given.device)}
    report([{**row, **taken} for row in rows], given.out)


if __name__ == "__main__":
    main()
