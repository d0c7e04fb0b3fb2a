"""The command `fetch`: makes model folders from the checkpoints that the config names."""

from __future__ import annotations

from pathlib import Path

from intro.config import Checkpoint, Config, Verifier
from intro.experiments import base_folder, check_model, judge_folder
from intro.infra.provenance import Provenance
from intro.types import IntroError


def fetch_model(config: Config, name: str) -> None:
    """Make models/{name} from its checkpoint, with a record of what was fetched."""
    check_model(config, name)
    model = config.models[name]
    if not isinstance(model, Checkpoint):
        raise IntroError(f"model '{name}' is pretrained here, not fetched; run `intro pretrain --model {name}`")
    _fetch(model, base_folder(config, name))


def fetch_judge(config: Config) -> None:
    """Make verifier/ from the judge model's checkpoint."""
    if config.verifier is None:
        raise IntroError("verifier: this config names no judge model, so there is nothing to fetch; add `verifier`")
    _fetch(config.verifier, judge_folder(config))


def _fetch(model: Checkpoint | Verifier, folder: Path) -> None:
    from intro.model.checkpoints import fetch

    provenance = Provenance()
    facts = fetch(model.checkpoint, model.revision, folder)
    settings = model.model_dump(include={"checkpoint", "revision"})
    provenance.write(folder / "record.json", settings=settings, seed=None, **facts)
