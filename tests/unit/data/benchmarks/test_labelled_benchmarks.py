"""Datasets of metric learning: what their lists say, and what is wrong with them."""

import os
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.benchmarks import (
    CARS,
    bring_car_halves,
    car_annotations,
    car_models,
    mat,
    write_birds,
    write_cars,
    write_clothes,
    write_products,
)

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.config import BenchmarkConfig, DatasetConfig, parse_config
from retrieval_core.data.benchmarks.fetch import fetch_benchmark
from retrieval_core.data.benchmarks.readers import read_benchmark
from retrieval_core.data.catalogue import Catalogue
from retrieval_core.data.identity import dataset_identity
from retrieval_core.data.images import load_image
from retrieval_core.data.prepare import prepare_dataset
from retrieval_core.download import unpack
from retrieval_core.errors import ConfigError, DatasetError, DownloadError, MissingListError

ARCHIVES = {
    "cars196": (write_cars, "cars196/CARS196.zip"),
    "cub200-2011": (write_birds, "cub200-2011/CUB_200_2011.tgz"),
    "stanford-online-products": (
        write_products,
        "stanford-online-products/Stanford_Online_Products.zip",
    ),
    "in-shop": (write_clothes, "in-shop/img.zip"),
}


def own(name: str, root: Path, **changes: object) -> BenchmarkConfig:
    settings = {"name": name, "root": str(root), "download": False, **changes}
    return BenchmarkConfig.model_validate(settings)


def unpacked(name: str, folder: Path, into: str = "") -> Path:
    """The content of a dataset's archive, as its user would unpack it."""
    write, archive = ARCHIVES[name]
    write(folder)
    path = folder / archive
    unpack(path, path.parent / into)
    path.unlink()
    return path.parent


def sides(catalogue: Catalogue) -> dict[str, set[str]]:
    return {s: {row.label for row in catalogue.split(s)} for s in ("train", "test")}


@pytest.mark.parametrize(("name", "classes"), [("cars196", 98), ("cub200-2011", 100)])
def test_the_first_half_of_the_classes_is_learned_from(
    tmp_path: Path, name: str, classes: int
) -> None:
    catalogue = read_benchmark(own(name, unpacked(name, tmp_path)))
    found = sides(catalogue)
    assert [len(found["train"]), len(found["test"])] == [classes, classes]
    assert max(found["train"]) < min(found["test"])
    assert min(found["test"]) in (f"{classes + 1:03d} Make Model 99 2012", "101.Bird_101")
    assert {row.role for row in catalogue.rows} == {"both"}
    assert {row.box for row in catalogue.rows} == {None}
    assert all(Path(row.path).is_file() for row in catalogue.rows)


def test_an_image_is_no_answer_to_itself_and_one_alone_has_none(tmp_path: Path) -> None:
    catalogue = read_benchmark(own("cars196", unpacked("cars196", tmp_path)))
    label_of = {row.image_id: row.label for row in catalogue.rows}
    assert len(catalogue.truth) == 101
    assert sum(len(truth.easy) == 0 for truth in catalogue.truth) == 96
    for truth in catalogue.truth:
        assert truth.junk == (truth.query,)
        assert truth.query not in truth.easy
        assert {label_of[i] for i in truth.easy} <= {label_of[truth.query]}


def test_both_editions_of_the_cars_are_one_dataset(tmp_path: Path) -> None:
    first = read_benchmark(own("cars196", unpacked("cars196", tmp_path / "one")))
    bring_car_halves(tmp_path / "two")
    second = read_benchmark(own("cars196", tmp_path / "two"))
    assert all(Path(row.path).is_file() for row in second.rows)
    assert "cars_test/cars_test/00001.jpg" in {row.path[-29:] for row in second.rows}
    for split in ("train", "test"):
        labels = [sorted(row.label for row in c.split(split)) for c in (first, second)]  # type: ignore[arg-type]
        assert labels[0] == labels[1]


def test_the_second_edition_without_folders_in_folders(tmp_path: Path) -> None:
    bring_car_halves(tmp_path)
    for half in ("cars_train", "cars_test"):
        for path in (tmp_path / half / half).iterdir():
            path.rename(tmp_path / half / path.name)
        (tmp_path / half / half).rmdir()
    rows = read_benchmark(own("cars196", tmp_path)).rows
    assert len(rows) == len(CARS)
    assert all(Path(row.path).is_file() for row in rows)


