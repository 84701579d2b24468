"""What ground truth says, and what is wrong with it."""

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.benchmarks import (
    INDEX,
    bring_landmarks,
    photograph,
    write_distractors,
    write_landmarks,
    write_oxford,
    write_pickle,
    write_sfm,
)

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.config import BenchmarkConfig, DatasetConfig
from retrieval_core.data.benchmarks.components import connected
from retrieval_core.data.benchmarks.readers import read_benchmark
from retrieval_core.data.catalogue import Catalogue
from retrieval_core.data.prepare import Need, prepare_dataset
from retrieval_core.errors import DatasetError, RetrievalError, UnsafePickleError

Change = Callable[[dict[str, Any]], object]


def own(name: str, root: Path) -> BenchmarkConfig:
    return BenchmarkConfig.model_validate({"name": name, "root": str(root), "download": False})


def prepare(name: str, root: Path, *needs: Need) -> Catalogue:
    config = DatasetConfig(kind="benchmark", benchmark=own(name, root))
    return prepare_dataset(config, ArtifactDirectory(root / "out"), needs=needs).catalogue


@pytest.fixture
def oxford(tmp_path: Path) -> Path:
    """Ground truth, and every photograph that it names."""
    write_oxford(tmp_path)
    truth = pickle.loads((tmp_path / "roxford5k/gnd_roxford5k.pkl").read_bytes())
    for number, name in enumerate((*truth["imlist"], *truth["qimlist"])):
        (tmp_path / f"{name}.jpg").write_bytes(photograph(number, 0))
    return tmp_path


def alter(path: Path, change: Change) -> None:
    content = pickle.loads(path.read_bytes())
    change(content)
    write_pickle(path, content)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda c: c["gnd"][1].update(easy=[6]), r"gnd\[1\]\.easy names image 6 of a list of 6"),
        (lambda c: c["gnd"][1].update(junk=[-1]), "junk names image -1"),
        (lambda c: c["gnd"][0].update(hard=["a"]), "hard is no list of whole numbers"),
        (lambda c: c["gnd"][0].update(hard=[0.5]), "hard is no list of whole numbers"),
        (lambda c: c["gnd"][0].update(hard=[float("nan")]), "hard is no list of whole numbers"),
        (lambda c: c["gnd"][0].pop("hard"), "hard is missing, there is .*'bbx', 'easy', 'junk'"),
        (lambda c: c["gnd"].pop(), "gnd has 1 entries for 2 queries"),
        (lambda c: c.pop("qimlist"), "qimlist is missing"),
        (lambda c: c.update(imlist=[]), "imlist is no list of names"),
        (lambda c: c.update(imlist=[1, 2]), "imlist is no list of names"),
        (lambda c: c.update(gnd=3), "gnd is no list"),
        (lambda c: c["gnd"].__setitem__(0, 3), r"gnd\[0\]\.expected keys and values, found int"),
        (lambda c: c["gnd"][0].update(bbx=[1, 2, 3]), r"bbx is no box: \[1, 2, 3\]"),
        (lambda c: c["gnd"][0].update(bbx=[1, 2, 3, float("inf")]), "bbx is no box"),
        (lambda c: c["gnd"][0].update(bbx=[9, 2, 3, 8]), "bbx is an empty box"),
    ],
)
def test_wrong_ground_truth_is_named(oxford: Path, change: Change, fault: str) -> None:
    alter(oxford / "roxford5k/gnd_roxford5k.pkl", change)
    with pytest.raises(DatasetError, match=rf"gnd_roxford5k\.pkl: .*{fault}") as raised:
        read_benchmark(own("roxford5k", oxford))
    assert "get the published one" in str(raised.value)


def test_hostile_ground_truth_stops_the_preparation(oxford: Path) -> None:
    (oxford / "roxford5k/gnd_roxford5k.pkl").write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    with pytest.raises(UnsafePickleError, match=r"os\.system"):
        prepare("roxford5k", oxford, "test")


@pytest.mark.parametrize(
    ("box", "good"),
    [
        ([0, 0, 64, 48], True),
        ([-0.4, 0, 64.5, 48.3], True),  # as people draw
        ([0, 0, 66, 48], False),
        ([10, 10, 20, 60], False),
        ([-5, 10, 20, 30], False),
        ([100, 100, 200, 200], False),
    ],
)
def test_boxes_lie_in_their_images(oxford: Path, box: list[float], good: bool) -> None:
    alter(oxford / "roxford5k/gnd_roxford5k.pkl", lambda c: c["gnd"][1].update(bbx=box))
    if good:
        assert prepare("roxford5k", oxford, "test").queries()[1].box == tuple(box)
        return
    with pytest.raises(DatasetError, match=r"balliol_000003\.jpg leaves its image of 64 x 48"):
        prepare("roxford5k", oxford, "test")


