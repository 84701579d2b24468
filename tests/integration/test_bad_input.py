"""What users and the web come up with: a clear error, or a recorded and counted exclusion."""

import io
import resource
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.config import (
    DatasetConfig,
    EvaluationConfig,
    FeaturesConfig,
    FolderConfig,
    ModelConfig,
    load_config,
)
from retrieval_core.data.catalogue import Catalogue, ImageRow, label_truth
from retrieval_core.data.prepare import prepare_dataset
from retrieval_core.errors import (
    ArtifactError,
    ArtifactMismatchError,
    CheckpointError,
    ConfigError,
    DatasetError,
    IndexInputError,
    RankingError,
    RetrievalError,
    TooManyExclusionsError,
    UnsafePickleError,
)
from retrieval_core.evaluation import evaluate_ranking
from retrieval_core.features import (
    FeaturesSummary,
    FeatureStore,
    ShardReport,
    extract_shard,
    finish,
    plan_shards,
)
from retrieval_core.index import AsmkIndex, Codebook
from retrieval_core.models import RetrievalModel, build_model, load_model, save_model
from retrieval_core.search import Ranking

SIDE = 48
TINY = ModelConfig(method="how", backbone="mobilenet_v3_small", dim=8)
OTHER = ModelConfig(method="gem", backbone="mobilenet_v3_small", dim=8)
FEATURES = FeaturesConfig(image_size=SIDE, scales=(1.0, 0.25), max_features=5, batch_size=4)


@pytest.fixture(scope="module")
def model() -> RetrievalModel:
    return build_model(TINY)


# --- configuration, checkpoints, indexes, datasets, rankings: a typed error ------------------


def config(folder: Path, text: str, *overrides: str) -> None:
    (folder / "experiment.yaml").write_text(text)
    load_config(folder / "experiment.yaml", list(overrides))


def dataset(folder: Path, text: str | None) -> None:
    """A folder dataset of three images and the given table."""
    for name in "abc":
        picture(folder / f"{name}.png")
    if text is not None:
        (folder / "t.csv").write_text(text)
    section = FolderConfig(table=str(folder / "t.csv"))
    prepare_dataset(DatasetConfig(kind="folder", folder=section), ArtifactDirectory(folder / "out"))


def empty_directory(folder: Path) -> None:
    (folder / "nothing").mkdir()
    section = FolderConfig(path=str(folder / "nothing"))
    prepare_dataset(DatasetConfig(kind="folder", folder=section), ArtifactDirectory(folder / "out"))


def other_method(folder: Path) -> None:
    save_model(build_model(OTHER), ArtifactDirectory(folder / "gem"))
    build_model(TINY.model_copy(update={"weights": str(folder / "gem")}))


def other_backbone(folder: Path) -> None:
    torch.save({"state_dict": {"conv.weight": torch.zeros(3)}}, folder / "other.pth")
    build_model(TINY.model_copy(update={"weights": str(folder / "other.pth")}))


def cut_bundle(folder: Path) -> None:
    save_model(build_model(OTHER), ArtifactDirectory(folder))
    tensors = folder / "model.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:1000])
    load_model(folder)


def malicious(folder: Path) -> None:
    torch.save({"state_dict": print}, folder / "code.pth")
    load_model(folder / "code.pth")


def write(content: bytes) -> Callable[[Path], None]:
    def load(folder: Path) -> None:
        (folder / "file.pth").write_bytes(content)
        load_model(folder / "file.pth")

    return load


def codebook(dim: int, seed: int) -> Codebook:
    vectors = np.random.default_rng(seed).standard_normal((40, dim)).astype(np.float32)
    return Codebook.train(vectors, 4)


def index_of_another_codebook(folder: Path) -> None:
    AsmkIndex.create(codebook(8, seed=0)).save(folder)
    AsmkIndex.open(folder, codebook(8, seed=1))


def descriptors_of_another_model(_: Path) -> None:
    AsmkIndex.create(codebook(8, seed=0)).add([1], np.zeros((1, 16), np.float32), [0])


def half_an_index(folder: Path) -> None:
    AsmkIndex.create(codebook(8, seed=0)).save(folder)
    codes = next(folder.glob("image_ids-*.npy"))
    codes.write_bytes(codes.read_bytes()[:20])
    AsmkIndex.open(folder)


