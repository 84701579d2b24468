"""Small archives and lists of every published dataset, laid out as their publishers do."""

import io
import pickle
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
import yaml
from PIL import Image

WIDTH, HEIGHT = 64, 48
DISTRACTOR_ARCHIVES = 100


def photograph(
    landmark: int,
    view: int,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    *,
    negative: bool = False,
) -> bytes:
    """A JPEG of one coarse pattern per landmark, with a little noise of its own.

    Its negative is less like it than any other pattern: as a right answer it is ranked last.
    """
    pattern = np.random.default_rng(landmark).uniform(0, 255, (4, 5, 3))
    pattern = 255 - pattern if negative else pattern
    noise = np.random.default_rng([landmark, view]).normal(0, 12, pattern.shape)
    image = Image.fromarray((pattern + noise).clip(0, 255).astype(np.uint8)).resize(size)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=90)
    return stream.getvalue()


def write_archive(path: Path, members: Mapping[str, bytes]) -> None:
    """A tar.gz of these files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


def write_zip(path: Path, members: Mapping[str, bytes]) -> None:
    """A zip of these files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def write_pickle(path: Path, content: Any) -> None:
    """A list as Python 2 wrote it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=2))


def write_sources(path: Path, address: str, **files: Any) -> str:
    """A list of sources whose own mirror comes first."""
    path.write_text(yaml.safe_dump({"mirrors": [address], "files": files}))
    return str(path)


# two landmarks of three views each, in the order of the list, and two other photographs; the last
# view of each landmark is a negative
OXFORD = ["all_souls_000000", "all_souls_000001", "oxford_000002", "balliol_000003"]
OXFORD += ["balliol_000004", "balliol_000005", "worcester_000006", "jesus_000007"]
OXFORD_LANDMARKS = [0, 0, 0, 1, 1, 1, 2, 3]
OXFORD_NEGATIVES = (2, 5)
BOX = np.array([4.5, 3.0, 60.0, 45.0])


def write_oxford(folder: Path) -> None:
    """Oxford's photographs, at the top of their archive, with both ground truths."""
    views = enumerate(zip(OXFORD, OXFORD_LANDMARKS, strict=True))
    images = {
        f"{name}.jpg": photograph(landmark, i, negative=i in OXFORD_NEGATIVES)
        for i, (name, landmark) in views
    }
    write_archive(folder / "oxford/oxbuild_images-v1.tgz", images)
    # the original protocol: queries are in the database, where their own photograph is right
    original = {
        "imlist": OXFORD,
        "qimlist": ["all_souls_000000", "balliol_000003"],
        "gnd": [
            {"ok": [0, 1], "junk": [2], "bbx": BOX.tolist()},
            {"ok": np.array([3, 4, 5]), "junk": np.array([]), "bbx": BOX.tolist()},
        ],
    }
    write_pickle(folder / "oxford5k/gnd_oxford5k.pkl", original)
    # the revisited one: queries are not
    database = [name for i, name in enumerate(OXFORD) if i not in (0, 3)]
    revisited = {
        "imlist": database,
        "qimlist": ["all_souls_000000", "balliol_000003"],
        "gnd": [
            {"easy": [0], "hard": [1], "junk": [], "bbx": BOX},
            {"easy": np.array([2]), "hard": [], "junk": [3], "bbx": BOX},
        ],
    }
    write_pickle(folder / "roxford5k/gnd_roxford5k.pkl", revisited)


PARIS = ["paris_louvre_000000", "paris_louvre_000001", "paris_defense_000002"]
PARIS += ["paris_defense_000003", "paris_general_000004"]  # the first of them a negative