@pytest.mark.parametrize(
    ("name", "box"),
    [
        ("cars196", (4, 2, 60, 45)),
        ("cub200-2011", (4, 2, 60, 45)),
        ("in-shop", (4, 2, 60, 45)),
    ],
)
def test_images_may_be_cropped(tmp_path: Path, name: str, box: tuple[float, ...]) -> None:
    folder = unpacked(name, tmp_path, "Img" if name == "in-shop" else "")
    dataset = DatasetConfig(kind="benchmark", benchmark=own(name, folder, crop_to_box=True))
    out = ArtifactDirectory(tmp_path / "out")
    rows = prepare_dataset(dataset, out, needs=("train", "test")).catalogue.rows
    assert {row.box for row in rows} == {box}
    crop = load_image(rows[0].path, image_size=64, box=rows[0].box)
    assert crop.size == (56, 43)


def test_products_have_no_boxes() -> None:
    with pytest.raises(ConfigError, match="the images of stanford-online-products have no boxes"):
        parse_config(
            {
                "dataset": {
                    "kind": "benchmark",
                    "benchmark": {"name": "stanford-online-products", "crop_to_box": True},
                }
            }
        )


def test_clothes_have_queries_and_a_gallery(tmp_path: Path) -> None:
    catalogue = read_benchmark(own("in-shop", unpacked("in-shop", tmp_path, "Img")))
    assert all(Path(row.path).is_file() for row in catalogue.rows)
    assert [row.role for row in catalogue.split("test")] == [
        *("query", "database", "database"),
        *("query", "database"),
        "database",
    ]
    assert [(t.query, t.easy, t.junk) for t in catalogue.truth] == [(2, (3, 4), ()), (5, (6,), ())]


def test_clothes_as_the_publishers_folders_have_them(tmp_path: Path) -> None:
    folder = unpacked("in-shop", tmp_path, "Img")
    for name, place in (("list_eval_partition.txt", "Eval"), ("list_bbox_inshop.txt", "Anno")):
        (folder / place).mkdir()
        (folder / name).rename(folder / place / name)
    rows = read_benchmark(own("in-shop", tmp_path, crop_to_box=True)).rows
    assert all(Path(row.path).is_file() for row in rows)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


Damage = tuple[str, str, str, str, str]
DAMAGED: list[Damage] = [
    ("cub200-2011", "images.txt", "2 002.Bird_2/Bird_0002.jpg", "2", "line 2: expected 2 words"),
    ("cub200-2011", "image_class_labels.txt", "7 7\n", "", "lacks 1 images, such as 7"),
    ("cub200-2011", "image_class_labels.txt", "7 7\n", "7 8\n", "has no image: 7;"),
    ("cub200-2011", "image_class_labels.txt", "\n203 200", "\n203 x", "not listed: x;"),
    ("cub200-2011", "bounding_boxes.txt", "56.0", "a", "1 has no box"),
    ("cub200-2011", "bounding_boxes.txt", "56.0", "-3", "1 has an empty box"),
    ("cub200-2011", "bounding_boxes.txt", "56.0", "nan", "1 has an empty box"),
    ("stanford-online-products", "Ebay_test.txt", "9 5 2", "9 2", "line 2: expected 4 words"),
    ("stanford-online-products", "Ebay_test.txt", " 5 2 ", " 4 2 ", "forbids: product-4;"),
    ("in-shop", "list_eval_partition.txt", " query", " probe", r"found \['probe'\]"),
    ("in-shop", "list_eval_partition.txt", "id_00000002 query", "id_00000001 query",
     "forbids: id_00000001;"),
    ("in-shop", "list_bbox_inshop.txt", "id_00000002/01", "id_00000002/09", "lacks 1 images"),
]  # fmt: skip


@pytest.mark.parametrize("case", DAMAGED, ids=lambda case: f"{case[1]}-{case[4][:20]}")
def test_wrong_lists_are_named(tmp_path: Path, case: Damage) -> None:
    name, listed, old, new, fault = case
    folder = unpacked(name, tmp_path, "Img" if name == "in-shop" else "")
    edit(next(folder.rglob(listed)), old, new)
    crops = name != "stanford-online-products"
    with pytest.raises(DatasetError, match=fault):
        read_benchmark(own(name, folder, crop_to_box=crops))


def test_an_image_that_is_listed_twice_is_refused(tmp_path: Path) -> None:
    folder = unpacked("stanford-online-products", tmp_path)
    (path,) = folder.rglob("Ebay_test.txt")
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[-1]]))
    with pytest.raises(DatasetError, match=f"listed more than once: .*{lines[-1].split()[-1]}"):
        read_benchmark(own("stanford-online-products", folder))


def test_labels_are_texts_whatever_they_look_like(tmp_path: Path) -> None:
    folder = unpacked("stanford-online-products", tmp_path)
    edit(next(folder.rglob("Ebay_test.txt")), "9 5 2", "9 Ünïcode-7 2")
    labels = {row.label for row in read_benchmark(own("stanford-online-products", folder)).rows}
    assert "product-Ünïcode-7" in labels


