"""Published checkpoints by name: found, downloaded, checked, told apart."""

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from support.mirror import PAGE_WITH_STATUS_200, Fault, Mirror
from typer.testing import CliRunner

from flows.cli import app
from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.config import GlobalConfig, LitConfig, ModelConfig
from retrieval_core.download import read_receipt
from retrieval_core.errors import (
    CheckpointError,
    ChecksumError,
    ConfigError,
    DownloadError,
)
from retrieval_core.models import build_model, load_model, save_model
from retrieval_core.models.identity import weights_identity
from retrieval_core.models.zoo import (
    CHECKPOINTS,
    RestrictedLicenceWarning,
    checkpoints,
    find_checkpoint,
    starting_state,
)

FIRE = ModelConfig(
    method="fire",
    backbone="resnet18",
    skip_layer=2,
    dim=16,
    lit=LitConfig(iterations=2, templates=4, dim=32),
)


FILE = "fire.pth"


def official_fire(config: ModelConfig = FIRE) -> dict[str, Any]:
    state = build_model(config, seed=3).state_dict()
    state["dim_reduction.weight"] = state.pop("whitening.weight")[:, :, None, None]
    state["dim_reduction.bias"] = state.pop("whitening.bias")
    net_params = {
        "architecture": config.backbone,
        "pretrained": None,
        "skip_layer": config.skip_layer,
        "dim_reduction": {"dim": config.dim},
        "lit": {"T": config.lit.iterations, "N": config.lit.templates, "dim": config.lit.dim},
        "runtime": {"mean_std": [list(config.mean), list(config.std)]},
    }
    return {"epoch": 1, "state_dict": state, "net_params": net_params, "_version": "fire/2021"}


@pytest.fixture(autouse=True)
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RETRIEVAL_WORKDIR", str(tmp_path / "work"))
    return tmp_path / "work"


@pytest.fixture
def refine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def write(**entries: Any) -> None:
        path = tmp_path / "checkpoints.yaml"
        path.write_text(yaml.safe_dump(entries))
        monkeypatch.setenv("RETRIEVAL_CHECKPOINTS", str(path))

    return write


@pytest.fixture(scope="module")
def fire_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("fire") / "fire.pth"
    torch.save(official_fire(), path)
    return path.read_bytes()


@pytest.fixture
def fire(mirror: Mirror, refine: Any, fire_bytes: bytes) -> Mirror:
    """The name `fire` leads to a small network of the official format."""
    (mirror.folder / FILE).write_bytes(fire_bytes)
    refine(fire={"urls": [mirror.url(FILE)]})
    return mirror


def test_every_published_name_is_there_with_its_licence() -> None:
    families = {"fire", "fire_imagenet", "how_r18", "how_r50-"}
    families |= {f"{d}-tl-resnet{n}-gem-w" for d in ("rSfM120k", "gl18") for n in (50, 101, 152)}
    families |= {f"retrievalSfM120k-{n}-gem" for n in ("vgg16", "resnet101")}
    assert families <= CHECKPOINTS.keys()
    assert {n for n, c in CHECKPOINTS.items() if c.restricted} == {"fire", "fire_imagenet"}
    assert CHECKPOINTS["fire"].licence == "CC BY-NC-SA 4.0"
    assert all(c.title and c.licence and c.file.urls for c in CHECKPOINTS.values())


@pytest.mark.parametrize(
    ("weights", "state"),
    [
        ("fire", "published"),
        ("gl18-tl-resnet50-gem-w", "published"),
        ("fire_imagenet", "untrained"),
        ("imagenet-caffe-resnet101", "untrained"),
        ("none", "untrained"),
        ("efficientnet-lite0", "untrained"),
        ("mine/model.pth", "given"),
    ],
)
def test_what_a_network_is_before_training(weights: str, state: str) -> None:
    assert starting_state(weights) == state


