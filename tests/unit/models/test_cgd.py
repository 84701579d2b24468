"""The combination of global descriptors against its equations, written out slowly."""

import itertools
import typing

import pytest
import torch

from retrieval_core.config import CgdConfig, ModelConfig
from retrieval_core.config.model import Combination
from retrieval_core.errors import ConfigError
from retrieval_core.models import RetrievalModel, build_model
from retrieval_core.models.cgd import split_dimensions

IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def network(combination: str, dim: int | None = 12, **settings: object) -> RetrievalModel:
    cgd = CgdConfig(combination=combination, **settings)
    return build_model(
        ModelConfig(method="cgd", backbone="resnet18", skip_layer=2, dim=dim, cgd=cgd), seed=1
    )


def pooled(letter: str, maps: torch.Tensor, p: float) -> torch.Tensor:
    rows = []
    for image in maps:
        cells = image.flatten(1).T
        if letter == "S":
            rows.append(sum(cells) / len(cells))
        elif letter == "M":
            rows.append(torch.stack([column.max() for column in cells.T]))
        else:
            rows.append((sum(cell.clamp(min=1e-6) ** p for cell in cells) / len(cells)) ** (1 / p))
    return torch.stack(rows)


def test_every_ordered_choice_of_branches_is_a_combination() -> None:
    choices = {"".join(letters) for n in (1, 2, 3) for letters in itertools.permutations("SMG", n)}
    assert set(typing.get_args(Combination)) == choices
    with pytest.raises(ValueError, match="combination"):
        CgdConfig(combination="SS")


@pytest.mark.parametrize("combination", typing.get_args(Combination))
@torch.no_grad()
def test_descriptor_is_the_joined_normalised_branches(combination: str) -> None:
    model = network(combination, p=2.0)
    maps = model.features(IMAGES)
    branches = [
        pooled(letter, maps, 2.0) @ projection.weight.T
        for letter, projection in zip(combination, model.projections, strict=True)
    ]
    joined = torch.cat([b / b.norm(dim=1, keepdim=True) for b in branches], dim=1)
    expected = joined / joined.norm(dim=1, keepdim=True)

    vectors, first = model.branches(IMAGES)

    torch.testing.assert_close(vectors, expected)
    torch.testing.assert_close(first, branches[0])
    assert first.shape[1] == model.first_dim == 12 // len(combination)


@torch.no_grad()
def test_negative_components_are_kept_in_branches_of_equal_norm() -> None:
    vectors = network("SMG", dim=96)(IMAGES)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))
    for branch in vectors.split(32, dim=1):
        torch.testing.assert_close(branch.norm(dim=1), torch.full((2,), 3**-0.5))
        assert 0.2 < (branch < -1e-3).float().mean() < 0.8


def test_the_first_branch_is_what_comes_first() -> None:
    forward, back = network("SM"), network("MS")
    back.projections.load_state_dict(
        {f"{1 - i}.weight": forward.projections[i].weight for i in range(2)}
    )
    back.features.load_state_dict(forward.features.state_dict())
    (ours, mean), (theirs, largest) = forward.branches(IMAGES), back.branches(IMAGES)
    torch.testing.assert_close(ours, theirs.roll(6, dims=1))
    assert not torch.allclose(mean, largest)


def test_the_first_branch_alone_learns_from_the_classification() -> None:
    model = network("SG").train()
    _, first = model.branches(IMAGES)
    first.square().sum().backward()
    assert model.projections[0].weight.grad is not None
    assert model.projections[1].weight.grad is None


def test_dimensions_that_do_not_divide_go_to_the_first_branches() -> None:
    assert split_dimensions(128, 3) == [43, 43, 42]
    assert split_dimensions(1536, 3) == [512, 512, 512]
    model = network("GSM", dim=11)
    assert model(IMAGES).shape == (2, 11)
    assert [p.out_features for p in model.projections] == [4, 4, 3]
    assert network("SMG", dim=None).global_dim == 128
    with pytest.raises(ConfigError, match=r"model\.dim: 2 is less than the 3 branches"):
        network("SMG", dim=2)


def test_exponent_is_fixed_unless_it_is_to_be_learned() -> None:
    for learn_p in (False, True):
        model = network("MG", p=2.5, learn_p=learn_p)
        assert model.poolings[1].p.item() == 2.5
        assert model.poolings[1].p.requires_grad == learn_p


def test_resnet_keeps_its_resolution_between_stages_3_and_4() -> None:
    config = ModelConfig(method="cgd", backbone="resnet50", dim=8, keep_resolution=True)
    model = build_model(config)
    images = torch.zeros(1, 3, 96, 96)
    assert model.feature_maps(images).shape == (1, 2048, 6, 6)
    strided = {n for n, m in model.features.named_modules() if getattr(m, "stride", 1) == (2, 2)}
    assert not any(name.startswith("7.") for name in strided)
    assert any(name.startswith("6.") for name in strided)
