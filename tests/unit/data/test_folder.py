"""Your own images: folders, tables, and what is wrong with them."""

import csv
import tarfile
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.config import DatasetConfig, FolderConfig
from retrieval_core.data.catalogue import Catalogue
from retrieval_core.data.folder import read_folder
from retrieval_core.data.prepare import prepare_dataset
from retrieval_core.errors import DatasetError


def table(folder: Path, text: str) -> FolderConfig:
    (folder / "table.csv").write_text(text)
    return FolderConfig(table=str(folder / "table.csv"))


def by_name(catalogue: Catalogue, root: Path) -> dict[str, tuple[str, str, str]]:
    prefix = f"{root}/"
    return {r.path.removeprefix(prefix): (r.label, r.split, r.role) for r in catalogue.rows}


def test_folders_are_labels(tmp_path: Path) -> None:
    for name in ("a/1.jpg", "a/2.PNG", "b/1.jpeg", "free.jpg", "a/notes.txt", ".cache/x.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    catalogue = read_folder(FolderConfig(path=str(tmp_path)))
    assert by_name(catalogue, tmp_path) == {
        "a/1.jpg": ("a", "test", "both"),
        "a/2.PNG": ("a", "test", "both"),
        "b/1.jpeg": ("b", "test", "database"),
        "free.jpg": ("", "test", "database"),
    }
    assert [(t.query, t.easy, t.junk) for t in catalogue.truth] == [
        (0, (1,), (0,)),
        (1, (0,), (1,)),
    ]


def test_labels_are_divided_by_their_own_hash(tmp_path: Path) -> None:
    lines = [f"{label}/{i}.jpg,{label}" for label in range(100) for i in range(2)]
    config = table(tmp_path, "\n".join(["path,label", *lines, "free.jpg,"]))
    halves = read_folder(config.model_copy(update={"test_fraction": 0.5}))
    sides: dict[str, set[str]] = {}
    for row in halves.rows:
        sides.setdefault(row.label, set()).add(row.split)
    assert all(len(found) == 1 for found in sides.values())
    assert sides.pop("") == {"test"}
    assert 35 < sum(found == {"test"} for found in sides.values()) < 65
    assert {r.role for r in halves.split("train")} == {"both"}


def test_a_query_may_be_cut_out_of_a_database_image(tmp_path: Path) -> None:
    lines = "a.jpg,1,true,0 0 9 9\na.jpg,1,false,\nb.jpg,1,false,\nc.jpg,2,false,\n"
    catalogue = read_folder(table(tmp_path, "path,label,query,box\n" + lines))
    assert [(r.path, r.role) for r in catalogue.rows[:2]] == [
        (f"{tmp_path}/a.jpg", "query"),
        (f"{tmp_path}/a.jpg", "database"),
    ]
    (truth,) = catalogue.truth
    assert (truth.query, truth.easy, truth.junk) == (0, (2,), (1,))  # its own photograph is junk
    with pytest.raises(DatasetError, match="more than once"):
        read_folder(table(tmp_path, "path,label,query\na.jpg,1,true\na.jpg,1,true\n"))


def test_labels_stay_text(tmp_path: Path) -> None:
    catalogue = read_folder(table(tmp_path, "path,label\na.jpg,007\nb.jpg,7\nc.jpg,007\n"))
    assert [row.label for row in catalogue.rows] == ["007", "7", "007"]


def test_parquet_columns_of_other_types(tmp_path: Path) -> None:
    columns = {
        "path": ["a.jpg", "b.jpg"],
        "label": [1, 1],
        "query": [True, False],
        "box": [[1.0, 2.0, 3.5, 4.0], None],
        "width": [640, 480],
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    catalogue = read_folder(FolderConfig(path=str(tmp_path / "t.parquet")))
    assert [(r.label, r.role, r.box) for r in catalogue.rows] == [
        ("1", "query", (1.0, 2.0, 3.5, 4.0)),
        ("1", "database", None),
    ]


def test_queries_splits_boxes_and_junk(tmp_path: Path) -> None:
    text = """path,label,split,query,box,junk,comment
q.jpg,castle,test,true,1 2 30 40,gate; tower,x
lost.jpg,nobody,test,yes,,,x
a.jpg,castle,test,false,,,x
g.jpg,gate,test,0,,,x
t.jpg,tower,test,no,,,x
m.jpg,mill,train,false,,,x
"""
    catalogue = read_folder(table(tmp_path, text))
    assert by_name(catalogue, tmp_path)["m.jpg"] == ("mill", "train", "both")
    assert by_name(catalogue, tmp_path)["q.jpg"] == ("castle", "test", "query")
    assert catalogue.rows[0].box == (1, 2, 30, 40)
    castle, lost = catalogue.truth
    assert (castle.query, castle.easy, castle.junk) == (0, (2,), (3, 4))
    assert (lost.query, lost.easy, lost.hard) == (1, (), ())


def test_paths_are_relative_to_the_table_or_the_folder(tmp_path: Path) -> None:
    config = table(tmp_path, "path,label\nx/../a.jpg,1\n/abs/b.jpg,1\nmemory://c.jpg,1\n")
    assert [r.path for r in read_folder(config).rows] == [
        f"{tmp_path}/a.jpg",
        "/abs/b.jpg",
        "memory://c.jpg",
    ]
    moved = config.model_copy(update={"path": "s3://bucket/images"})
    assert read_folder(moved).rows[0].path == "s3://bucket/images/a.jpg"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\n", "no images"),
        ("file,label\na.jpg,1\n", r"no column 'path'; it has \['file', 'label'\]"),
        ("path,name\na.jpg,1\n", "no column 'label'"),
        ("path,label\na.jpg,1\n,1\n", "rows without a path: 2"),
        ("path,label,split\na.jpg,1,test\nb.jpg,1,dev\n", "split must be .*'dev'"),
        ("path,label,query\na.jpg,1,true\nb.jpg,1,maybe\n", "true or false, not 'maybe'"),
        ("path,label,box\na.jpg,1,1 2 3\nb.jpg,1,9 0 1 5\n", "'1 2 3', '9 0 1 5'"),
        ("path,label,box\na.jpg,1,1 2 nan 5\n", "'1 2 nan 5'"),
        ("path,label\na.jpg,1\n./a.jpg,2\n", "more than once: .*a.jpg"),
        ("path,label,split\na.jpg,1,test\na.jpg,1,train\n", "more than one split: .*a.jpg"),
        ("path,label\na.jpg,1,2,3\nb.jpg,1\n", "cannot be read"),
    ],
)
def test_contradictory_tables_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read_folder(table(tmp_path, text))


