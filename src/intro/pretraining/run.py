"""The command `intro pretrain`: from the corpus to a base model's folder."""

from __future__ import annotations

from intro.config import Config
from intro.experiments import base_folder, check_model, problems_file
from intro.infra.files import atomic_folder, to_csv, write_text
from intro.infra.provenance import Provenance
from intro.pretraining.base_model import CONTEXT, build_model, save_base
from intro.pretraining.corpus import encode_corpus
from intro.pretraining.loop import pretrain
from intro.tasks.jsonl import read_jsonl
from intro.tasks.registry import load_source


def pretrain_base(config: Config, name: str, seed: int) -> None:
    """Train one base model on the corpus and save it below models/, with pretraining.csv and record.json.

    seed: decides the initial weights and the order of documents. Raises IntroError for an unknown model, or without a
    corpus.
    """
    watch = Provenance()
    check_model(config, name)
    source = load_source(config.data, config.prompts, config.seed)
    tokenizer, file = source.build_tokenizer(), problems_file(config, "corpus")
    documents = [(r["prompt"], r["response"]) for r in read_jsonl(file, ("prompt", "response"), "run `intro data`")]
    steps = config.models[name].steps or config.pretraining.steps
    settings = config.pretraining.model_copy(update={"steps": steps})
    model = build_model(config.models[name], tokenizer, CONTEXT, seed)
    losses = pretrain(model, encode_corpus(documents, tokenizer), settings, seed, name)
    with atomic_folder(base_folder(config, name, seed)) as folder:
        save_base(model, tokenizer, source.tokenizer_settings(), folder)
        curve = [{"step": i + 1, "loss": loss} for i, loss in enumerate(losses)]
        write_text(folder / "pretraining.csv", to_csv(["step", "loss"], curve))
        used = {"model": config.models[name].model_dump(), "pretraining": settings.model_dump(exclude={"seeds"})}
        record = {"settings": used, "seed": seed, "parameters": sum(p.numel() for p in model.parameters())}
        watch.write(folder / "record.json", inputs={"corpus": file}, **record)
