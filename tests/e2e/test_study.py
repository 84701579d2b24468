"""One command runs several experiments and puts them in one table."""

import json
import re

import numpy as np
import pytest
from mlflow import MlflowClient
from PIL import Image

from driving import CONFIG

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

LABELLED = CONFIG.with_name("labelled.yaml")
ROWS = ("untrained", "pretrained", "fine-tuned")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder per label: a pattern of its own under noise."""
    folder, generator = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for label in range(8):
        pattern = generator.integers(0, 200, (4, 4, 3), np.uint8)
        (folder / str(label)).mkdir()
        for number in range(4):
            noisy = pattern + generator.integers(0, 55, pattern.shape, np.uint8)
            image = Image.fromarray(noisy).resize((64, 64), Image.Resampling.BICUBIC)
            image.save(folder / str(label) / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def stages(make_workdir, photos):
    """A work directory with the three stages of an experiment, and what was printed."""
    workdir = make_workdir("study")
    output = workdir.start(
        "study", "stages", str(LABELLED), f"dataset.folder.path={photos}"
    ).wait()
    return workdir, output


def test_x(stages):
    print(stages[1])