def score(labels: str) -> tuple[list[int], float]:
    """Two database images "a" and one query per label; every query finds images 0 and 1."""
    database = [ImageRow(i, f"{i}", "a", "test", "database") for i in range(2)]
    asked = [ImageRow(2 + i, f"{2 + i}", label, "test", "query") for i, label in enumerate(labels)]
    rows = (*database, *asked)
    catalogue = Catalogue("few", rows, label_truth(rows), revisited=False)
    ids = np.array([row.image_id for row in asked])
    found = np.tile([0, 1], (len(asked), 1))
    ranking = Ranking(ids, found, np.ones(found.shape, np.float32))
    scores = evaluate_ranking(ranking, catalogue, EvaluationConfig(bootstrap=10))
    return scores.excluded_queries, scores.metrics["map"]


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        pytest.param(act, error, message, id=name)
        for name, act, error, message in [
            (
                "unknown key",
                lambda d: config(d, "nonsense: 1"),
                ConfigError,
                "nonsense: unknown key; known keys: name, ",
            ),
            (
                "mistyped key",
                lambda d: config(d, "training: {epochz: 1}"),
                ConfigError,
                "training.epochz: unknown key; did you mean 'epochs'",
            ),
            (
                "mistyped override",
                lambda d: config(d, "", "features.scale=[1]"),
                ConfigError,
                "features.scale: unknown key; did you mean 'scales'",
            ),
            (
                "override without a value",
                lambda d: config(d, "", "training.epochs"),
                ConfigError,
                "expected key.path=value",
            ),
            (
                "impossible number",
                lambda d: config(d, "training: {epochs: -1}"),
                ConfigError,
                "training.epochs: .* greater than or equal to 0, not -1",
            ),
            (
                "impossible scale",
                lambda d: config(d, "codebook: {scales: [-1]}"),
                ConfigError,
                "codebook.scales.0: .*0.125, not -1",
            ),
            (
                "division by zero",
                lambda d: config(d, "model: {std: [0, 1, 1]}"),
                ConfigError,
                "model.std.0: .* greater than 0, not 0",
            ),
            (
                "infinity",
                lambda d: config(d, "training: {loss: {margin: .inf}}"),
                ConfigError,
                "training.loss.margin: .* finite number",
            ),
            (
                "impossible choice",
                lambda d: config(d, "model: {method: sift}"),
                ConfigError,
                "model.method: .*'cgd' or 'embedding', not 'sift'",
            ),
            (
                "wrong type",
                lambda d: config(d, "training: {queries: many}"),
                ConfigError,
                "training.queries: .*integer.*'many'",
            ),
            (
                "impossible combination",
                lambda d: config(d, "training: {loss: {kind: super_feature}}"),
                ConfigError,
                "needs model.method 'fire'",
            ),
            (
                "missing configuration",
                lambda d: load_config(d / "gone.yaml"),
                ConfigError,
                "cannot read the configuration .*gone.yaml",
            ),
            (
                "missing parent",
                lambda d: config(d, "extends: gone.yaml"),
                ConfigError,
                "cannot read the configuration .*gone.yaml",
            ),
            ("no YAML", lambda d: config(d, "a: [1"), ConfigError, "is not YAML"),
            (
                "unknown backbone",
                lambda _: build_model(ModelConfig(backbone="resnet51")),
                ConfigError,
                "'resnet51' is neither .* did you mean",
            ),
            (
                "weights of another backbone",
                lambda _: build_model(TINY.model_copy(update={"weights": "efficientnet-lite0"})),
                ConfigError,
                "is for the backbone tf_efficientnet_lite0, not mobilenet_v3_small",
            ),
            (
                "missing checkpoint",
                lambda d: load_model(d / "gone.pth"),
                CheckpointError,
                "no checkpoint at .*gone.pth",
            ),
            ("zero-byte checkpoint", write(b""), CheckpointError, "file.pth is not a checkpoint"),
            ("damaged checkpoint", write(b"PK\x03\x04" * 9), CheckpointError, "not a checkpoint"),
            ("checkpoint with code", malicious, UnsafePickleError, "print"),
            ("half a bundle", cut_bundle, CheckpointError, "is not a saved network"),
            (
                "checkpoint of another method",
                other_method,
                CheckpointError,
                "is a gem checkpoint, the configuration says how",
            ),
            (
                "checkpoint of another backbone",
                other_backbone,
                CheckpointError,
                "does not fit the network; missing: ",
            ),
            (
                "codebook of another model",
                index_of_another_codebook,
                ArtifactMismatchError,
                "was built with codebook [0-9a-f]{64}, not with codebook [0-9a-f]{64}",
            ),
            (
                "descriptors of another model",
                descriptors_of_another_model,
                IndexInputError,
                r"expected float32 of shape \(n, 8\), found float32 \(1, 16\)",
            ),
            (
                "missing index",
                lambda d: AsmkIndex.open(d / "gone"),
                ArtifactError,
                "gone has no file 'index.json'",
            ),
            ("half an index", half_an_index, ArtifactError, "cannot be read"),
            ("missing features", FeatureStore, ArtifactError, "no extracted features"),
            ("empty directory", empty_directory, DatasetError, "nothing has no images"),
            ("missing table", lambda d: dataset(d, None), DatasetError, "t.csv does not exist"),
            ("empty table", lambda d: dataset(d, "path,label\n"), DatasetError, "has no images"),
            (
                "table without labels",
                lambda d: dataset(d, "path\na.png\n"),
                DatasetError,
                "has no column 'label'",
            ),
            (
                "table of missing images",
                lambda d: dataset(d, "path,label\na.png,1\nb.png,1\ngone.png,1\n"),
                TooManyExclusionsError,
                r"1 of 3 images .* dataset.max_excluded(.|\n)*gone.png: missing",
            ),
            (
                "no query has an answer",
                lambda d: dataset(d, "path,label,query\na.png,1,yes\nb.png,2,no\n"),
                DatasetError,
                "none of 1 queries has a right answer",
            ),
            (
                "ranking without answers",
                lambda _: score("bc"),
                RankingError,
                "no query has a right answer",
            ),
        ]
    ],
)
def test_a_typed_error_says_what_is_wrong(
    tmp_path: Path, act: Callable[[Path], object], error: type[RetrievalError], message: str
) -> None:
    with pytest.raises(error, match=message):
        act(tmp_path)


