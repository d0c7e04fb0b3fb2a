"""What Muon adds to a step of pretraining: `python benchmarks/pretraining.py [--out FILE]`.

Steps of the tiny scale's base models on their corpus, as `intro pretrain` makes them, with our Muon and with torch's,
whose Newton-Schulz runs in bfloat16. The two take turns on copies of one model and see the same batches. `muon` is the
share of a step that it takes.
"""

from __future__ import annotations

import time
from itertools import cycle
from statistics import median

import torch
from common import parser, report

from intro.config import Config, load
from intro.evaluation.timing import interleaved, machine, paired
from intro.tasks.registry import load_source
from intro.training import pretrain, stages

OURS, TORCHS = "fp32, by shape", "torch's, bf16"
BATCHES = 50


class Step:
    """A call is one training step; what Muon took of each is in `muon`."""

    def __init__(self, config: Config, name: str, muon: type[torch.optim.Muon]) -> None:
        source = load_source(config.data, config.prompts, config.seed)
        tokenizer = source.build_tokenizer()
        rows = pretrain.encode_corpus(source.corpus("clean", BATCHES * config.pretraining.batch), tokenizer)
        order = torch.Generator().manual_seed(config.seed)
        lengths = [len(ids) for ids, _ in rows]
        chosen = pretrain.bucketed_batches(lengths, config.pretraining.batch, BATCHES, order)
        self.batches = cycle([[rows[i] for i in batch] for batch in chosen])
        self.tokens = float(config.pretraining.batch * sum(lengths) // len(lengths))
        self.model = pretrain.build_model(config.models[name], tokenizer, stages.CONTEXT, config.seed)
        self.model.train()
        self.optimizers = pretrain.Optimizers(self.model, config.pretraining, muon)
        self.muon: list[float] = []
        self._step, self.optimizers.parts[0].step = self.optimizers.parts[0].step, self._timed

    def _timed(self) -> None:
        start = time.perf_counter()
        self._step()
        self.muon.append(time.perf_counter() - start)

    def __call__(self) -> None:
        pretrain.train_step(self.model, next(self.batches), self.tokens, self.optimizers, 1)


def main() -> None:
    arguments = parser("pretraining", __doc__, rounds=20)
    arguments.add_argument("--config", default="config/tiny.yaml", help="whose base models (config/tiny.yaml)")
    given = arguments.parse_args()
    torch.set_num_threads(1)  # as the pipeline runs it
    config = load(given.config)
    rows = []
    for name in config.models:
        works = {OURS: Step(config, name, pretrain.Muon), TORCHS: Step(config, name, torch.optim.Muon)}
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
