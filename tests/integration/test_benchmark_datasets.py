"""Every published dataset from a web server to its scores, on small archives of its layout."""

import json
import pickle
import shutil
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from support.benchmarks import (
    BOX,
    INDEX,
    bring_car_halves,
    bring_landmarks,
    write_all,
    write_archive,
    write_sources,
)
from support.mirror import Fault, Mirror
from torch import nn

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.config import (
    BenchmarkConfig,
    DatasetConfig,
    EvaluationConfig,
    FeaturesConfig,
    ModelConfig,
    VectorConfig,
)
from retrieval_core.data.benchmarks import sources as packaged_sources
from retrieval_core.data.benchmarks.fetch import fetch_benchmark, restore_images
from retrieval_core.data.benchmarks.state import benchmark_state
from retrieval_core.data.benchmarks.verify import verify_benchmark
from retrieval_core.data.catalogue import Catalogue, QueryTruth
from retrieval_core.data.distractors import first_distractor_id
from retrieval_core.data.identity import dataset_identity
from retrieval_core.data.prepare import Need, prepare_dataset
from retrieval_core.errors import ArchiveError, DatasetError, DownloadError
from retrieval_core.evaluation.report import evaluate_ranking
from retrieval_core.features.extract import extract_shard
from retrieval_core.features.shards import plan_shards
from retrieval_core.features.store import FeatureStore
from retrieval_core.index import VectorIndex
from retrieval_core.models.base import RetrievalModel
from retrieval_core.models.whitening import fit_learned_whitening
from retrieval_core.search.vector import rank_global
from retrieval_core.training.reading import ImageReader
from retrieval_core.training.validation import validate


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirror]:
    folder = tmp_path_factory.mktemp("published")
    write_all(folder)
    with Mirror(folder) as mirror:
        yield mirror