def test_a_query_without_positives_is_left_out_and_counted() -> None:
    assert score("aba") == ([3], 1.0)


# --- images: all cases in one shard ----------------------------------------------------------


def photograph(width: int = 64, height: int = SIDE) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def picture(path: Path, image: Image.Image | None = None, **options: object) -> None:
    (image or photograph()).save(path, **options)  # type: ignore[arg-type]


def rotated(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(path, exif=exif)


def truncated(path: Path) -> None:
    stream = io.BytesIO()
    photograph().save(stream, "JPEG")
    path.write_bytes(stream.getvalue()[:900])


def absurd(path: Path) -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + checksum

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(9))))


SIXTEEN_BITS = Image.fromarray(np.linspace(0, 65_535, 64 * SIDE).astype(np.uint16).reshape(-1, 64))


@dataclass(frozen=True)
class Case:
    """A file and the reason why it is left out; "" where it is read."""

    file: str
    make: Callable[[Path], object]
    reason: str = ""


CASES = [
    Case("plain.png", picture),
    Case("cmyk.jpg", lambda path: picture(path, photograph().convert("CMYK"))),
    Case("sixteen.png", lambda path: picture(path, SIXTEEN_BITS)),
    Case("grey.jpg", lambda path: picture(path, photograph().convert("L"))),
    Case("transparent.png", lambda path: picture(path, photograph().convert("RGBA"))),
    Case("rotated.jpg", rotated),
    Case(
        "animated.gif",
        lambda path: picture(path, save_all=True, append_images=[photograph().rotate(180)]),
    ),
    Case("narrow.png", lambda path: picture(path, photograph(9, SIDE))),
    Case("missing.jpg", lambda path: None, "missing"),
    Case("zero.jpg", lambda path: path.write_bytes(b""), "empty"),
    Case("truncated.jpg", truncated, "truncated"),
    Case("page.jpg", lambda path: path.write_bytes(b"<html>404</html>"), "unreadable"),
    Case("folder.jpg", Path.mkdir, "unreadable"),
    Case("absurd.png", absurd, "too_large"),
    Case("sliver.png", lambda path: picture(path, photograph(400, 1)), "too_small"),
    Case("nowhere://a.jpg", lambda path: None, "unreadable"),
]


