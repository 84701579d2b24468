"""What does not fit the network is refused before any work starts."""

import os

import pytest

from flows.surroundings import tracked_steps
from retrieval_core.config import PipelineConfig
from retrieval_core.errors import ConfigError

BATCHES = {"sampling": {"kind": "classes"}, "loss": {"kind": "batch_hard_triplet"}}
VIT = {"method": "embedding", "backbone": "test_vit", "dim": 8, "input": {"size": 96}}
SMALL = {"method": "embedding", "backbone": "resnet18", "dim": 8}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model": SMALL, "training": {"frozen_layers": 99}},
            r"training\.frozen_layers: resnet18 has \d+ layers, not 99",
        ),
        (
            {"model": VIT, "training": {**BATCHES, "augmentation": {"side": 64}}},
            r"training\.augmentation\.side 64: test_vit takes images of 96 pixels alone",
        ),
        (
            {"model": SMALL, "postprocessing": {"whitening": {"dimensions": 9}}},
            r"postprocessing\.whitening\.dimensions: 9 is more than the 8 dimensions",
        ),
    ],
)
def test_what_does_not_fit_the_network_is_refused(changes, message, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "environ", os.environ.copy())
    config = PipelineConfig(**changes)
    with pytest.raises(ConfigError, match=message), tracked_steps(config, str(tmp_path / "work")):
        pytest.fail("work has started")
