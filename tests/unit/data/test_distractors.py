import pytest
from PIL import Image

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.config import DatasetConfig, FolderConfig, PipelineConfig
from retrieval_core.data.catalogue import Catalogue, ImageRow, QueryTruth
from retrieval_core.data.distractors import first_distractor_id, with_distractors
from retrieval_core.data.prepare import prepare_dataset
from retrieval_core.errors import DatasetError

BOX = (0.0, 0.0, 5.0, 5.0)
LANDMARKS = Catalogue(
    "landmarks",
    (ImageRow(3, "a", "x", "test", "database"), ImageRow(8, "b", "x", "test", "query", BOX)),
    (QueryTruth(8, (3,), (), ()),),
    revisited=True,
)
OTHERS = Catalogue(
    "others",
    (
        ImageRow(0, "c", "x", "test", "both"),
        ImageRow(1, "d", "x", "test", "query"),
        ImageRow(2, "e", "y", "train", "both"),
        ImageRow(5, "f", "", "test", "database"),
    ),
    (),
    revisited=False,
)


def test_distractors_come_after_all_images_and_are_nothing_but_searched():
    assert first_distractor_id(LANDMARKS) == 9
    both = with_distractors(LANDMARKS, OTHERS)
    assert both.rows == (
        *LANDMARKS.rows,
        ImageRow(9, "c", "", "test", "database"),
        ImageRow(14, "f", "", "test", "database"),
    )
    assert (both.truth, both.revisited) == (LANDMARKS.truth, True)
    assert both.name == "landmarks + others"


def test_they_need_images_but_no_queries(tmp_path):
    for name in ("1.png", "2.png"):
        Image.new("RGB", (40, 40)).save(tmp_path / name)
    config = DatasetConfig(kind="folder", folder=FolderConfig(path=str(tmp_path)))
    directory = ArtifactDirectory(tmp_path / "out")
    with pytest.raises(DatasetError, match="no queries"):
        prepare_dataset(config, directory)
    assert len(prepare_dataset(config, directory, needs=("database",)).catalogue.database()) == 2
    table = tmp_path / "table.csv"
    table.write_text(f"path,label,split\n{tmp_path}/1.png,x,train\n")
    config = DatasetConfig(kind="folder", folder=FolderConfig(table=str(table)))
    with pytest.raises(DatasetError, match="no database images"):
        prepare_dataset(config, directory, needs=("database",))


def test_a_dataset_does_not_distract_from_itself():
    with pytest.raises(ValueError, match="distractors are the dataset itself"):
        PipelineConfig(distractors=DatasetConfig())
