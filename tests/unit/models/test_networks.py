"""What every network promises, on small ones with random weights."""

from pathlib import Path

import numpy as np
import pytest
import torch

from retrieval_core.artifacts import ArtifactDirectory
from retrieval_core.config import CgdConfig, GlobalConfig, InputConfig, LitConfig, ModelConfig
from retrieval_core.errors import ConfigError
from retrieval_core.models import RetrievalModel, build_model, load_model, save_model

SCALES = (1.0, 0.7, 0.5)
SMALL = {"backbone": "resnet18", "skip_layer": 2, "dim": 16}
SMALLER = {"backbone": "mobilenet_v3_small", "dim": 16}
CONFIGS = {
    "how": ModelConfig(method="how", **SMALL),
    "fire": ModelConfig(method="fire", lit=LitConfig(iterations=2, templates=12, dim=32), **SMALL),
    "gem": ModelConfig(method="gem", **SMALL),
    "gemmp regional": ModelConfig(
        method="gem", pooled=GlobalConfig(pooling="gemmp", regional=True), **SMALL
    ),
    "rmac local": ModelConfig(
        method="gem",
        pooled=GlobalConfig(pooling="rmac", local_whitening=True, whitening=False),
        **SMALL,
    ),
    "spoc": ModelConfig(method="gem", pooled=GlobalConfig(pooling="spoc"), **SMALL),
    "cgd": ModelConfig(method="cgd", cgd=CgdConfig(combination="GSM"), **SMALLER),
    "cgd kept": ModelConfig(method="cgd", keep_resolution=True, **SMALLER),
    "embedding": ModelConfig(method="embedding", pooled=GlobalConfig(pooling="mac"), **SMALLER),
    "embedding regional": ModelConfig(
        method="embedding", pooled=GlobalConfig(regional=True), **SMALLER | {"dim": None}
    ),
    "embedding class": ModelConfig(
        method="embedding",
        backbone="test_vit",
        tokens="class",
        input=InputConfig(size=32),
        pooled=GlobalConfig(pooling="spoc"),
        dim=16,
    ),
    "cgd patches": ModelConfig(
        method="cgd", backbone="test_vit", input=InputConfig(size=64, fit="stretch"), dim=16
    ),
}


@pytest.fixture(scope="module", params=list(CONFIGS))
def model(request: pytest.FixtureRequest) -> RetrievalModel:
    return build_model(CONFIGS[request.param], seed=1)


@pytest.fixture(scope="module", params=["how", "fire"])
def local_model(request: pytest.FixtureRequest) -> RetrievalModel:
    return build_model(CONFIGS[request.param], seed=1)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 3, 64, 96, generator=generator)


def test_global_descriptors_have_unit_norm(model: RetrievalModel, images: torch.Tensor) -> None:
    for vectors in (
        model(images),
        model.extract_global(images, scales=SCALES),
        model.extract_global(images, scales=SCALES, power=2.5),
    ):
        assert vectors.shape == (3, model.global_dim)
        assert vectors.dtype == torch.float32
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3), atol=1e-5, rtol=0)


def test_a_batch_gives_what_its_images_give(model: RetrievalModel, images: torch.Tensor) -> None:
    together = model.extract_global(images, scales=SCALES, power=1.5)
    alone = torch.cat([model.extract_global(i[None], scales=SCALES, power=1.5) for i in images])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_local_features_of_a_batch_are_those_of_its_images(
    local_model: RetrievalModel, images: torch.Tensor
) -> None:
    together = local_model.extract_local(images, scales=SCALES, max_features=20)
    for i, image in enumerate(images):
        alone = local_model.extract_local(image[None], scales=SCALES, max_features=20)
        mine = together.image_index == i
        assert set(alone.image_index.tolist()) == {0}
        torch.testing.assert_close(together.strengths[mine], alone.strengths)
        torch.testing.assert_close(together.locations[mine], alone.locations)
        torch.testing.assert_close(together.scales[mine], alone.scales)
        torch.testing.assert_close(
            together.descriptors[mine], alone.descriptors, atol=1e-4, rtol=1e-4
        )


def test_local_features_are_the_strongest_in_order(
    local_model: RetrievalModel, images: torch.Tensor
) -> None:
    every = local_model.extract_local(images[:1], scales=SCALES, max_features=10_000)
    best = local_model.extract_local(images[:1], scales=SCALES, max_features=9)

    assert best.descriptors.shape == (9, 16)
    assert (every.strengths.diff() <= 0).all()
    torch.testing.assert_close(best.descriptors, every.descriptors[:9])
    assert set(every.scales.tolist()) == {torch.tensor(s).item() for s in SCALES}


def test_locations_are_cells_of_the_map(images: torch.Tensor) -> None:
    model = build_model(CONFIGS["how"])
    found = model.extract_local(images[:1], scales=(1.0,), max_features=10_000)
    _, _, height, width = model.features(images[:1]).shape
    cells = {(x, y) for x in range(width) for y in range(height)}
    assert set(map(tuple, found.locations.int().tolist())) == cells
    assert found.strengths[0] == 1


