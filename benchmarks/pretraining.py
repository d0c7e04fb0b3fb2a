"""What Muon adds to a step of pretraining: `python benchmarks/pretraining.py [--out FILE]`.

Steps of the tiny scale's base models on their corpus, as `intro pretrain` makes them, with our Muon and with torch's,
whose Newton-Schulz runs in bfloat16. The two take turns on copies of one model and see the same batches.
`share_of_muon` is what it takes of a step.
"""

from __future__ import annotations

import time
from itertools import cycle
from statistics import median

import torch

from common import parser, report
from intro.config import Config, load
from intro.cost.measure.timing import interleaved, machine, paired
from intro.pretraining.base_model import CONTEXT, build_model
from intro.pretraining.corpus import bucketed_batches, encode_corpus
from intro.pretraining.loop import train_step
from intro.pretraining.optimizers import Muon, Optimizers
from intro.tasks.registry import load_source

OURS, TORCHS = "fp32, by shape", "torch's, bf16"
BATCHES = 50


class Corpus:
    """Some batches of the world's documents; all models train on them."""

    def __init__(self, config: Config) -> None:
        source, batch = load_source(config.data, config.prompts, config.seed), config.pretraining.batch
        self.tokenizer = source.build_tokenizer()
        rows = encode_corpus(source.corpus("clean", BATCHES * batch), self.tokenizer)
        lengths = [len(ids) for ids, _ in rows]
        order = torch.Generator().manual_seed(config.seed)
        chosen = bucketed_batches(lengths, batch, BATCHES, order)
        self.batches = [[rows[i] for i in members] for members in chosen]
        self.tokens = float(batch * sum(lengths) // len(lengths))  # of a batch


class Step:
    """A call is one training step; what Muon took of each is in `muon`."""

    def __init__(self, config: Config, name: str, corpus: Corpus, muon: type[torch.optim.Muon]) -> None:
        self.batches, self.tokens = cycle(corpus.batches), corpus.tokens
        self.model = build_model(config.models[name], corpus.tokenizer, CONTEXT, config.seed)
        self.model.train()
        self.optimizers = Optimizers(self.model, config.pretraining, muon)
        self.muon: list[float] = []
        self._step, self.optimizers.parts[0].step = self.optimizers.parts[0].step, self._timed

    def _timed(self) -> None:
        start = time.perf_counter()
        self._step()
        self.muon.append(time.perf_counter() - start)

    def __call__(self) -> None:
        train_step(self.model, next(self.batches), self.tokens, self.optimizers, 1)


def main() -> None:
    arguments = parser("pretraining", __doc__, rounds=20)
    arguments.add_argument("--config", default="config/tiny.yaml", help="whose base models (config/tiny.yaml)")
    given = arguments.parse_args()
    torch.set_num_threads(1)  # as the pipeline runs it
    config = load(given.config)
    corpus, rows = Corpus(config), []
    for name in config.models:
        muons = {OURS: Muon, TORCHS: torch.optim.Muon}
        works = {label: Step(config, name, corpus, muon) for label, muon in muons.items()}
        seconds = interleaved(works, given.rounds)
        for label, ratio in paired(seconds, OURS).items():
            share = median(m / s for m, s in zip(works[label].muon[1:], seconds[label], strict=True))
            rows.append({
                "model": name, "muon": label, "seconds": median(seconds[label]), "ratio": ratio.median,
                "low": ratio.low, "high": ratio.high, "share_of_muon": share, "rounds": given.rounds, **machine(),
            })  # fmt: skip
    report(rows, given.out)


if __name__ == "__main__":
    main()
