"""The commands of the page on published networks, with photographs and networks made small here.

The networks have the published names, formats and layers; their parameters follow a formula.
"""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from support.benchmarks import write_distractors, write_oxford, write_sfm, write_sources
from support.mirror import Mirror
from support.official import gem_content, listed_content

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1800)]

PROJECT = Path(__file__).parents[2]
SMALL = [
    "features.image_size=64",
    "features.scales=[1.0]",
    "features.global_scales=[1.0]",
    "features.max_features=20",
    "codebook={size: 16, images: 12, max_features: 20}",
    "evaluation.bootstrap=20",
]


@pytest.fixture(scope="module")
def desk(make_workdir, shared_parity, tmp_path_factory):
    """How to run a command of the page: its words, in a work directory with all it downloads."""
    site, data = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("data")
    for write in (write_oxford, write_sfm, write_distractors):
        write(site)
    listing = json.loads((shared_parity / "cases.json").read_text())
    networks = {
        "fire": listed_content(listing, "fire_resnet50"),
        "how_r50-": listed_content(listing, "how_resnet50"),
        "retrievalSfM120k-resnet101-gem": gem_content("resnet101", 2048),
    }
    for name, content in networks.items():
        torch.save(content, site / f"{name}.pth")
    workdir = make_workdir("published-page")
    # as if they had been downloaded by hand
    shutil.copy(site / "fire.pth", data)
    for part in ("test", "train"):
        (data / part).symlink_to(workdir.path / "datasets")
    with Mirror(site) as mirror:
        addresses = {name: {"urls": [mirror.url(f"{name}.pth")]} for name in networks}
        (data / "checkpoints.yaml").write_text(yaml.safe_dump(addresses))
        sources = write_sources(data / "sources.yaml", mirror.url(""))

        def run(words):
            if words[0] == "run":
                config, *own = words[1:]
                parts = ["dataset", *(["training.dataset"] if "gem" not in config else [])]
                parts += ["distractors"] if any("distractors" in word for word in own) else []
                mirrored = [f"{part}.benchmark.sources={sources}" for part in parts]
                words = ["run", str(PROJECT / config), *SMALL, *own, *mirrored]
            # wide enough that no word of a table is cut
            wide = {"COLUMNS": "200", "RETRIEVAL_CHECKPOINTS": str(data / "checkpoints.yaml")}
            return workdir.start(*words, **wide).wait()

        yield data, run


def test_every_command_of_the_page_works_in_order(desk):
    data, run = desk
    page = (PROJECT / "docs" / "published.md").read_text()
    text = "".join(re.findall(r"```console\n(.*?)```", page, re.S)).replace("\\\n", " ")
    commands = [shlex.split(line.replace("/data", str(data)))[1:] for line in text.splitlines()]
    assert [words[0] for words in commands].count("run") == 6
    for words in commands:
        output = run(words)
        if words[0] == "run":
            network = "given" if any("model.weights" in word for word in words) else "published"
            assert re.search(rf"{network}\s+(asmk|global)(\s+\d+\.\d)+", output), output