def write_paris(folder: Path) -> None:
    """Paris's photographs, two folders deep in two archives, with both ground truths."""
    views = enumerate(zip(PARIS, [4, 4, 5, 5, 6], strict=True))
    images = {
        f"paris/{name.split('_')[1]}/{name}.jpg": photograph(landmark, i, negative=i == 3)
        for i, (name, landmark) in views
    }
    # one of the published photographs that cannot be read; no list names it
    images["paris/louvre/paris_louvre_000136.jpg"] = b""
    louvre = {name: content for name, content in images.items() if "louvre" in name}
    rest = {name: content for name, content in images.items() if "louvre" not in name}
    write_archive(folder / "paris/paris_1-v1.tgz", louvre)
    write_archive(folder / "paris/paris_2-v1.tgz", rest)
    queries = ["paris_louvre_000000", "paris_defense_000002"]
    truth = [{"ok": [0, 1], "junk": []}, {"ok": [2, 3], "junk": [4]}]
    original = {"imlist": PARIS, "qimlist": queries, "gnd": [{**t, "bbx": BOX} for t in truth]}
    write_pickle(folder / "paris6k/gnd_paris6k.pkl", original)
    easy = [{"easy": [0], "hard": [], "junk": []}, {"easy": [], "hard": [1], "junk": [2]}]
    revisited = {
        "imlist": [name for name in PARIS if name not in queries],
        "qimlist": queries,
        "gnd": [{**t, "bbx": BOX} for t in easy],
    }
    write_pickle(folder / "rparis6k/gnd_rparis6k.pkl", revisited)


def write_distractors(folder: Path) -> None:
    """A photograph in each of the hundred archives, and the list of them."""
    names = [f"{number:02d}/{number:012x}.jpg" for number in range(DISTRACTOR_ARCHIVES)]
    for number, name in enumerate(names, start=1):
        content = {name: photograph(100 + number, 0, (16, 12))}
        write_archive(folder / f"revisitop1m/revisitop1m.{number}.tar.gz", content)
    (folder / "revisitop1m/revisitop1m.txt").write_text("\n".join(names) + "\n")


def cid(number: int) -> str:
    """A name of 32 hexadecimal digits, as SfM-120k gives."""
    return f"{number * 0x9E3779B97F4A7C15F39CC0605CEDC834:032x}"[-32:]


def write_sfm(folder: Path) -> None:
    """Four 3D models to learn from and two to validate with, of three photographs each."""
    cids = [cid(number + 1) for number in range(18)]
    images = {
        # of the second 3D model to validate with, the second view is a negative
        f"{c[-2:]}/{c[-4:-2]}/{c[-6:-4]}/{c}": photograph(
            10 + number // 3, number, negative=number == 16
        )
        for number, c in enumerate(cids)
    }
    write_archive(folder / "sfm/ims.tar.gz", images)
    lists = {
        "train": {
            "cids": cids[:12],
            "cluster": [7, 7, 7, 8, 8, 8, 9, 9, 9, 12, 12, 12],
            "qidxs": [0, 3, 6, 9],
            "pidxs": [1, 4, 8, 10],
        },
        "val": {
            "cids": cids[12:],
            "cluster": np.array([20, 20, 20, 21, 21, 21]),
            "qidxs": [0],
            "pidxs": [1],
        },
    }
    write_pickle(folder / "sfm/retrieval-SfM-120k.pkl", lists)
    truth = {
        "cids": cids[12:17],
        "qidx": [0, 3],
        "gnd": [{"ok": [1], "junk": [0, 2]}, {"ok": [4], "junk": [3]}],
    }
    write_pickle(folder / "sfm/retrieval-SfM-120k-val-eccv2020.pkl", truth)
    pairs = {"cids": cids[:8], "qidxs": [0, 1, 3], "pidxs": [1, 2, 4]}
    write_pickle(folder / "sfm/retrieval-SfM-30k-whiten.pkl", pairs)


INDEX = [f"{number}abcdef000000000" for number in (0, 1, 2, 3)]
TEST = [f"{number}fedcba000000000" for number in (4, 5, 6)]
TRAIN = [f"{number}0123456789abcde" for number in (7, 8, 9)]