def test_a_name_is_downloaded_once_and_its_licence_told(fire: Mirror, workdir: Path) -> None:
    with pytest.warns(RestrictedLicenceWarning, match=r"CC BY-NC-SA 4\.0.*commercial"):
        model = load_model("fire")
    expected = build_model(FIRE, seed=3).state_dict()
    assert all(torch.equal(v, expected[k]) for k, v in model.state_dict().items())
    assert read_receipt(workdir / "downloads", "fire.pth") is not None
    with warnings.catch_warnings(action="error"):
        again = build_model(FIRE.model_copy(update={"weights": "fire"}), seed=9)
    assert all(torch.equal(v, expected[k]) for k, v in again.state_dict().items())
    assert not again.needs_whitening
    assert len(fire.requests) == 1


@pytest.mark.filterwarnings("ignore::retrieval_core.models.zoo.RestrictedLicenceWarning")
def test_a_download_that_is_cut_off_goes_on_where_it_stopped(fire: Mirror) -> None:
    fire.once(FILE, Fault(cut_after=100_000), Fault(cut_after=50_000))
    load_model("fire")
    assert fire.starts(FILE) == [0, 100_000, 150_000]


@pytest.mark.filterwarnings("ignore::retrieval_core.models.zoo.RestrictedLicenceWarning")
def test_the_next_mirror_is_asked(fire: Mirror, refine: Any) -> None:
    refine(fire={"urls": [fire.url("gone.pth"), fire.url(FILE)]})
    load_model("fire")
    assert [(r.name, r.status) for r in fire.requests] == [("gone.pth", 404), (FILE, 200)]


@pytest.mark.filterwarnings("ignore::retrieval_core.models.zoo.RestrictedLicenceWarning")
def test_the_next_mirror_is_asked_where_one_sends_no_checkpoint(fire: Mirror, refine: Any) -> None:
    fire.always("junk.pth", Fault(body=b"\x80\x02junk" * 100))
    refine(fire={"urls": [fire.url("junk.pth"), fire.url(FILE)]})
    load_model("fire")
    assert [r.name for r in fire.requests] == ["junk.pth", FILE]


def test_a_page_instead_of_a_file_is_not_kept(fire: Mirror, workdir: Path) -> None:
    for page in (PAGE_WITH_STATUS_200, Fault(body=b"moved, see elsewhere")):
        fire.always(FILE, page)
        with pytest.raises(DownloadError, match=r"fire\.pth"):
            load_model("fire")
        assert not (workdir / "downloads" / "fire.pth").exists()
    fire.always(FILE, None)
    with pytest.warns(RestrictedLicenceWarning):
        load_model("fire")


def test_published_digest_is_checked_and_part_of_the_identity(fire: Mirror, refine: Any) -> None:
    wrong = "0" * 64
    refine(fire={"urls": [fire.url(FILE)], "sha256": wrong})
    with pytest.raises((ChecksumError, DownloadError), match=wrong):
        load_model("fire")
    assert weights_identity("fire") == f"fire sha256:{wrong}"
    assert weights_identity("how_r18") == "how_r18"