@pytest.mark.parametrize(
    "other",
    ["{root}/images//a.jpg", "{root}/images/../images/a.jpg", "file://{root}/images/a.jpg",
     "images/link.jpg", "linked/a.jpg"],
)  # fmt: skip
def test_one_file_is_in_one_split_however_it_is_spelt(tmp_path: Path, other: str) -> None:
    images = tmp_path / "images"
    images.mkdir()
    (images / "a.jpg").write_bytes(b"x")
    (images / "link.jpg").symlink_to("a.jpg")
    (tmp_path / "linked").symlink_to(images)
    lines = ["path,label,split", "images/a.jpg,1,test", f"{other.format(root=tmp_path)},1,train"]
    with pytest.raises(DatasetError, match=r"more than one split: .*images/a\.jpg"):
        read_folder(table(tmp_path, "\n".join(lines)))


def test_a_query_is_no_answer_to_a_link_to_it(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    (tmp_path / "link.jpg").symlink_to("a.jpg")
    truth = read_folder(table(tmp_path, "path,label\na.jpg,1\nlink.jpg,1\nb.jpg,1")).truth
    assert [(t.easy, t.junk) for t in truth] == [((2,), (0, 1)), ((2,), (0, 1)), ((0, 1), (2,))]


def test_junk_may_be_a_list_in_parquet(tmp_path: Path) -> None:
    columns = {
        "path": list("abcd"),
        "label": ["1", "1", "2", "3 x"],
        "junk": [["2", "3 x"], *[[]] * 3],
    }
    pq.write_table(pa.table(columns), tmp_path / "table.parquet")
    truth = read_folder(FolderConfig(table=str(tmp_path / "table.parquet"))).truth
    assert [t.junk for t in truth] == [(0, 2, 3), (1, 2, 3)]


def test_a_query_is_its_own_file_however_it_is_spelt(tmp_path: Path) -> None:
    lines = ["path,label,query", "a.jpg,1,false", "b.jpg,1,false", f"file://{tmp_path}//a.jpg,1,1"]
    (truth,) = read_folder(table(tmp_path, "\n".join(lines))).truth
    assert (truth.easy, truth.junk) == ((1,), (0,))


def test_long_lists_are_shortened(tmp_path: Path) -> None:
    lines = [f"{i}.jpg,1,split{i:02d}" for i in range(15)]
    with pytest.raises(DatasetError, match="'split09' and 5 more"):
        read_folder(table(tmp_path, "\n".join(["path,label,split", *lines])))


@pytest.mark.parametrize("name", ["absent", "absent.csv", "absent.parquet", "notes.txt"])
def test_absent_sources_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetError, match=name):
        read_folder(FolderConfig(path=str(tmp_path / name)))


def test_tables_of_other_formats_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.xlsx").write_bytes(b"x")
    with pytest.raises(DatasetError, match=r"neither \.csv nor \.parquet"):
        read_folder(FolderConfig(table=str(tmp_path / "t.xlsx")))


def test_mini_landmarks_with_junk(shared_data: Path, tmp_path: Path) -> None:
    with tarfile.open(shared_data / "mini_landmarks.tar") as archive:
        archive.extractall(tmp_path, filter="data")
    root = tmp_path / "mini_landmarks"
    junk = {"ettlingen_entry": "ettlingen_castle", "ettlingen_castle": "ettlingen_entry"}
    with (root / "manifest.csv").open() as source, (root / "table.csv").open("w") as target:
        writer = csv.writer(target)
        writer.writerow(["path", "label", "junk"])
        for row in csv.DictReader(source):
            if row["role"] != "check":
                label = row["landmark"] if row["role"] == "landmark" else ""
                writer.writerow([row["path"], label, junk.get(label, "")])
    config = DatasetConfig(kind="folder", folder=FolderConfig(table=str(root / "table.csv")))
    prepared = prepare_dataset(config, ArtifactDirectory(tmp_path / "out"))
    catalogue = prepared.catalogue
    assert (len(catalogue.rows), len(catalogue.queries()), prepared.excluded) == (253, 184, [])
    labels = {row.image_id: row.label for row in catalogue.rows}
    truth = next(t for t in catalogue.truth if labels[t.query] == "ettlingen_castle")
    assert len(truth.easy) == 48
    assert Counter(labels[i] for i in truth.junk) == {"ettlingen_entry": 10, "ettlingen_castle": 1}