def write_landmarks(folder: Path) -> None:
    """The CSV files of Google Landmarks v2."""
    place = folder / "landmarks-v2"
    place.mkdir(parents=True)
    (place / "index.csv").write_text("\n".join(["id", *INDEX]) + "\n")
    labels = [f"{image},{landmark}" for image, landmark in zip(INDEX, (5, 5, 6, 7), strict=True)]
    table = "\n".join(["id,landmark_id", *labels]) + "\n"
    (place / "index_image_to_landmark.csv").write_text(table)
    (place / "retrieval_solution_v2.1.csv").write_text(
        "id,images,Usage\n"
        f"{TEST[0]},{INDEX[0]} {INDEX[1]},Public\n"
        f"{TEST[1]},None,Ignored\n"
        f"{TEST[2]},{INDEX[2]},Private\n"
    )
    (place / "train_clean.csv").write_text(
        f"landmark_id,images\n5,{TRAIN[0]} {TRAIN[1]}\n8,{TRAIN[2]}\n"
    )
    urls = [f"{image},http://commons.example/{image},5" for image in TRAIN]
    (place / "train.csv").write_text("\n".join(["id,url,landmark_id", *urls]) + "\n")


def bring_landmarks(folder: Path) -> None:
    """The photographs of Google Landmarks v2, unpacked by their user."""
    listed = {"index": (INDEX, (30, 30, 31, 32)), "test": (TEST, (30, 33, 31))}
    listed["train"] = (TRAIN, (34, 34, 35))
    for split, (images, landmarks) in listed.items():
        for number, (image, landmark) in enumerate(zip(images, landmarks, strict=True)):
            path = folder / split / image[0] / image[1] / image[2] / f"{image}.jpg"
            path.parent.mkdir(parents=True)
            negative = image == INDEX[1]
            path.write_bytes(photograph(landmark, 50 + number, negative=negative))


def classes_of_views(classes: int) -> list[int]:
    """The class of each image, from 1: one image each, the last class three, that before it two.

    The very last image is a negative.
    """
    return [*range(1, classes + 1), classes - 1, classes, classes]


def class_views(names: Sequence[str], classes: Sequence[int]) -> dict[str, bytes]:
    """A photograph per name and class; of the last class, the last is a negative."""
    return {
        name: photograph(200 + label, number, negative=number == len(names) - 1)
        for number, (name, label) in enumerate(zip(names, classes, strict=True))
    }


CAR_BOX = (5, 3, 60, 45)
CARS = classes_of_views(196)


