"""Which images, and what is known about them."""

from typing import Literal

from pydantic import Field, model_validator

from retrieval_core.config.base import Config


class DemoConfig(Config):
    """Views of real photographs under known geometric and photometric changes."""

    views: int = Field(600, ge=200, le=100_000, description="number of views over all splits")
    image_size: int = Field(320, ge=64, le=1024, description="longest side of a view, pixels")
    seed: int = Field(0, ge=0, description="seed of every random choice")


class FolderConfig(Config):
    """Your own images: a directory with a folder per label, or a CSV / Parquet table."""

    path: str = Field("", description="directory of the images, or the table itself")
    table: str = Field(
        "",
        description="CSV or Parquet with the columns path, label and optionally split "
        "(train, val, test), query (true, false), box (x1 y1 x2 y2, pixels) and junk (labels "
        "that count neither as right nor as wrong, separated by ';'); default: folder names",
    )
    test_fraction: float = Field(
        1.0,
        ge=0,
        le=1,
        description="share of the labels that goes to the test split where no split is given",
    )


BenchmarkName = Literal[
    "oxford5k",
    "paris6k",
    "roxford5k",
    "rparis6k",
    "revisitop1m",
    "sfm120k",
    "sfm120k-val",
    "sfm30k-whiten",
    "landmarks-v2",
    "landmarks-v2-clean",
    "landmarks-v2-train",
    "cars196",
    "stanford-online-products",
    "cub200-2011",
    "in-shop",
]
BOXED = ("cars196", "cub200-2011", "in-shop")
LABELLED = (*BOXED, "stanford-online-products")
FOR_TESTS_ALONE = (
    *("oxford5k", "paris6k", "roxford5k", "rparis6k", "revisitop1m", "sfm120k-val"),
    "landmarks-v2",
)


class BenchmarkConfig(Config):
    """A published dataset, downloaded or brought (`retrieval datasets list` shows them)."""

    name: BenchmarkName = Field("roxford5k", description="which of them")
    root: str = Field(
        "",
        description="folder with your own copy, in whatever subfolders; '' is 'datasets' in the "
        "work directory",
    )
    download: bool = Field(
        True, description="fetch the files that are missing; false uses what is there"
    )
    sources: str = Field(
        "", description="YAML file with your own mirrors, sizes and checksums of the files"
    )
    validation: Literal["eccv2020", "clusters"] = Field(
        "eccv2020",
        description="val split of sfm120k: HOW's and FIRe's, with its own ground truth, or "
        "cirtorch's, where images of one cluster are right answers of each other",
    )
    validation_classes: int = Field(
        0,
        ge=0,
        description="training classes of cars196, cub200-2011, in-shop or stanford-online-products "
        "that become the val split, evenly spread over their list; 2318 is usual of the last",
    )
    crop_to_box: bool = Field(
        False, description="cut every image of cars196, cub200-2011 or in-shop to its box"
    )

    @model_validator(mode="after")
    def _classes_need_labels(self) -> "BenchmarkConfig":
        if self.validation_classes and self.name not in LABELLED:
            raise ValueError(
                f"validation_classes: {self.name} is not learned from by classes, as "
                f"{', '.join(LABELLED)} are"
            )
        return self

    @model_validator(mode="after")
    def _crops_need_boxes(self) -> "BenchmarkConfig":
        if self.crop_to_box and self.name not in BOXED:
            raise ValueError(
                f"crop_to_box: the images of {self.name} have no boxes, those of "
                f"{', '.join(BOXED)} do"
            )
        return self


class DatasetConfig(Config):
    """A dataset by kind; only the section of that kind is read."""

    kind: Literal["demo", "folder", "benchmark"] = Field("demo", description="which dataset")
    demo: DemoConfig = Field(DemoConfig(), description="used when kind is demo")
    folder: FolderConfig = Field(FolderConfig(), description="used when kind is folder")
    benchmark: BenchmarkConfig = Field(BenchmarkConfig(), description="used when kind is benchmark")

    max_excluded: float = Field(
        0.01, ge=0, le=1, description="share of missing or empty files above which it is refused"
    )

    @property
    def label(self) -> str:
        """What people call it: the name of a benchmark, else the kind."""
        return self.benchmark.name if self.kind == "benchmark" else self.kind

    @property
    def is_for_tests_alone(self) -> bool:
        """Whether it is known, before it is read, to have no split train."""
        return self.kind == "benchmark" and self.benchmark.name in FOR_TESTS_ALONE

    @model_validator(mode="after")
    def _folder_needs_a_path(self) -> "DatasetConfig":
        if self.kind == "folder" and not (self.folder.path or self.folder.table):
            raise ValueError("kind 'folder' needs folder.path or folder.table")
        return self