def test_one_pass_gives_both(model: RetrievalModel, images: torch.Tensor) -> None:
    local, vectors = model.extract(
        images, scales=SCALES, max_features=20, global_scales=(1.0, 0.5), power=2.0
    )
    expected = model.extract_global(images, scales=(1.0, 0.5), power=2.0)
    torch.testing.assert_close(vectors, expected)
    if model.local_dim is None:
        assert local is None
        with pytest.raises(TypeError, match="local"):
            model.extract_local(images, scales=SCALES, max_features=20)
    else:
        alone = model.extract_local(images, scales=SCALES, max_features=20)
        torch.testing.assert_close(local.descriptors, alone.descriptors)


def test_training_descriptor_is_the_extracted_one(
    model: RetrievalModel, images: torch.Tensor
) -> None:
    torch.testing.assert_close(model(images), model.extract_global(images, scales=(1.0,)))


def test_every_trained_parameter_gets_a_gradient(images: torch.Tensor) -> None:
    for config in CONFIGS.values():
        model = build_model(config).train()
        target = torch.randn(3, model.global_dim, generator=torch.Generator().manual_seed(2))
        (model(images) * target).sum().backward()
        for name, weight in model.named_parameters():
            assert (weight.grad is not None) == weight.requires_grad, name
            assert not weight.requires_grad or weight.grad.isfinite().all(), name


def test_local_whitening_is_not_trained_but_that_of_gem_is() -> None:
    trained = {m: build_model(CONFIGS[m]).whitening.weight.requires_grad for m in ("how", "gem")}
    assert trained == {"how": False, "gem": True}


def test_super_features(images: torch.Tensor) -> None:
    model = build_model(CONFIGS["fire"])
    features, attention, strengths = model.super_features(images)
    cells = model.features(images).shape[2:].numel()
    assert features.shape == (3, 12, 16)
    assert attention.shape == (3, 12, cells)
    torch.testing.assert_close(features.norm(dim=2), torch.ones(3, 12))
    torch.testing.assert_close(attention.sum(2), torch.ones(3, 12))
    assert (strengths > 0).all()
    (features[:, 0].sum() + attention[:, :, 0].sum()).backward()
    assert all(p.grad is not None for p in model.lit.parameters())


def test_batch_norm_keeps_its_statistics_in_training(images: torch.Tensor) -> None:
    model = build_model(CONFIGS["how"]).train()
    before = {k: v.clone() for k, v in model.state_dict().items() if "running" in k}
    model(images)
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in before.items())


def test_power_of_the_networks_own_pooling(images: torch.Tensor) -> None:
    plain = GlobalConfig(p=2.5, whitening=False)
    for method, dim, power in (("gem", 16, 2.5), ("embedding", None, 2.5), ("embedding", 16, 1.0)):
        model = build_model(ModelConfig(method=method, pooled=plain, **SMALLER | {"dim": dim}))
        own = model.extract_global(images, scales=SCALES, power=None)
        torch.testing.assert_close(own, model.extract_global(images, scales=SCALES, power=power))


def test_seed_alone_decides_the_weights() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, same, other = (build_model(CONFIGS["fire"], seed=s).state_dict() for s in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected), "the global random state was used"
    assert all(torch.equal(one[k], same[k]) for k in one)
    assert not torch.equal(one["lit.templates_init"], other["lit.templates_init"])


def test_bundle_round_trip_is_exact(
    model: RetrievalModel, images: torch.Tensor, tmp_path: Path
) -> None:
    save_model(model, ArtifactDirectory(tmp_path))
    loaded = load_model(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.json", "model.safetensors"]
    assert loaded.config == model.config
    assert not loaded.training
    assert torch.equal(loaded(images), model(images))


def test_whitening_from_its_inputs(images: torch.Tensor) -> None:
    for config in CONFIGS.values():
        model = build_model(config)
        if not model.needs_whitening:
            with pytest.raises(TypeError, match="no whitening"):
                model.initialise_whitening(torch.randn(9, 128))
            continue
        vectors = torch.cat([model.whitening_inputs(images + shift) for shift in (0, 1, 2)])
        model.initialise_whitening(vectors)
        with torch.no_grad():
            whitened = model.whitening(vectors)
        covariance = np.cov(whitened.numpy().T, bias=True)
        varies = np.diag(covariance) > 0.5
        np.testing.assert_allclose(whitened.mean(0).numpy(), 0, atol=1e-2)
        np.testing.assert_allclose(np.diag(covariance)[varies], 1, atol=2e-2)


def test_whitening_inputs_come_strongest_first(local_model: RetrievalModel) -> None:
    image = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(3))
    rows = local_model.whitening_inputs(image)
    found = local_model.extract_local(image, scales=(1.0,), max_features=5)
    with torch.no_grad():
        torch.testing.assert_close(
            local_model.whitening(rows[:5]), found.descriptors, atol=1e-4, rtol=1e-4
        )


@pytest.mark.parametrize("name", ["how", "gem"])
def test_more_dimensions_than_channels_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"model\.dim: 129 is more than the 128"):
        build_model(CONFIGS[name].model_copy(update={"dim": 129}))


def test_even_smoothing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"model\.smoothing: 4"):
        build_model(CONFIGS["how"].model_copy(update={"smoothing": 4}))


def test_smoothing_off(images: torch.Tensor) -> None:
    model = build_model(CONFIGS["how"].model_copy(update={"smoothing": 0}))
    rows = model.whitening_inputs(images[:1])
    maps = model.features(images[:1])
    strongest = maps[0].flatten(1).norm(dim=0).argmax()
    torch.testing.assert_close(rows[0], maps[0].flatten(1)[:, strongest])