@pytest.fixture
def site(published: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Site":
    monkeypatch.setenv("RETRIEVAL_WORKDIR", str(tmp_path / "work"))
    published.requests.clear()
    return Site(published, tmp_path)


class Site:
    """A work directory whose datasets come from a local server."""

    def __init__(self, mirror: Mirror, folder: Path) -> None:
        self.mirror = mirror
        self.folder = folder
        self.datasets = folder / "work" / "datasets"
        # the one archive whose SHA-256 is known beforehand
        birds = (mirror.folder / "cub200-2011/CUB_200_2011.tgz").read_bytes()
        published = {"size": len(birds), "sha256": sha256(birds).hexdigest()}
        self.sources = write_sources(
            folder / "sources.yaml", mirror.url(""), **{"CUB_200_2011.tgz": published}
        )

    def config(self, name: str, **changes: object) -> BenchmarkConfig:
        return BenchmarkConfig.model_validate({"name": name, "sources": self.sources, **changes})

    def prepare(
        self, config: BenchmarkConfig, *needs: Need, max_excluded: float = 0.01
    ) -> Catalogue:
        dataset = DatasetConfig(kind="benchmark", benchmark=config, max_excluded=max_excluded)
        directory = ArtifactDirectory(self.folder / "prepared")
        prepared = prepare_dataset(dataset, directory, needs=needs or ("test",))
        assert Catalogue.load(directory.uri) == prepared.catalogue
        return prepared.catalogue


class TinyModel(RetrievalModel):
    """The colours of twelve parts of the image."""

    local_dim = None
    global_dim = 36

    def __init__(self) -> None:
        super().__init__()
        self.config = ModelConfig(method="gem", mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
        self.sign = nn.Parameter(torch.ones(()))

    def extract(self, images, *, scales, max_features, global_scales, power=1.0):
        return None, self(images)

    def forward(self, images):
        cells = self.sign * nn.functional.adaptive_avg_pool2d(images, (3, 4)).flatten(1)
        return nn.functional.normalize(cells - cells.mean(1, keepdim=True), dim=1)


def only_mirror(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the local server as the one place that files come from."""
    packaged = packaged_sources._packaged()
    for entry in packaged.values():
        for file in entry["files"]:
            file["urls"] = []
    monkeypatch.setattr(packaged_sources, "_packaged", lambda: packaged)


def extract(catalogue: Catalogue, folder: Path, *, square: int | None = None) -> FeatureStore:
    torch.set_num_threads(1)
    config, model = FeaturesConfig(image_size=64), TinyModel()
    model.input_size = square
    for shard in plan_shards(catalogue.rows, 100):
        extract_shard(model, shard, config, ArtifactDirectory(folder))
    return FeatureStore(folder)


def scores(
    catalogue: Catalogue,
    folder: Path,
    distractors: Catalogue | None = None,
    *,
    square: int | None = None,
) -> dict[str, float]:
    store = extract(catalogue, folder / "features", square=square)
    index = VectorIndex.create(TinyModel.global_dim)
    index.add(*store.global_descriptors([row.image_id for row in catalogue.database()]))
    if distractors is not None:
        ids, vectors = extract(distractors, folder / "distractors").global_descriptors()
        index.add(ids + first_distractor_id(catalogue), vectors)
    ranking = rank_global(
        index, store, [row.image_id for row in catalogue.queries()], VectorConfig(), None
    )
    settings = EvaluationConfig(bootstrap=0, map_at=100)
    return evaluate_ranking(ranking, catalogue, settings).metrics


def names(catalogue: Catalogue) -> list[str]:
    return [Path(row.path).stem for row in catalogue.rows]


def received(site: Site, config: BenchmarkConfig) -> None:
    """Download a benchmark, and bring what its user has to; all of it must be whole."""
    assert benchmark_state(config) == "no"
    fetch_benchmark(config)
    if config.name.startswith("landmarks"):
        bring_landmarks(site.datasets / "landmarks-v2")
    assert benchmark_state(config) == "whole"
    found = verify_benchmark(config)
    assert found.whole
    known = "published SHA-256" if config.name == "cub200-2011" else "SHA-256 on arrival"
    assert {how for _, how in found.checked} == {known}


def area(*ranks: int) -> float:
    """Average precision where these are the ranks, from 1, of all right answers."""
    precisions = [((n / (r - 1) if r > 1 else 1) + (n + 1) / r) / 2 for n, r in enumerate(ranks)]
    return sum(precisions) / len(ranks)


def labelled(images: int) -> dict[str, float]:
    """Scores where one class has two views, and another a pair of views and a negative of them.

    The other classes have one image each, which is right for nobody.
    """
    pair, found, negative = 1, area(1, images - 1), area(images - 2, images - 1)
    return {
        "map": (2 * pair + 2 * found + negative) / 5,
        "recall@1": 4 / 5,
        "map@r": (2 + 2 * (1 / 2)) / 5,
        "precision@r": (2 + 2 * (1 / 2)) / 5,
    }


# by hand: other views of the query's landmark come first, its negative comes last
EXPECTED = {
    # the second query is right at itself, at its other view and at the last of 8
    "oxford5k": {"map": (1 + area(1, 2, 8)) / 2},
    "paris6k": {"map": (1 + area(1, 4)) / 2, "precision@1": 1, "precision@5": (1 + 2 / 4) / 2},
    # the first query has an easy and a hard answer, the second an easy one alone
    "roxford5k": {
        "map_easy": 1,
        "map_medium": (area(1, 6) + 1) / 2,
        "map_hard": area(5),
        "map": (area(1, 6) + 1) / 2,
        "precision@1_medium": 1,
        "precision@5_medium": (1 / 5 + 1) / 2,
        "precision@10_medium": (2 / 6 + 1) / 2,
        "precision@10_hard": 1 / 5,
    },
    # with its one image of junk left out, the second query finds its hard answer in place 2 of 2
    "rparis6k": {"map_easy": 1, "map_medium": (1 + area(2)) / 2, "map_hard": area(2)},
    "landmarks-v2": {"map": (area(1, 4) + 1) / 2, "map@100": ((1 + 2 / 4) / 2 + 1) / 2},
    # without its junk the first query has 3 images, the second 4
    "sfm120k-val": {"map": (area(1) + area(4)) / 2, "recall@1": 1 / 2},
    "cars196": labelled(101),
    "cub200-2011": labelled(103),
    # of the last of four products, the second view is a negative: each finds the other last
    "stanford-online-products": {"map": (6 + 2 * area(7)) / 8, "recall@1": 6 / 8},
    # the other query has one answer, a negative, at the end of a gallery of 4
    "in-shop": {"map": (1 + area(4)) / 2, "recall@1": 1 / 2, "map@r": 1 / 2},
}


@pytest.mark.parametrize("name", EXPECTED)
def test_download_verify_prepare_evaluate(site: Site, name: str) -> None:
    config = site.config(name)
    received(site, config)
    metrics = scores(site.prepare(config), site.folder)
    assert {key: metrics[key] for key in EXPECTED[name]} == pytest.approx(EXPECTED[name])
    assert ("map_hard" in metrics) == name.startswith("r")


def test_cars_cropped_and_padded_to_squares(site: Site) -> None:
    config = site.config("cars196", crop_to_box=True)
    received(site, config)
    metrics = scores(site.prepare(config, "train", "test"), site.folder, square=64)
    assert [metrics[f"recall@{k}"] for k in (1, 2, 4, 8)] == [4 / 5] * 4
    assert metrics["map@r"] == pytest.approx(EXPECTED["cars196"]["map@r"])


def test_the_other_edition_of_the_cars_is_brought(site: Site) -> None:
    bring_car_halves(site.datasets / "cars196")
    config = site.config("cars196")
    fetch_benchmark(config)
    assert site.mirror.requests == []
    found = verify_benchmark(config)
    assert found.whole
    assert found.images == 199
    assert len(site.prepare(config, "train", "test").rows) == 199


def test_lists_and_images_of_an_archive_come_again_together(site: Site) -> None:
    config = site.config("stanford-online-products")
    fetch_benchmark(config)
    shutil.rmtree(site.datasets / "stanford-online-products/unpacked")
    site.mirror.requests.clear()
    assert not verify_benchmark(config).whole
    fetch_benchmark(config)
    assert site.mirror.requests == []
    assert verify_benchmark(config).whole


def test_distractors_push_right_answers_back(site: Site) -> None:
    config = site.config("revisitop1m")
    received(site, config)
    distractors = site.prepare(config, "database")
    metrics = scores(site.prepare(site.config("roxford5k")), site.folder, distractors)
    assert metrics["map_easy"] == pytest.approx(1)
    assert metrics["map_medium"] == pytest.approx((area(1, 106) + 1) / 2)
    assert metrics["map_hard"] == pytest.approx(area(105))


# every image asks: three agree, a pair has a negative among its right answers, and a negative asks
CLUSTERS = (3 * area(1, 2) + 2 * area(1, 5) + area(4, 5)) / 6


@pytest.mark.parametrize(
    ("validation", "expected"),
    [("eccv2020", EXPECTED["sfm120k-val"]["map"]), ("clusters", CLUSTERS)],
)
def test_download_verify_prepare_validate(site: Site, validation: str, expected: float) -> None:
    config = site.config("sfm120k", validation=validation)
    received(site, config)
    catalogue = site.prepare(config, "train", "val")
    model, rows = TinyModel(), catalogue.split("val")
    reader = ImageReader(model, 64, total=len(rows), max_excluded=0)
    assert validate(model, catalogue, reader).map == pytest.approx(expected)


def test_download_verify_prepare_whiten(site: Site) -> None:
    config = site.config("sfm30k-whiten")
    received(site, config)
    catalogue = site.prepare(config, "train")
    _, vectors = extract(catalogue, site.folder / "features").global_descriptors()
    queries, positives = zip(*catalogue.pairs, strict=True)
    whitening = fit_learned_whitening(vectors, queries, positives)
    within = whitening.apply(vectors[list(queries)]) - whitening.apply(vectors[list(positives)])
    assert within.shape == (3, TinyModel.global_dim)
    assert np.isfinite(within).all()


@pytest.mark.parametrize("name", ["landmarks-v2-clean", "landmarks-v2-train"])
def test_download_verify_prepare(site: Site, name: str) -> None:
    config = site.config(name)
    received(site, config)
    assert len(site.prepare(config, "train").split("train")) == 3


def test_nothing_is_fetched_or_read_twice(site: Site) -> None:
    config = DatasetConfig(kind="benchmark", benchmark=site.config("roxford5k"))
    before = dataset_identity(config)
    fetch_benchmark(config.benchmark)
    first = dataset_identity(config)
    assert first != before
    site.mirror.requests.clear()
    site.prepare(config.benchmark)
    (site.datasets / "oxford/oxbuild_images-v1.tgz").unlink()  # it has been unpacked
    fetch_benchmark(config.benchmark)
    assert site.mirror.requests == []
    assert dataset_identity(config) == first
    assert verify_benchmark(config.benchmark).whole
    mirrors = site.folder / "others.yaml"
    mirrors.write_text("mirrors: [http://127.0.0.1:9]")
    others = config.benchmark.model_copy(update={"sources": str(mirrors)})
    assert dataset_identity(config.model_copy(update={"benchmark": others})) == first


def test_deleted_images_are_unpacked_again(site: Site) -> None:
    config = site.config("roxford5k")
    fetch_benchmark(config)
    shutil.rmtree(site.datasets / "oxford/jpg")
    half = site.datasets / "oxford/jpg/.unpacking-oxbuild_images-v1.tgz"  # of a killed process
    half.mkdir(parents=True)
    (half / "all_souls_000001.jpg").write_bytes(b"half")
    site.mirror.requests.clear()
    assert benchmark_state(config) == "in part"
    fetch_benchmark(config)
    assert site.mirror.requests == []
    assert verify_benchmark(config).whole
    assert all("unpacking" not in row.path for row in site.prepare(config).rows)


def test_both_protocols_share_the_photographs(site: Site) -> None:
    fetch_benchmark(site.config("oxford5k"))
    site.mirror.requests.clear()
    fetch_benchmark(site.config("roxford5k"))
    assert [r.name for r in site.mirror.requests] == ["roxford5k/gnd_roxford5k.pkl"]


def test_original_oxford(site: Site) -> None:
    catalogue = site.prepare(site.config("oxford5k"))
    database, queries = catalogue.rows[:8], catalogue.rows[8:]
    assert not catalogue.revisited
    assert {row.role for row in database} == {"database"}
    assert {row.role for row in queries} == {"query"}
    assert [row.box for row in queries] == [tuple(BOX)] * 2
    assert {row.box for row in database} == {None}
    # one photograph, as a whole in the database and cropped as a query
    assert queries[0].path == database[0].path
    assert catalogue.truth == (QueryTruth(8, (0, 1), (), (2,)), QueryTruth(9, (3, 4, 5), (), ()))
    assert [row.label for row in queries] == ["all_souls", "balliol"]
    expected = ["all_souls"] * 2 + [""] + ["balliol"] * 3 + [""] * 2
    assert [row.label for row in database] == expected


def test_revisited_paris_lies_in_subfolders_and_passes_over_what_no_list_names(site: Site) -> None:
    catalogue = site.prepare(site.config("rparis6k"))
    assert catalogue.revisited
    assert names(catalogue)[:2] == ["paris_louvre_000001", "paris_defense_000003"]
    assert "paris/jpg/paris/louvre/" in catalogue.rows[0].path
    assert not any("000136" in name for name in names(catalogue))
    assert catalogue.truth == (QueryTruth(3, (0,), (), ()), QueryTruth(4, (), (1,), (2,)))


def test_distractors_are_searched_and_never_right(site: Site) -> None:
    catalogue = site.prepare(site.config("revisitop1m"), "database")
    assert len(catalogue.database()) == 100
    assert catalogue.truth == ()
    assert {row.label for row in catalogue.rows} == {""}


def test_sfm_has_pairs_and_a_validation_split_of_its_own(site: Site) -> None:
    catalogue = site.prepare(site.config("sfm120k"), "train", "val")
    assert catalogue.pairs == ((0, 1), (3, 4), (6, 8), (9, 10))
    assert [row.label for row in catalogue.split("train")][::3] == [
        "cluster-7",
        "cluster-8",
        "cluster-9",
        "cluster-12",
    ]
    assert len(catalogue.split("val")) == 5
    assert catalogue.val_truth == (
        QueryTruth(12, (13,), (), (12, 14)),
        QueryTruth(15, (16,), (), (15,)),
    )
    for row in catalogue.rows:
        *_, first, second, third, name = row.path.split("/")
        assert name[-6:] == third + second + first


def test_sfm_with_the_validation_split_of_cirtorch(site: Site) -> None:
    catalogue = site.prepare(site.config("sfm120k", validation="clusters"), "train", "val")
    assert catalogue.val_truth == ()
    labels = [row.label for row in catalogue.split("val")]
    assert labels == ["cluster-20"] * 3 + ["cluster-21"] * 3


def test_the_validation_split_as_images_to_score_on(site: Site) -> None:
    catalogue = site.prepare(site.config("sfm120k-val"))
    roles = " ".join(row.role for row in catalogue.rows)
    assert roles == "both database database both database"
    assert [row.label for row in catalogue.queries()] == ["cluster-20", "cluster-21"]
    assert catalogue.truth == (QueryTruth(0, (1,), (), (0, 2)), QueryTruth(3, (4,), (), (3,)))


def test_whitening_pairs_label_what_they_connect(site: Site) -> None:
    catalogue = site.prepare(site.config("sfm30k-whiten"), "train")
    assert catalogue.pairs == ((0, 1), (1, 2), (3, 4))
    labels = [row.label for row in catalogue.rows]
    assert labels == ["model-0"] * 3 + ["model-1"] * 2 + [""] * 3


def test_landmarks_of_index_and_training_are_numbered_apart(site: Site) -> None:
    fetch_benchmark(site.config("landmarks-v2"))
    bring_landmarks(site.datasets / "landmarks-v2")
    catalogue = site.prepare(site.config("landmarks-v2"))
    assert names(catalogue)[:4] == INDEX
    assert catalogue.truth == (QueryTruth(4, (0, 1), (), ()), QueryTruth(5, (2,), (), ()))
    assert [row.label for row in catalogue.queries()] == ["index-5", "index-6"]
    clean = site.prepare(site.config("landmarks-v2-clean"), "train")
    assert [row.label for row in clean.rows] == ["train-5", "train-5", "train-8"]


def test_landmarks_say_what_to_bring(site: Site) -> None:
    with pytest.raises(Exception, match="Only the CSV files are downloaded") as raised:
        site.prepare(site.config("landmarks-v2"))
    assert str(site.datasets) in str(raised.value)


def test_an_interrupted_download_goes_on(site: Site) -> None:
    name = "oxford/oxbuild_images-v1.tgz"
    site.mirror.once(name, Fault(cut_after=500), Fault(status=503))
    fetch_benchmark(site.config("roxford5k"))
    assert site.mirror.starts(name) == [0, 500]
    assert verify_benchmark(site.config("roxford5k")).whole


JUNK = np.random.default_rng(0).bytes(5000)
GARBAGE = Fault(body=JUNK, content_type="application/octet-stream")
FILES = ["oxford/oxbuild_images-v1.tgz", "roxford5k/gnd_roxford5k.pkl"]


def test_garbage_of_a_mirror_makes_way_for_the_next(site: Site) -> None:
    mirrors = [site.mirror.url("junk"), site.mirror.url("")]
    sources = site.folder / "two.yaml"
    sources.write_text(json.dumps({"mirrors": mirrors}))
    for name in FILES:
        site.mirror.always(f"junk/{name}", GARBAGE)
    config = site.config("roxford5k", sources=str(sources))
    fetch_benchmark(config)
    assert {r.name for r in site.mirror.requests} == {*FILES, *(f"junk/{n}" for n in FILES)}
    assert verify_benchmark(config).whole


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("roxford5k", FILES[0]),
        ("roxford5k", FILES[1]),
        ("revisitop1m", "revisitop1m/revisitop1m.txt"),
        ("landmarks-v2-clean", "landmarks-v2/train_clean.csv"),
        ("stanford-online-products", "stanford-online-products/Stanford_Online_Products.zip"),
    ],
)
def test_garbage_everywhere_is_named_and_not_kept(
    site: Site, monkeypatch: pytest.MonkeyPatch, name: str, file: str
) -> None:
    only_mirror(site, monkeypatch)
    site.mirror.always(file, GARBAGE)
    try:
        with pytest.raises(DownloadError, match="sends something else: "):
            fetch_benchmark(site.config(name))
    finally:
        site.mirror.always(file, None)
    assert not (site.datasets / file).exists()
    fetch_benchmark(site.config(name))
    assert (site.datasets / file).read_bytes() == (site.mirror.folder / file).read_bytes()


def cut_archive(folder: Path) -> bytes:
    """The first half of one that is too long to be seen through at once."""
    noise = np.random.default_rng(0).bytes(400_000)
    write_archive(folder / "long.tgz", {f"{n}.jpg": noise for n in range(2)})
    return (folder / "long.tgz").read_bytes()[:400_000]


def test_an_archive_that_does_not_unpack_is_dropped(site: Site) -> None:
    site.mirror.once(FILES[0], Fault(body=cut_archive(site.folder)))
    with pytest.raises(ArchiveError, match="The same command downloads it again"):
        fetch_benchmark(site.config("roxford5k"))
    assert not (site.datasets / FILES[0]).exists()
    fetch_benchmark(site.config("roxford5k"))
    assert verify_benchmark(site.config("roxford5k")).whole


def test_an_archive_of_ones_own_is_never_deleted(site: Site) -> None:
    archive = site.datasets / FILES[0]
    archive.parent.mkdir(parents=True)
    archive.write_bytes(cut_archive(site.folder))
    with pytest.raises(ArchiveError, match="Delete it and get"):
        fetch_benchmark(site.config("roxford5k"))
    assert archive.exists()


@pytest.mark.parametrize(
    ("name", "file", "content"),
    [
        ("roxford5k", FILES[1], pickle.dumps({"imlist": 3}, protocol=2)),
        ("landmarks-v2-clean", "landmarks-v2/train_clean.csv", b'{"error": "try later"}'),
    ],
)
def test_a_list_that_cannot_be_read_is_dropped(
    site: Site, name: str, file: str, content: bytes
) -> None:
    site.mirror.once(file, Fault(body=content))
    with pytest.raises(DatasetError, match="The same command downloads it again"):
        fetch_benchmark(site.config(name))
    assert not (site.datasets / file).exists()
    fetch_benchmark(site.config(name))
    assert (site.datasets / file).read_bytes() == (site.mirror.folder / file).read_bytes()


def test_single_images_come_from_their_archives_again(site: Site) -> None:
    config = site.config("roxford5k")
    fetch_benchmark(config)
    assert restore_images(config) == (0, 8)
    image = site.datasets / "oxford/jpg/balliol_000003.jpg"
    image.unlink()
    site.mirror.requests.clear()
    assert restore_images(config) == (0, 8)
    assert image.is_file()
    image.unlink()
    (site.datasets / FILES[0]).unlink()
    assert restore_images(config) == (1, 8)
    assert site.mirror.requests == []


def test_progress_is_told_by_what_is_done(site: Site) -> None:
    told: dict[str, tuple[int, int]] = {}
    fetch_benchmark(
        site.config("roxford5k"), progress=lambda what, *done: told.update({what: done})
    )
    archive = site.mirror.folder / "oxford/oxbuild_images-v1.tgz"
    assert told["download oxford"] == (archive.stat().st_size,) * 2
    assert "unpack oxbuild_images-v1.tgz" in told


def test_a_wrong_checksum_of_ones_own_is_refused(site: Site) -> None:
    wrong = {"gnd_roxford5k.pkl": {"sha256": "0" * 64, "urls": []}}
    site.sources = write_sources(site.folder / "s.yaml", site.mirror.url(""), **wrong)
    fetch_benchmark(site.config("oxford5k"))
    (site.datasets / "roxford5k").mkdir()
    truth = site.datasets / "roxford5k/gnd_roxford5k.pkl"
    shutil.copy(site.mirror.folder / "roxford5k/gnd_roxford5k.pkl", truth)
    with pytest.raises(Exception, match="SHA-256"):
        fetch_benchmark(site.config("roxford5k"))
    assert not verify_benchmark(site.config("roxford5k")).whole


def test_verify_finds_altered_files_and_missing_images(site: Site) -> None:
    config = site.config("roxford5k")
    fetch_benchmark(config)
    (site.datasets / "oxford/jpg/all_souls_000001.jpg").unlink()
    (site.datasets / "oxford/jpg/oxford_000002.jpg").write_bytes(b"")
    archive = site.datasets / "oxford/oxbuild_images-v1.tgz"
    content = bytearray(archive.read_bytes())
    content[100] ^= 1
    archive.write_bytes(content)
    found = verify_benchmark(config)
    assert [Path(path).name for path in found.missing] == [
        "all_souls_000001.jpg",
        "oxford_000002.jpg",
    ]
    assert found.images == 8
    assert len(found.problems) == 1
    assert "oxbuild_images-v1.tgz" in found.problems[0]


def test_missing_images_are_recorded_and_missing_queries_named(site: Site) -> None:
    config = site.config("roxford5k")
    fetch_benchmark(config)
    (site.datasets / "oxford/jpg/balliol_000003.jpg").unlink()
    with pytest.raises(Exception, match="1 of them are queries") as raised:
        site.prepare(config)
    assert "datasets verify roxford5k" in str(raised.value)
    catalogue = site.prepare(config, max_excluded=0.2)
    assert [t.query for t in catalogue.truth] == [6]


class TestBroughtCopies:
    """Folders in which users keep the datasets already."""

    @pytest.fixture
    def cirtorch(self, site: Site) -> Path:
        """cirtorch's layout: the revisited photographs are a link to the original's."""
        fetch_benchmark(site.config("roxford5k"))
        test = site.folder / "data" / "test"
        (test / "roxford5k").mkdir(parents=True)
        shutil.copytree(site.datasets / "oxford/jpg", test / "oxford5k/jpg")
        (test / "roxford5k/jpg").symlink_to(test / "oxford5k/jpg")
        shutil.copy(site.datasets / "roxford5k/gnd_roxford5k.pkl", test / "roxford5k")
        site.mirror.requests.clear()
        return test

    @pytest.mark.parametrize("below", ["", "roxford5k", ".."])
    def test_are_found(self, site: Site, cirtorch: Path, below: str) -> None:
        config = site.config("roxford5k", root=str(cirtorch / below))
        assert len(site.prepare(config).rows) == 8
        assert site.mirror.requests == []
        assert verify_benchmark(config).whole

    def test_are_completed(self, site: Site, cirtorch: Path) -> None:
        (cirtorch / "roxford5k/gnd_roxford5k.pkl").unlink()
        kept = site.config("roxford5k", root=str(cirtorch), download=False)
        with pytest.raises(Exception, match=r"gnd_roxford5k.pkl cannot be read"):
            site.prepare(kept)
        assert site.mirror.requests == []
        site.prepare(site.config("roxford5k", root=str(cirtorch)))
        assert [r.name for r in site.mirror.requests] == ["roxford5k/gnd_roxford5k.pkl"]

    def test_decide_the_identity_by_their_listing(self, site: Site, cirtorch: Path) -> None:
        own = site.config("roxford5k", root=str(cirtorch))
        config = DatasetConfig(kind="benchmark", benchmark=own)
        before = json.dumps(dataset_identity(config))
        assert json.dumps(dataset_identity(config)) == before
        (cirtorch / "oxford5k/jpg/balliol_000003.jpg").write_bytes(b"another photograph")
        assert json.dumps(dataset_identity(config)) != before