@pytest.fixture(scope="module")
def extracted(
    model: RetrievalModel, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ArtifactDirectory, list[ImageRow], ShardReport]:
    """One shard of every case, through a real network."""
    folder = tmp_path_factory.mktemp("images")
    rows = []
    for number, case in enumerate(CASES):
        path = case.file if "://" in case.file else str(folder / case.file)
        case.make(Path(path))
        rows.append(ImageRow(number, path, "", "test", "database"))
    directory = ArtifactDirectory(tmp_path_factory.mktemp("features"))
    (shard,) = plan_shards(rows, len(rows))
    return directory, rows, extract_shard(model, shard, FEATURES, directory)


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case.file for case in CASES])
def test_an_image_is_extracted_or_recorded(extracted, number: int) -> None:
    directory, rows, report = extracted
    case, store = CASES[number], FeatureStore(directory.uri)
    reasons = {(e["image_id"], e["path"]): e["reason"] for e in report.excluded}
    assert reasons.get((number, rows[number].path), "") == case.reason
    found, _ = store.global_descriptors([number])
    assert found.tolist() == ([] if case.reason else [number])
    with_local = [shard.image_ids.tolist() for shard in store.local_shards([number])]
    assert with_local == ([] if case.reason else [[number]])


def test_exclusions_are_counted_up_to_the_share(extracted) -> None:
    directory, rows, report = extracted
    shards = plan_shards(rows, len(rows))
    bad = sum(case.reason != "" for case in CASES)
    assert (report.images, len(report.excluded)) == (len(CASES) - bad, bad)
    summary = finish(directory, shards, max_excluded=0.5)
    assert summary == FeaturesSummary(report.images, report.local_descriptors, report.excluded)
    listed = rf"{bad} of {len(CASES)} images .* features.max_excluded = 0.01(.|\n)*zero.jpg: empty"
    with pytest.raises(TooManyExclusionsError, match=listed):
        finish(directory, shards, max_excluded=0.01)


# --- a full disk -----------------------------------------------------------------------------

FILL = """
import sys, numpy as np, torch
from retrieval_core.artifacts import ArtifactDirectory, commit, Manifest
from retrieval_core.errors import StorageError
from retrieval_core.index import VectorIndex
from retrieval_core.features.tables import open_shard
from safetensors.torch import save_file

directory = ArtifactDirectory(sys.argv[1])

def fill(kind):
    if kind == "json":
        directory.write_json("a.json", "x" * 200_000)
    if kind == "vectors":
        index = VectorIndex.create(64)
        index.add(np.arange(1000), np.zeros((1000, 64), np.float32))
        index.save(directory.uri)
    if kind == "network":
        with directory.writing("model.safetensors") as path:
            save_file({"a": torch.zeros(100_000)}, path)
    if kind == "shard":
        with open_shard(directory, 0, global_dim=64, local_dim=None) as writer:
            writer.write(np.arange(1000), np.zeros((1000, 64), np.float32), None)

for kind in ("json", "vectors", "network", "shard"):
    try:
        fill(kind)
    except StorageError as error:
        print(kind, error)
"""


def test_a_full_disk_is_told_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    def nearly_full() -> None:
        # a limit on the size of a file fails the same write that a full disk fails
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    command = [sys.executable, "-B", "-c", FILL, str(tmp_path / "artifact")]
    done = subprocess.run(
        command, preexec_fn=nearly_full, capture_output=True, text=True, check=False
    )
    lines = done.stdout.splitlines()
    kinds = ["json", "vectors", "network", "shard"]
    assert [line.split()[0] for line in lines] == kinds, done.stderr
    assert all("cannot write" in line and "make room" in line for line in lines)
    # the ids of the vector index fitted whole; without index.json they are nothing yet
    left = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert [name[:4] for name in left] == ["ids-"]