def test_boxes_are_those_of_the_upright_image(oxford: Path) -> None:
    exif, stream = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6
    Image.new("RGB", (48, 64)).save(stream, "JPEG", exif=exif)
    (oxford / "balliol_000003.jpg").write_bytes(stream.getvalue())
    assert prepare("roxford5k", oxford, "test").queries()


def test_a_query_without_a_box_is_the_whole_image(oxford: Path) -> None:
    alter(oxford / "roxford5k/gnd_roxford5k.pkl", lambda c: c["gnd"][0].update(bbx=None))
    alter(oxford / "roxford5k/gnd_roxford5k.pkl", lambda c: c["gnd"][1].pop("bbx"))
    assert {row.box for row in prepare("roxford5k", oxford, "test").queries()} == {None}


def test_names_may_be_bytes(oxford: Path) -> None:
    path = oxford / "roxford5k/gnd_roxford5k.pkl"
    alter(path, lambda c: c.update(imlist=np.array([name.encode() for name in c["imlist"]])))
    assert len(prepare("roxford5k", oxford, "test").rows) == 8


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda c: c["train"].update(pidxs=[0]), "qidxs has 4 entries, pidxs has 1"),
        (lambda c: c["train"].update(pidxs=[0, 1, 2, 12]), r"train\.pidxs names image 12"),
        (lambda c: c["train"].update(cluster=[1]), "cluster has 1 entries for 12 cids"),
        (lambda c: c.pop("val"), "val is missing"),
        (lambda c: c.update(train=[]), "train.expected keys and values, found list"),
    ],
)
def test_wrong_training_lists_are_named(tmp_path: Path, change: Change, fault: str) -> None:
    write_sfm(tmp_path)
    alter(tmp_path / "sfm/retrieval-SfM-120k.pkl", change)
    with pytest.raises(DatasetError, match=fault):
        read_benchmark(own("sfm120k", tmp_path))


def test_a_wrong_validation_list_is_named(tmp_path: Path) -> None:
    write_sfm(tmp_path)
    alter(tmp_path / "sfm/retrieval-SfM-120k-val-eccv2020.pkl", lambda c: c.update(qidx=[0, 5]))
    with pytest.raises(DatasetError, match="qidx names image 5 of a list of 5"):
        read_benchmark(own("sfm120k", tmp_path))
    clusters = own("sfm120k", tmp_path).model_copy(update={"validation": "clusters"})
    assert read_benchmark(clusters).val_truth == ()


@pytest.mark.parametrize(
    ("name", "old", "new", "fault"),
    [
        ("retrieval_solution_v2.1.csv", INDEX[2], "f" * 16, "is not in index.csv"),
        ("retrieval_solution_v2.1.csv", "images", "pictures", "images"),
        ("index.csv", INDEX[2], "../../../passwd", "is no image id"),
        ("index.csv", "id\n", "", "id"),
    ],
)
def test_wrong_tables_are_named(tmp_path: Path, name: str, old: str, new: str, fault: str) -> None:
    write_landmarks(tmp_path)
    path = tmp_path / "landmarks-v2" / name
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DatasetError, match=fault):
        read_benchmark(own("landmarks-v2", tmp_path))


def test_tables_and_photographs_where_the_published_script_puts_them(tmp_path: Path) -> None:
    write_landmarks(tmp_path / "csv")
    for split, table in (("index", "index.csv"), ("index", "index_image_to_landmark.csv")):
        (tmp_path / split).mkdir(exist_ok=True)
        (tmp_path / "csv/landmarks-v2" / table).rename(tmp_path / split / table)
    bring_landmarks(tmp_path)
    assert len(prepare("landmarks-v2", tmp_path, "test").rows) == 6


def test_an_empty_list_of_distractors(tmp_path: Path) -> None:
    write_distractors(tmp_path)
    (tmp_path / "revisitop1m/revisitop1m.txt").write_text("\n")
    with pytest.raises(DatasetError, match="names no image"):
        read_benchmark(own("revisitop1m", tmp_path))


@pytest.mark.parametrize("name", ["roxford5k", "revisitop1m", "sfm120k", "landmarks-v2"])
def test_what_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(RetrievalError, match=r"\.(pkl|txt|csv) cannot be read"):
        prepare(name, tmp_path, "database")


def test_connected_components() -> None:
    assert connected([[1, 2], [3], [4, 5], [5, 2]]) == {1: 0, 2: 0, 3: 1, 4: 0, 5: 0}
    assert connected([]) == {}
