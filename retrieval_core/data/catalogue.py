"""A dataset on disk: a table of images and, per query, which of them are right."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.errors import DatasetError

Split = Literal["train", "val", "test"]
Role = Literal["database", "query", "both"]
Box = tuple[float, float, float, float]

IMAGES = "images.parquet"
GROUND_TRUTH = "ground_truth.json"

SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.int64(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("role", pa.string(), nullable=False),
        pa.field("box", pa.list_(pa.float64())),
    ]
)


@dataclass(frozen=True)
class ImageRow:
    """One image of a dataset.

    Attributes:
        image_id: unique in the dataset, 0 <= image_id.
        path: absolute path or fsspec URL of the image file.
        label: what it shows (landmark, product, class); "" where nothing is known, as for a
            distractor.
        split: images to learn from (train), to choose an epoch by (val), to score on (test).
        role: "database" is searched, "query" is searched with, "both" is both (leave one out).
        box: part of the image that is the query, (left, top, right, bottom) in pixels.
    """

    image_id: int
    path: str
    label: str
    split: Split
    role: Role
    box: Box | None = None


@dataclass(frozen=True)
class QueryTruth:
    """Right answers of one query; image ids, disjoint; what is in none of the lists is wrong.

    Under the old protocol `easy` holds all positives and `hard` is empty.
    """

    query: int
    easy: tuple[int, ...]
    hard: tuple[int, ...]
    junk: tuple[int, ...]


@dataclass(frozen=True)
class Catalogue:
    """Images and ground truth of a dataset.

    Attributes:
        name: of the dataset.
        rows: every image, by ascending image_id.
        truth: one entry per query of the test split, in the order of the queries' image_ids.
        revisited: whether easy and hard positives are told apart.
        pairs: (query, positive) image ids of the train split to learn from; without any, images
            of one label are each other's positives.
        val_truth: right answers among the images of the val split; without any, images of one
            label are.
    """

    name: str
    rows: tuple[ImageRow, ...]
    truth: tuple[QueryTruth, ...]
    revisited: bool
    pairs: tuple[tuple[int, int], ...] = ()
    val_truth: tuple[QueryTruth, ...] = ()

    def split(self, *splits: Split) -> list[ImageRow]:
        """Rows of these splits."""
        return [row for row in self.rows if row.split in splits]

    def database(self) -> list[ImageRow]:
        """Rows of the test split that are searched."""
        return [r for r in self.split("test") if r.role in ("database", "both")]

    def queries(self) -> list[ImageRow]:
        """Rows of the test split that are searched with, in the order of `truth`."""
        return [r for r in self.split("test") if r.role in ("query", "both")]

    def save(self, directory: ArtifactDirectory) -> None:
        """Write `images.parquet` and `ground_truth.json`."""
        columns = {name: [getattr(row, name) for row in self.rows] for name in SCHEMA.names}
        with directory.writing(IMAGES) as path:
            pq.write_table(pa.table(columns, schema=SCHEMA), path)
        content = {
            "name": self.name,
            "revisited": self.revisited,
            "queries": [asdict(truth) for truth in self.truth],
            "pairs": self.pairs,
            "val_queries": [asdict(truth) for truth in self.val_truth],
        }
        directory.write_json(GROUND_TRUTH, content)

    @staticmethod
    def load(uri: str | Path) -> "Catalogue":
        """Read a saved dataset.

        Raises:
            ArtifactError: a file is missing.
            DatasetError: the table has other columns.
        """
        directory = ArtifactDirectory(uri)
        table = pq.read_table(directory.local(IMAGES))
        if set(SCHEMA.names) - set(table.column_names):
            raise DatasetError(f"{uri}/{IMAGES} has columns {table.column_names}")
        content = directory.read_json(GROUND_TRUTH)
        return Catalogue(
            name=content["name"],
            rows=tuple(_row(values) for values in table.to_pylist()),
            truth=tuple(_truth(values) for values in content["queries"]),
            revisited=content["revisited"],
            # catalogues of earlier versions have neither
            pairs=tuple((query, positive) for query, positive in content.get("pairs", ())),
            val_truth=tuple(_truth(values) for values in content.get("val_queries", ())),
        )


def label_truth(
    rows: Sequence[ImageRow],
    junk_labels: dict[str, frozenset[str]] | None = None,
    files: Sequence[str] | None = None,
) -> tuple[QueryTruth, ...]:
    """Ground truth where every other image of a query's label is right.

    Args:
        rows: images of one split.
        junk_labels: per label, labels that count neither as right nor as wrong.
        files: by image_id, what a path leads to where it is a link; default: the paths.

    Returns:
        One entry per query row; the query's own file is junk where it is also in the database.
    """
    database = [r for r in rows if r.role in ("database", "both")]
    by_label: dict[str, list[int]] = {}
    by_file: dict[str, list[int]] = {}
    for row in database:
        by_label.setdefault(row.label, []).append(row.image_id)
        by_file.setdefault(files[row.image_id] if files else row.path, []).append(row.image_id)
    truth = []
    for query in (r for r in rows if r.role in ("query", "both")):
        same = by_label.get(query.label, []) if query.label else []
        junk = [
            i
            for name in sorted((junk_labels or {}).get(query.label, ()))
            for i in by_label.get(name, [])
        ]
        itself = by_file.get(files[query.image_id] if files else query.path, [])
        positives = tuple(i for i in same if i not in itself)
        junk_ids = tuple(sorted({*junk, *itself}))
        truth.append(QueryTruth(query.image_id, positives, (), junk_ids))
    return tuple(truth)


def _row(values: dict[str, Any]) -> ImageRow:
    box = values["box"]
    return ImageRow(**{**values, "box": None if box is None else tuple(box)})


def _truth(values: dict[str, Any]) -> QueryTruth:
    easy, hard, junk = (tuple(values[name]) for name in ("easy", "hard", "junk"))
    return QueryTruth(values["query"], easy, hard, junk)