def car_annotations(key: str, names: Sequence[str], classes: Sequence[int]) -> np.ndarray:
    """What MATLAB keeps of cars: one structure per image."""
    fields = [key, "bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "test"]
    entries = np.zeros((1, len(names)), [(field, object) for field in fields])
    for number, (name, label) in enumerate(zip(names, classes, strict=True)):
        box = (np.uint16(side) for side in CAR_BOX)
        entries[0, number] = (name, *box, np.uint8(label), np.uint8(number % 2))
    return entries


def mat(**variables: Any) -> bytes:
    """A MATLAB file, compressed as the published ones."""
    stream = io.BytesIO()
    scipy.io.savemat(stream, variables, do_compression=True)
    return stream.getvalue()


def car_models() -> np.ndarray:
    """Names of the classes as MATLAB keeps them: a row of texts."""
    return np.array([f"Make Model {n} 2012" for n in range(1, 197)], object).reshape(1, -1)


def write_cars(folder: Path) -> None:
    """Every model of Cars196 in one archive, as the mirror of Stanford has it."""
    names = [f"car_ims/{number:06d}.jpg" for number in range(1, len(CARS) + 1)]
    members = class_views(names, CARS)
    annotations = car_annotations("relative_im_path", names, CARS)
    members["cars_annos.mat"] = mat(annotations=annotations, class_names=car_models())
    path = folder / "cars196/CARS196.zip"
    write_zip(path, {f"cars196/{name}": content for name, content in members.items()})


def bring_car_halves(folder: Path) -> None:
    """The other edition of Cars196, as Kaggle's archive with the devkit unpacks."""
    for half, listed in (
        ("cars_train", "cars_train_annos.mat"),
        ("cars_test", "cars_test_annos_withlabels.mat"),
    ):
        first = 0 if half == "cars_train" else 1
        classes = CARS[first::2]
        names = [f"{number:05d}.jpg" for number in range(1, len(classes) + 1)]
        place = folder / half / half
        place.mkdir(parents=True)
        for name, content in class_views(names, classes).items():
            (place / name).write_bytes(content)
        devkit = folder / "devkit"
        devkit.mkdir(exist_ok=True)
        (devkit / listed).write_bytes(mat(annotations=car_annotations("fname", names, classes)))
    (devkit / "cars_meta.mat").write_bytes(mat(class_names=car_models()))


BIRDS = classes_of_views(200)


def write_birds(folder: Path) -> None:
    """Every kind of CUB-200-2011 in its archive, which has a file beside its folder."""
    kinds = [f"{label:03d}.Bird_{label}" for label in range(1, 201)]
    names = [f"{kinds[label - 1]}/Bird_{n:04d}.jpg" for n, label in enumerate(BIRDS, start=1)]
    views = class_views([f"images/{name}" for name in names], BIRDS)
    lists = {
        "images.txt": names,
        "image_class_labels.txt": BIRDS,
        "bounding_boxes.txt": ["4.0 2.0 56.0 43.0"] * len(names),
        "classes.txt": kinds,
        "train_test_split.txt": [number % 2 for number in range(len(names))],
    }
    for name, values in lists.items():
        lines = (f"{number} {value}\n" for number, value in enumerate(values, start=1))
        views[name] = "".join(lines).encode()
    members = {f"CUB_200_2011/{name}": content for name, content in views.items()}
    members["attributes.txt"] = b"1 has_bill_shape::curved\n"
    write_archive(folder / "cub200-2011/CUB_200_2011.tgz", members)


def write_products(folder: Path) -> None:
    """Four products to learn from and four to search among, in two kinds of goods."""
    lines: dict[str, list[str]] = {"Ebay_train.txt": [], "Ebay_test.txt": []}
    members = {}
    for number in range(16):
        product = number // 2 + 1
        listed = "Ebay_train.txt" if product <= 4 else "Ebay_test.txt"
        kind = "bicycle" if product % 2 else "chair"
        name = f"{kind}_final/{111085122000 + product}_{number % 2}.JPG"
        members[name] = photograph(300 + product, number, negative=number == 15)
        lines[listed].append(f"{number + 1} {product} {product % 2 + 1} {name}")
    for listed, entries in lines.items():
        members[listed] = "\n".join(
            ["image_id class_id super_class_id path", *entries, ""]
        ).encode()
    path = folder / "stanford-online-products/Stanford_Online_Products.zip"
    write_zip(path, {f"Stanford_Online_Products/{name}": c for name, c in members.items()})


CLOTHES = {  # item: side of each of its photographs
    "id_00000001": ("train", "train"),
    "id_00000002": ("query", "gallery", "gallery"),
    "id_00000003": ("query", "gallery"),
    "id_00000004": ("gallery",),
}


def write_clothes(folder: Path) -> None:
    """Items of In-shop; the last view of the third item is a negative."""
    members, sides, boxes = {}, [], []
    for item, (name, listed) in enumerate(CLOTHES.items()):
        for number, side in enumerate(listed, start=1):
            image = f"img/WOMEN/Dresses/{name}/0{number}_1_front.jpg"
            negative = name == "id_00000003" and number == 2
            members[image] = photograph(400 + item, number, negative=negative)
            sides.append(f"{image}    {name} {side}")
            boxes.append(f"{image}  3 1 004 002 060 045")
    place = folder / "in-shop"
    write_zip(place / "img.zip", members)
    head = [str(len(sides)), "image_name item_id evaluation_status"]
    (place / "list_eval_partition.txt").write_text("\n".join([*head, *sides, ""]))
    head = [str(len(boxes)), "image_name clothes_type pose_type x_1 y_1 x_2 y_2"]
    (place / "list_bbox_inshop.txt").write_text("\n".join([*head, *boxes, ""]))


LABELLED = (write_cars, write_birds, write_products, write_clothes)


def write_all(folder: Path) -> None:
    """Everything that the packaged list of sources names."""
    unlabelled = (write_oxford, write_paris, write_distractors, write_sfm, write_landmarks)
    for write in (*unlabelled, *LABELLED):
        write(folder)