def test_code_in_a_downloaded_pickle_never_runs(
    fire: Mirror, workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return print, ("this must never run",)

    torch.save({"state_dict": {}, "extra": Evil()}, fire.folder / FILE)
    with pytest.raises(DownloadError, match="print"):
        load_model("fire")
    assert not (workdir / "downloads" / "fire.pth").exists()
    assert "never" not in capsys.readouterr().out


def test_a_file_that_somebody_put_there_is_used(workdir: Path, fire_bytes: bytes) -> None:
    (workdir / "downloads").mkdir(parents=True)
    (workdir / "downloads" / "fire.pth").write_bytes(fire_bytes)
    with warnings.catch_warnings(action="error"):
        assert load_model("fire").config.lit == FIRE.lit


def test_a_file_that_somebody_put_there_must_be_a_checkpoint(
    fire: Mirror, workdir: Path, fire_bytes: bytes
) -> None:
    (workdir / "downloads").mkdir(parents=True)
    (workdir / "downloads" / "fire.pth").write_bytes(b"junk")
    for _ in range(2):
        with pytest.raises(DownloadError, match="Put a right one there"):
            load_model("fire")
    assert fire.requests == []
    (workdir / "downloads" / "fire.pth").write_bytes(fire_bytes)
    load_model("fire")


def test_an_address_is_downloaded_like_a_name(fire: Mirror, workdir: Path) -> None:
    fire.once(FILE, Fault(cut_after=100_000))
    for _ in range(2):
        load_model(fire.url(FILE))
    assert fire.starts(FILE) == [0, 100_000]
    (kept,) = (workdir / "downloads").glob("*-fire.pth")
    assert kept.is_file()


@pytest.mark.parametrize(
    ("weights", "hint"),
    [
        ("fier", "did you mean fire"),
        ("how_r50", "how_r50-"),
        ("rSfM120k-tl-resnet101-gem", "rSfM120k-tl-resnet101-gem-w"),
        ("efficientnet-lite", "efficientnet-lite0"),
        ("zzzzzz", "known: fire, "),
    ],
)
def test_misspelt_names_are_refused_before_any_work(weights: str, hint: str) -> None:
    for use in (load_model, weights_identity, lambda w: build_model(ModelConfig(weights=w))):
        with pytest.raises(ConfigError, match=f"{weights!r} is neither.*{re.escape(hint)}"):
            use(weights)


def test_paths_and_addresses_are_no_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    for weights in ("none", "mine", "./fier", "fier.pth", "s3://bucket/fier", str(tmp_path / "x")):
        assert find_checkpoint(weights) is None
    (tmp_path / "fire").write_text("a published name wins over a file")
    assert find_checkpoint("fire") is not None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fire: {url: [x]}", "url"),
        ("fire: 3", "expected settings"),
        ("mine: {urls: ['http://x/y.pth']}", "title"),
        ("fire: {sha256: abc}", "sha256"),
        ("[1, 2]", "expected names"),
        ("fire: [", "cannot read"),
    ],
)
def test_bad_lists_of_one_s_own(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.yaml").write_text(text)
    monkeypatch.setenv("RETRIEVAL_CHECKPOINTS", str(tmp_path / "own.yaml"))
    with pytest.raises(ConfigError, match=message):
        checkpoints()


def test_a_list_of_one_s_own_may_add_names(refine: Any) -> None:
    added = {"title": "mine", "method": "how", "licence": "MIT", "urls": ["https://x/y.pth"]}
    refine(mine=added, fire={"size": 5})
    assert checkpoints()["mine"].file.name == "mine.pth"
    assert checkpoints()["fire"].urls == CHECKPOINTS["fire"].urls
    assert checkpoints()["fire"].size == 5


def test_a_configuration_of_another_network_is_told_every_difference(
    tmp_path: Path, fire_bytes: bytes
) -> None:
    path = tmp_path / "fire.pth"
    path.write_bytes(fire_bytes)
    lit = FIRE.lit.model_copy(update={"iterations": 6})
    update = {"weights": str(path), "lit": lit, "mean": (0.5, 0.5, 0.5)}
    with pytest.raises(CheckpointError, match=r"lit\.iterations is 2 in the checkpoint and 6") as e:
        build_model(FIRE.model_copy(update=update))
    assert "model.mean is" in str(e.value)
    assert "model.dim" not in str(e.value)


GEM = ModelConfig(
    method="gem", backbone="squeezenet1_1", dim=None, pooled=GlobalConfig(whitening=False)
)


@pytest.fixture
def gem_file(tmp_path: Path) -> Path:
    """A cirtorch file whose whitenings for one and for several scales differ."""
    state = build_model(GEM, seed=3).state_dict()
    rng = np.random.default_rng(0)
    learned = {
        scales: {"m": rng.normal(size=(512, 1)), "P": rng.normal(size=(512, 512))}
        for scales in ("ss", "ms")
    }
    meta = {
        "architecture": "squeezenet1_1",
        "pooling": "gem",
        "mean": list(GEM.mean),
        "std": list(GEM.std),
        "Lw": {"retrieval-SfM-120k": learned},
    }
    renamed = {k.replace("pooling.", "pool."): v for k, v in state.items()}
    torch.save({"meta": meta, "state_dict": renamed}, tmp_path / "gem.pth")
    return tmp_path / "gem.pth"


IMAGES = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
SCALES = (1.0, 0.5)


@pytest.mark.parametrize(("kind", "key"), [("single_scale", "ss"), ("multi_scale", "ms")])
def test_learned_whitening_of_a_checkpoint(kind: Any, key: str, gem_file: Path) -> None:
    pooled = GlobalConfig(whitening=False, learned_whitening=kind)
    config = GEM.model_copy(update={"weights": str(gem_file), "pooled": pooled})
    plain = build_model(GEM.model_copy(update={"weights": str(gem_file)}))
    before = plain.extract_global(IMAGES, scales=SCALES, power=None).numpy()
    content = torch.load(gem_file, weights_only=False)["meta"]["Lw"]["retrieval-SfM-120k"][key]
    expected = (before.astype(np.float64) - content["m"].T) @ content["P"].T
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = build_model(config).extract_global(IMAGES, scales=SCALES, power=None)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_learned_whitening_survives_a_bundle(gem_file: Path, tmp_path: Path) -> None:
    model = load_model(gem_file)
    assert model.config.pooled.learned_whitening == "multi_scale"
    save_model(model, ArtifactDirectory(tmp_path / "bundle"))
    for again in (
        load_model(tmp_path / "bundle"),
        build_model(model.config.model_copy(update={"weights": str(tmp_path / "bundle")})),
    ):
        expected = model.extract_global(IMAGES, scales=SCALES)
        assert torch.equal(again.extract_global(IMAGES, scales=SCALES), expected)


def test_learned_whitening_that_is_not_there(gem_file: Path, tmp_path: Path) -> None:
    content = torch.load(gem_file, weights_only=False)
    del content["meta"]["Lw"]["retrieval-SfM-120k"]["ss"]
    torch.save(content, gem_file)
    pooled = GlobalConfig(whitening=False, learned_whitening="single_scale")
    update = {"weights": str(gem_file), "pooled": pooled}
    with pytest.raises(CheckpointError, match="no single_scale whitening"):
        build_model(GEM.model_copy(update=update))
    torch.save(build_model(GEM).features.state_dict(), tmp_path / "backbone.pth")
    update["weights"] = str(tmp_path / "backbone.pth")
    with pytest.raises(CheckpointError, match="holds no learned whitening"):
        build_model(GEM.model_copy(update=update))
    with pytest.raises(ValueError, match="needs the weights"):
        ModelConfig(method="gem", pooled=pooled)


def test_the_power_of_the_scales_is_gem_s_own_where_nothing_follows(gem_file: Path) -> None:
    plain = build_model(GEM.model_copy(update={"weights": str(gem_file)}))
    with torch.no_grad():
        plain.pooling.p.fill_(2.5)
    own = plain.extract_global(IMAGES, scales=SCALES, power=None)
    assert torch.equal(own, plain.extract_global(IMAGES, scales=SCALES, power=2.5))
    for config in (GEM.model_copy(update={"pooled": GlobalConfig(), "dim": 16}), FIRE):
        model = build_model(config)
        own = model.extract_global(IMAGES, scales=SCALES, power=None)
        assert torch.equal(own, model.extract_global(IMAGES, scales=SCALES, power=1.0))


def test_cli_lists_and_downloads(fire: Mirror, workdir: Path) -> None:
    environment = {"COLUMNS": "200"}

    def invoke(*arguments: str) -> Any:
        command = ["checkpoints", *arguments, "--workdir", str(workdir)]
        return CliRunner().invoke(app, command, env=environment)

    def line() -> str:
        return next(t for t in invoke("list").output.splitlines() if t.split()[:1] == ["fire"])

    assert "CC BY-NC-SA 4.0 !" in line()
    assert not line().rstrip().endswith("yes")
    result = invoke("download", "fire")
    assert result.exit_code == 0, result.output
    assert "restricted" in result.output
    assert str(workdir / "downloads" / "fire.pth") in result.output
    assert line().rstrip().endswith("yes")
    assert invoke("download", "fire").exit_code == 0
    assert len(fire.requests) == 1
    misspelt = invoke("download", "fire", "fier")
    assert misspelt.exit_code == 2
    assert "did you mean fire" in " ".join(misspelt.output.split())
