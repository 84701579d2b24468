"""The commands of the pages on studies, comparisons and distractors, on photographs made here."""

import csv
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch
import torchvision
from support.benchmarks import (
    photograph,
    write_cars,
    write_distractors,
    write_oxford,
    write_sfm,
    write_sources,
)
from support.mirror import Mirror

from retrieval_core.config.study import COMBINATIONS

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1800)]

PROJECT = Path(__file__).parents[2]
# what the pages leave to real data, networks and hours, made small here
SMALL = ["training.epochs=1", "evaluation.bootstrap=20", "training.threads=1"]
LOCAL = [
    "features.max_features=20",
    "features.image_size=64",
    "features.scales=[1.0]",
    "codebook={size: 16, images: 12, max_features: 20}",
]
DEMO = [
    "dataset.demo.views=200",
    "dataset.demo.image_size=64",
    "model.dim=16",
    "training.queries=4",
    "training.mining={pool: 10, negatives: 1}",
    "training.image_size=64",
    "training.whitening_images=20",
    *LOCAL,
]
LABELLED = ["model.input.size=32", "training.sampling.classes=2", "features.image_size=32"]
CARS = ["model.backbone=resnet18", "model.weights=none", "model.dim=24", *LABELLED]
OXFORD = ["model.backbone=resnet18", "model.weights=none", "training.whitening_images=10", *LOCAL]


@pytest.fixture(scope="module")
def desk(make_workdir, tmp_path_factory):
    """How to run a command of a page in a directory that has all it names."""
    folder, site = tmp_path_factory.mktemp("desk"), tmp_path_factory.mktemp("site")
    write_cars(site)
    for write in (write_oxford, write_sfm, write_distractors):
        write(site)
    shutil.copytree(PROJECT / "configs", folder / "configs")
    _write_half_of_cars(folder)
    workdir = make_workdir("experiment-pages")
    with Mirror(site) as mirror:
        sources = write_sources(folder / "sources.yaml", mirror.url(""))

        def run(command, *overrides):
            own = [option.replace("SOURCES", sources) for option in overrides]
            words = [*shlex.split(command)[1:], *own]
            return workdir.start(*words, cwd=folder, COLUMNS="200").wait(patience=1200)

        yield workdir, run


def _write_half_of_cars(folder):
    """Photographs, table and weights where the experiments on half of Cars196 look for them."""
    place = folder / "cars196_crop256"
    place.mkdir()
    rows = []
    for number in range(24):
        (place / f"{number}.jpg").write_bytes(photograph(number // 3, number))
        rows.append({"path": f"{number}.jpg", "label": number // 3, "split": "train"})
        rows[-1]["split"] = "test" if number >= 12 else "train"
    with (place / "table.csv").open("w", newline="") as stream:
        table = csv.DictWriter(stream, rows[0])
        table.writeheader()
        table.writerows(rows)
    features = torchvision.models.mobilenet_v2().features.state_dict()
    torch.save(features, folder / "mobilenetv2_imagenet_features.pt")


def commands(page, *, language="bash|console"):
    """What a page gives to the shell, in order."""
    text = (PROJECT / "docs" / page).read_text().replace("\\\n", " ")
    blocks = "".join(re.findall(rf"```(?:{language})\n(.*?)```", text, re.S))
    return re.findall(r"^retrieval .*", blocks, re.M)


def study(workdir, name):
    """Rows of the newest table of that name."""
    (path,) = workdir.glob(f"study-{name}-*/study.json")
    table = json.loads(path.read_text())
    assert table["errors"] == {}
    return list(dict.fromkeys(line["row"] for line in table["lines"]))


def test_studies_of_the_page_end_in_tables_and_two_can_be_compared(desk):
    workdir, run = desk
    stages, combinations, losses = commands("studies.md")
    run(stages, *SMALL, *DEMO)
    assert study(workdir, "how_lite0_demo-stages") == ["untrained", "pretrained", "fine-tuned"]
    # a training takes longer to start than all else in its row
    run(
        f"{combinations} --row SMG --row S",
        *SMALL, *CARS, "training.epochs=0", "dataset.benchmark.sources=SOURCES",
    )  # fmt: skip
    assert study(workdir, "cgd_resnet50_cars196-cgd") == ["S", "SMG"]
    page = (PROJECT / "docs" / "studies.md").read_text()
    (listed,) = re.findall(r"twelve rows .*?compare: (.*?)\. They", page, re.S)
    assert re.findall(r"`(\w+)`", listed) == list(COMBINATIONS)
    chosen = f"{losses} --row pretrained --row proxy-anchor"
    run(chosen, *SMALL, *LABELLED, "training.augmentation.side=32")
    assert study(workdir, "cars196-half_losses") == ["pretrained", "proxy-anchor"]
    (inline,) = re.findall(r"`(retrieval compare [^`]*)`", page)
    assert "fine-tuned" in run(inline)


def test_two_runs_are_compared_as_the_page_says(desk):
    workdir, run = desk
    (compare,) = commands("compare.md", language="bash")
    for name in compare.split()[2:]:
        run(f"retrieval run configs/{name}.yaml", *SMALL, *DEMO)
    assert "asmk" in run(compare)
    assert list((workdir.path / "comparisons").glob("*/compare.html"))


def test_distractors_are_indexed_as_the_page_says(desk):
    workdir, run = desk
    (index,) = commands("datasets.md", language="console")
    mirrored = [f"{p}.benchmark.sources=SOURCES" for p in ("training.dataset", "distractors")]
    output = run(index, "evaluation.bootstrap=20", *OXFORD, *mirrored)
    for kind in ("asmk", "vectors"):
        assert any(str(path.parent) in output for path in workdir.glob(f"{kind}-*/manifest.json"))
