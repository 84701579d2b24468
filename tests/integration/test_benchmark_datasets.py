"""Every published dataset from a web server to its scores, on small archives of its layout."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from support.benchmarks import BOX, INDEX, bring_landmarks, write_all, write_sources
from support.mirror import Fault, Mirror
from torch import nn

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.config import (
    BenchmarkConfig,
    DatasetConfig,
    EvaluationConfig,
    FeaturesConfig,
    ModelConfig,
)
from retrieval_core.data.benchmarks.fetch import fetch_benchmark
from retrieval_core.data.benchmarks.state import benchmark_state
from retrieval_core.data.benchmarks.verify import verify_benchmark
from retrieval_core.data.catalogue import Catalogue, QueryTruth
from retrieval_core.data.identity import dataset_identity
from retrieval_core.data.prepare import Need, prepare_dataset
from retrieval_core.evaluation.report import evaluate_ranking
from retrieval_core.features.extract import extract_shard
from retrieval_core.features.shards import plan_shards
from retrieval_core.features.store import FeatureStore
from retrieval_core.index import VectorIndex
from retrieval_core.models.base import RetrievalModel
from retrieval_core.search.vector import rank_global


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
        self.sources = write_sources(folder / "sources.yaml", mirror.url(""))

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
        cells = self.sign * nn.functional.adaptive_avg_pool2d(images, (3, 4)).flatten(1)
        return None, nn.functional.normalize(cells - cells.mean(1, keepdim=True), dim=1)


def scores(catalogue: Catalogue, folder: Path) -> dict[str, float]:
    torch.set_num_threads(1)
    config = FeaturesConfig(image_size=64)
    for shard in plan_shards(catalogue.split("test"), 100):
        extract_shard(TinyModel(), shard, config, ArtifactDirectory(folder))
    store, index = FeatureStore(folder), VectorIndex.create(TinyModel.global_dim)
    index.add(*store.global_descriptors([row.image_id for row in catalogue.database()]))
    ranking = rank_global(index, store, [row.image_id for row in catalogue.queries()], None)
    return evaluate_ranking(ranking, catalogue, EvaluationConfig(bootstrap=0)).metrics


def names(catalogue: Catalogue) -> list[str]:
    return [Path(row.path).stem for row in catalogue.rows]


@pytest.mark.parametrize("name", ["oxford5k", "paris6k", "roxford5k", "rparis6k", "landmarks-v2"])
def test_download_verify_prepare_evaluate(site: Site, name: str) -> None:
    config = site.config(name)
    assert benchmark_state(config) == "no"
    fetch_benchmark(config)
    if name.startswith("landmarks"):
        bring_landmarks(site.datasets / "landmarks-v2")
    assert benchmark_state(config) == "whole"
    found = verify_benchmark(config)
    assert found.whole
    assert {how for _, how in found.checked} == {"SHA-256 on arrival"}
    metrics = scores(site.prepare(config), site.folder / "features")
    assert metrics["map"] > 0.9  # one pattern per landmark
    assert ("map_hard" in metrics) == name.startswith("r")


@pytest.mark.parametrize(
    ("name", "need"),
    [
        ("revisitop1m", "database"),
        ("sfm120k", "train"),
        ("sfm30k-whiten", "train"),
        ("landmarks-v2-clean", "train"),
        ("landmarks-v2-train", "train"),
    ],
)
def test_download_verify_prepare(site: Site, name: str, need: Need) -> None:
    config = site.config(name)
    fetch_benchmark(config)
    if name.startswith("landmarks"):
        bring_landmarks(site.datasets / "landmarks-v2")
    assert verify_benchmark(config).whole
    assert site.prepare(config, need).rows


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