def test_many_shared_classes_are_listed_in_part(tmp_path: Path) -> None:
    folder = tmp_path / "Stanford_Online_Products"
    folder.mkdir()
    lines = "".join(f"{i} {i} 1 a/{i}.JPG\n" for i in range(30))
    for listed in ("Ebay_train.txt", "Ebay_test.txt"):
        (folder / listed).write_text(f"image_id class_id super_class_id path\n{lines}")
    with pytest.raises(DatasetError, match=r"product-0, product-1, .* and 10 more"):
        read_benchmark(own("stanford-online-products", tmp_path))


def cars(count: int = 4, classes: Callable[[int], object] = lambda i: i + 1) -> np.ndarray:
    names = [f"car_ims/{i:06d}.jpg" for i in range(count)]
    entries = car_annotations("relative_im_path", names, [1] * count)
    for i in range(count):
        entries[0, i]["class"] = classes(i)
    return entries


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "cannot be read"),
        (b"MATLAB 5.0 MAT-file" + bytes(500), "cannot be read"),
        (b"not at all" * 100, "cannot be read"),
        (mat(other=3), "annotations is missing"),
        (mat(annotations=cars()), "class_names is missing"),
        (mat(annotations=3, class_names=car_models()), "annotations is no list"),
        (mat(annotations=cars(1), class_names=car_models()), "has no image: 002 Make Model"),
        (mat(annotations=cars(classes=lambda i: 197), class_names=car_models()),
         r"annotations\[0\].class is 197, of 196"),
        (mat(annotations=cars(classes=lambda i: "red"), class_names=car_models()),
         r"annotations\[0\].class is no list of whole numbers"),
        (mat(annotations=cars(classes=lambda i: np.zeros((0, 0))), class_names=car_models()),
         r"annotations\[0\].class is no whole number"),
    ],
)  # fmt: skip
def test_wrong_matlab_files_are_named(tmp_path: Path, content: bytes, fault: str) -> None:
    (tmp_path / "cars_annos.mat").write_bytes(content)
    with pytest.raises(DatasetError, match=fault):
        read_benchmark(own("cars196", tmp_path))


def test_training_classes_may_be_set_aside(tmp_path: Path) -> None:
    folder = unpacked("cars196", tmp_path)
    whole = read_benchmark(own("cars196", folder))
    parted = read_benchmark(own("cars196", folder, validation_classes=49))
    validation = sorted({row.label for row in parted.split("val")})
    assert [label[:3] for label in validation] == [f"{n:03d}" for n in range(1, 98, 2)]
    assert len({row.label for row in parted.split("train")}) == 49
    assert parted.split("test") == whole.split("test")
    assert parted.truth == whole.truth
    with pytest.raises(DatasetError, match="validation_classes: 97 of the 98 training classes"):
        read_benchmark(own("cars196", folder, validation_classes=97))


@pytest.mark.parametrize("name", ARCHIVES)
def test_what_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(MissingListError, match=r"\.(mat|txt) is nowhere below"):
        read_benchmark(own(name, tmp_path))


def test_a_list_that_is_being_unpacked_does_not_count(tmp_path: Path) -> None:
    folder = unpacked("stanford-online-products", tmp_path)
    (folder / "Stanford_Online_Products").rename(folder / ".unpacking-a.zip")
    with pytest.raises(MissingListError):
        read_benchmark(own("stanford-online-products", folder))


def test_what_nobody_offers_says_what_to_bring(tmp_path: Path) -> None:
    config = BenchmarkConfig(name="in-shop", root=str(tmp_path))
    with pytest.raises(DownloadError, match=r"list_eval_partition.txt: not there\. .*agreement"):
        fetch_benchmark(config)
    unpacked("in-shop", tmp_path, "Img")
    fetch_benchmark(config)
    next(tmp_path.rglob("02_1_front.jpg")).unlink()
    with pytest.raises(DownloadError, match=r"img\.zip: not there"):
        fetch_benchmark(config)


def test_what_changes_the_catalogue_changes_the_identity(tmp_path: Path) -> None:
    folder = unpacked("cub200-2011", tmp_path)
    settings: list[dict[str, Any]] = [{}, {"crop_to_box": True}, {"validation_classes": 1}]
    found = [
        dataset_identity(
            DatasetConfig(kind="benchmark", benchmark=own("cub200-2011", folder, **each))
        )
        for each in settings
    ]
    assert all(one != other for one, other in combinations(found, 2))


def test_a_list_of_the_users_counts(tmp_path: Path) -> None:
    folder = unpacked("stanford-online-products", tmp_path)
    config = DatasetConfig(kind="benchmark", benchmark=own("stanford-online-products", folder))
    before = dataset_identity(config)
    assert dataset_identity(config) == before
    path = next(folder.rglob("Ebay_test.txt"))
    os.utime(path, ns=(1, 1))
    assert dataset_identity(config) != before
