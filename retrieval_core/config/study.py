"""Experiments to be compared in one table: what they start from, and what each row changes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from retrieval_core.config.base import Config
from retrieval_core.config.loading import (
    check_tree,
    load_config,
    nested,
    parse_override,
    read_yaml,
    refine_file,
)
from retrieval_core.config.pipeline import PipelineConfig
from retrieval_core.config.training import LossConfig
from retrieval_core.errors import ConfigError

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
Changes = dict[str, Any]
EXTENDS = "extends"


class StudyConfig(Config):
    """A study as its YAML file has it."""

    base: str | None = Field(
        None, description="YAML file of the experiment that rows change, relative to the study"
    )
    rows: dict[Name, Changes] = Field(
        min_length=1,
        description="per row the settings that it changes, as key.path: value; its `extends` names "
        "another experiment than the base",
    )


class Study(Config):
    """Experiments to be compared; the first row is what the others are measured against."""

    name: Name = Field(description="of the study; its rows are experiments called NAME-ROW")
    rows: dict[Name, PipelineConfig] = Field(description="the experiments")

    def only(self, rows: Sequence[str]) -> "Study":
        """Some of its rows, in its order; all where none are named.

        Raises:
            ConfigError: there is no row of a name.
        """
        unknown = [row for row in rows if row not in self.rows]
        if unknown:
            raise ConfigError(f"no row {unknown[0]!r} in {self.name}: {list(self.rows)}")
        chosen = {row: config for row, config in self.rows.items() if row in rows or not rows}
        return self.model_copy(update={"rows": chosen})


STAGES: dict[str, Changes] = {
    "untrained": {
        "model.weights": "none",
        "model.pooled.learned_whitening": "none",  # it comes with weights
        "training.epochs": 0,
    },
    "pretrained": {"training.epochs": 0},
    "fine-tuned": {},
}
"""What the starting weights give, and what the training adds."""

# The paper's twelve: every set of branches, with each of them once as the first, which classifies.
# Another order of the rest is the same network with its dimensions in another order.
COMBINATIONS = ("S", "M", "G", "SM", "MS", "SG", "GS", "MG", "GM", "SMG", "MSG", "GSM")

CGD: dict[str, Changes] = {
    combination: {
        "model.method": "cgd",
        "model.cgd.combination": combination,
        # the experiment may be of a method that has a whitening
        "model.pooled.learned_whitening": "none",
        "training.refit_whitening": False,
    }
    for combination in COMBINATIONS
}
"""The combinations of global descriptors that CGD's authors compare (arXiv 1903.10663)."""

AUXILIARY = "training.loss.auxiliary"
CLASSIFICATION = {"weight": 1.0, "temperature": 0.5, "label_smoothing": 0.1}
"""By the first branch, as they have it: without it the order of branches means nothing."""


def load_study(path: str | Path, overrides: Sequence[str] = ()) -> Study:
    """Read a study, named like its file.

    Args:
        path: YAML file.
        overrides: `key.path=value` strings that every row starts from; its own changes come later.

    Raises:
        ConfigError: the file, a row's experiment, or a key or value is unacceptable; the message
            names the row and the key.
    """
    path = Path(path).resolve()
    study = check_tree(StudyConfig, read_yaml(path))
    return _study(path.stem, path.parent, study, overrides)


def built_in_study(
    kind: Literal["stages", "cgd"], config: str | Path, overrides: Sequence[str] = ()
) -> Study:
    """The rows `STAGES` or `CGD` of any experiment.

    An experiment that trains nothing has no row "fine-tuned". The rows of CGD have the usual loss
    in the place of one that is only for super-features; where batches are labelled, their first
    branch classifies as in the paper, unless the experiment or an override says how it does.

    Args:
        kind: which rows.
        config: YAML file of the experiment.
        overrides: as in `load_study`.

    Raises:
        ConfigError: as `load_study`.
    """
    path = Path(config).resolve()
    base = load_config(path, overrides)
    rows = _stages(base) if kind == "stages" else _combinations(base, overrides)
    study = StudyConfig(base=path.name, rows=rows)
    return _study(f"{base.name}-{kind}", path.parent, study, overrides)


def _stages(base: PipelineConfig) -> dict[str, Changes]:
    return {row: c for row, c in STAGES.items() if row != "fine-tuned" or base.training.epochs}


def _combinations(base: PipelineConfig, overrides: Sequence[str]) -> dict[str, Changes]:
    loss, usual = base.training.loss, LossConfig()
    instead: Changes = {}
    if loss.kind == "super_feature":
        instead = {"training.loss.kind": usual.kind, "training.loss.margin": usual.margin}
    decided = loss.auxiliary.weight or any(o.startswith(AUXILIARY) for o in overrides)
    if base.training.sampling.kind != "tuples" and not decided:
        instead = {f"{AUXILIARY}.{key}": value for key, value in CLASSIFICATION.items()}
    return {row: {**changes, **instead} for row, changes in CGD.items()}


def _study(name: str, folder: Path, study: StudyConfig, overrides: Sequence[str]) -> Study:
    given = [parse_override(override) for override in overrides]
    rows = {}
    for row, changes in study.rows.items():
        named = nested("name", f"{name}-{row}")
        own = [nested(key, value) for key, value in changes.items() if key != EXTENDS]
        try:
            base = _base(changes.get(EXTENDS, study.base))
            rows[row] = refine_file(folder / base, [*given, named, *own])
        except ConfigError as error:
            raise ConfigError(f"row {row!r}: {error}") from None
    return check_tree(Study, {"name": name, "rows": rows})


def _base(base: Any) -> str:
    if isinstance(base, str):
        return base
    raise ConfigError(
        "expected the YAML file of an experiment, as the study's base or the row's "
        f"{EXTENDS}, found {base!r}"
    )
