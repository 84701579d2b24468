"""Preparation: what exists, what is needed, and a digest of it."""

from pathlib import Path

import pytest

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.config import DatasetConfig, DemoConfig, FolderConfig
from retrieval_core.data.catalogue import Catalogue
from retrieval_core.data.identity import dataset_identity
from retrieval_core.data.prepare import PreparedDataset, prepare_dataset
from retrieval_core.errors import DatasetError, TooManyExclusionsError

TABLE = "path,label,split\na.jpg,1,test\nb.jpg,1,test\nc.jpg,1,test\nd.jpg,2,train\n"


def prepare(
    folder: Path, text: str, max_excluded: float = 0.01, **options: tuple[str, ...]
) -> PreparedDataset:
    (folder / "table.csv").write_text(text)
    table = FolderConfig(table=str(folder / "table.csv"))
    config = DatasetConfig(kind="folder", folder=table, max_excluded=max_excluded)
    return prepare_dataset(config, ArtifactDirectory(folder / "out"), **options)  # type: ignore


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name in "abcd":
        (tmp_path / f"{name}.jpg").write_bytes(b"image")
    return tmp_path


def test_the_catalogue_is_saved(images: Path) -> None:
    prepared = prepare(images, TABLE)
    assert prepared.excluded == []
    assert Catalogue.load(images / "out") == prepared.catalogue


def test_a_catalogue_of_an_earlier_version_has_no_pairs(images: Path) -> None:
    prepared = prepare(images, TABLE)
    truth = ArtifactDirectory(images / "out").read_json("ground_truth.json")
    del truth["pairs"], truth["val_queries"]
    ArtifactDirectory(images / "out").write_json("ground_truth.json", truth)
    assert Catalogue.load(images / "out") == prepared.catalogue


def test_missing_and_empty_files_are_recorded(images: Path) -> None:
    (images / "a.jpg").unlink()
    (images / "d.jpg").write_bytes(b"")
    with pytest.raises(TooManyExclusionsError, match=r"2 of 4 .* dataset.max_excluded = 0.01"):
        prepare(images, TABLE)
    assert not (images / "out").exists()
    prepared = prepare(images, TABLE, max_excluded=0.5)
    assert prepared.excluded == [
        {"image_id": 0, "path": f"{images}/a.jpg", "split": "test", "reason": "missing"},
        {"image_id": 3, "path": f"{images}/d.jpg", "split": "train", "reason": "empty"},
    ]
    assert [row.image_id for row in prepared.catalogue.rows] == [1, 2]
    assert [(t.query, t.easy) for t in prepared.catalogue.truth] == [(1, (2,)), (2, (1,))]


def test_needed_splits_may_not_be_empty(images: Path) -> None:
    with pytest.raises(DatasetError, match="has no val images"):
        prepare(images, TABLE, needs=("test", "val"))
    with pytest.raises(DatasetError, match="has no test images"):
        prepare(images, TABLE.replace("test", "train"))
    only_train = prepare(images, TABLE.replace("test", "train"), needs=("train",))
    assert len(only_train.catalogue.rows) == 4


def test_a_test_split_needs_queries_and_a_database(images: Path) -> None:
    with pytest.raises(DatasetError, match="no queries"):
        prepare(images, "path,label\na.jpg,1\nb.jpg,2\n")
    with pytest.raises(DatasetError, match="no database"):
        prepare(images, "path,label,query\na.jpg,1,true\n")
    with pytest.raises(DatasetError, match="none of 1 queries has a right answer"):
        prepare(images, "path,label,query\na.jpg,1,true\nb.jpg,2,false\n")


def test_an_address_of_no_known_kind_is_recorded(images: Path) -> None:
    prepared = prepare(images, TABLE.replace("d.jpg", "nowhere://d.jpg"), max_excluded=0.5)
    assert [entry["reason"] for entry in prepared.excluded] == ["unreadable"]


def test_the_identity_of_a_table_follows_the_images_it_lists(images: Path) -> None:
    (images / "sub").mkdir()
    (images / "sub" / "table.csv").write_text("path,label\n../a.jpg,1\n../b.jpg,1\n")
    table = FolderConfig(table=str(images / "sub" / "table.csv"))
    config = DatasetConfig(kind="folder", folder=table)
    before = dataset_identity(config)
    (images / "c.jpg").write_bytes(b"not in the table")
    assert dataset_identity(config) == before
    (images / "a.jpg").write_bytes(b"another image")
    assert dataset_identity(config) != before


def test_nothing_left_says_how_much_was_lost(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="4 missing or empty"):
        prepare(tmp_path, TABLE)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("2,train", "3,train"),
        lambda text: text.replace("2,train", "2,val"),
        lambda text: text.replace("d.jpg", "./e.jpg"),
    ],
)
def test_the_digest_follows_the_table(images: Path, change) -> None:  # type: ignore[no-untyped-def]
    (images / "e.jpg").write_bytes(b"image")
    before = prepare(images, TABLE).digest
    assert prepare(images, TABLE).digest == before
    assert prepare(images, change(TABLE)).digest != before


def test_the_digest_follows_sizes_and_junk(images: Path) -> None:
    table = "path,label,junk\na.jpg,1,{}\nb.jpg,1,\nc.jpg,2,\nd.jpg,2,\n"
    plain, junk = prepare(images, table.format("")), prepare(images, table.format("2"))
    assert plain.digest != junk.digest
    (images / "a.jpg").write_bytes(b"longer image")
    assert prepare(images, table.format("")).digest != plain.digest


def test_the_demo_is_the_same_wherever_it_lies(tmp_path: Path) -> None:
    config = DatasetConfig(demo=DemoConfig(views=200, image_size=64))
    first, second = (
        prepare_dataset(config, ArtifactDirectory(tmp_path / name)) for name in ("one", "two")
    )
    assert first.digest == second.digest
    assert first.excluded == []
    assert Catalogue.load(tmp_path / "one") == first.catalogue
