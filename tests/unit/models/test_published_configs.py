"""The experiments that repeat published scores fit the checkpoints they name."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from retrieval_core.config import load_config
from retrieval_core.models import build_model
from retrieval_core.models.factory import NETWORKS
from retrieval_core.models.zoo import CHECKPOINTS

PROJECT = Path(__file__).parents[3]
PUBLISHED = {
    path.stem: path
    for path in sorted((PROJECT / "configs").glob("*.yaml"))
    if (checkpoint := CHECKPOINTS.get(load_config(path).model.weights)) and not checkpoint.start
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_network_is_that_of_the_checkpoint(name: str) -> None:
    config = load_config(PUBLISHED[name])
    assert config.model.method == CHECKPOINTS[config.model.weights].method
    assert f"_{config.model.backbone}_" in name
    assert name.endswith(f"_{config.dataset.benchmark.name}")
    assert config.training.epochs == 0
    with torch.device("meta"):
        model = NETWORKS[config.model.method](config.model)
    if config.model.method == "gem":
        assert model.global_dim == (512 if config.model.backbone == "vgg16" else 2048)
    else:
        assert model.local_dim == 128
        assert config.training_dataset.benchmark.name == "sfm120k"


@pytest.mark.parametrize(
    ("name", "case"),
    [
        ("fire_resnet50_roxford5k", "fire_resnet50"),
        ("how_resnet18_roxford5k", "how_resnet18"),
        ("how_resnet50_roxford5k", "how_resnet50"),
        ("gem-w-sfm_resnet50_roxford5k", "gem_resnet50_whiten"),
        ("gem_vgg16_roxford5k", "gem_vgg16"),
    ],
)
def test_every_tensor_of_an_official_file_finds_its_place(
    name: str, case: str, parity_case: Callable[[str], object], tmp_path: Path
) -> None:
    content = parity_case(case).content
    if name.startswith("gem_"):
        learned = {"m": np.zeros((512, 1)), "P": np.eye(512)}
        content["meta"] = {**content["meta"], "Lw": {"retrieval-SfM-120k": {"ms": learned}}}
    torch.save(content, tmp_path / "official.pth")
    config = load_config(PUBLISHED[name]).model
    model = build_model(config.model_copy(update={"weights": str(tmp_path / "official.pth")}))
    assert not model.needs_whitening


def test_the_guide_names_every_experiment() -> None:
    page = (PROJECT / "docs" / "published.md").read_text()
    assert set(re.findall(r"configs/([\w-]+)\.yaml", page)) == PUBLISHED.keys()


@pytest.mark.parametrize("name", [n for n in PUBLISHED if n.rpartition("_")[2] != "sfm120k-val"])
def test_the_guide_has_the_scores_of_every_experiment(name: str) -> None:
    comment = PUBLISHED[name].read_text().partition("\nextends")[0].partition("\nname")[0]
    scores = re.findall(r"(?:medium|hard),?\s(?:#\s)?(\d\d\.\d)", comment)
    assert scores
    page = (PROJECT / "docs" / "published.md").read_text()
    # a row has the scores of a benchmark before the command that repeats them
    (cell,) = re.findall(rf"([\d. /]+) \| `configs/{name}\.yaml`", page)
    assert re.findall(r"\d\d\.\d", cell) == scores
