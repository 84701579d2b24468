"""Folded batch-norm computes the same, and frozen layers are the first ones."""

import re

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from retrieval_core.config import ModelConfig
from retrieval_core.errors import ConfigError
from retrieval_core.models import build_model
from retrieval_core.training import folding
from retrieval_core.training.folding import folded_batch_norm
from retrieval_core.training.freezing import first_layers, freeze_first_layers, start_learning


def network(backbone):
    """With batch-norms as they are after training."""
    config = ModelConfig(method="embedding", backbone=backbone, dim=8)
    model = build_model(config).double().train()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, _BatchNorm):
                module.running_mean.normal_(0, 0.1, generator=generator)
                module.running_var.uniform_(0.5, 2, generator=generator)
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.normal_(0, 0.1, generator=generator)
    return model


def learn(model):
    """Embeddings and gradients."""
    model.zero_grad()
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)).double()
    embeddings = model(images)
    embeddings[:, 0].sum().backward()
    return embeddings.detach(), {name: p.grad.clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize(
    ("backbone", "folded"), [("mobilenet_v2", 52), ("resnet18", 20), ("tf_efficientnet_lite0", 44)]
)
def test_the_network_and_its_gradients_stay_the_same(backbone, folded):
    model = network(backbone)
    names = list(model.state_dict())
    expected, gradients = learn(model)
    with folded_batch_norm(model) as count:
        found, same = learn(model)
    assert count == folded
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    for name, gradient in gradients.items():
        assert (same[name] - gradient).norm() <= 1e-9 * gradient.norm() + 1e-12, name
    again, _ = learn(model)
    assert torch.equal(again, expected)
    assert list(model.state_dict()) == names


def test_a_network_of_one_input_size_is_probed_at_that_size():
    config = ModelConfig(
        method="embedding", backbone="mobilenet_v2", dim=8, input={"size": 96, "fit": "refuse"}
    )
    with folded_batch_norm(build_model(config).train()) as folded:
        assert folded > 0


def test_batch_norm_that_learns_is_not_folded():
    model = network("resnet18")
    start_learning(model, "learned")
    with folded_batch_norm(model) as count:
        assert count == 0


def test_nothing_is_folded_where_it_would_not_be_the_same(model, monkeypatch):
    monkeypatch.setattr(folding, "_behind", lambda norm, maps: 2 * maps)
    with folded_batch_norm(model.train()) as count:
        assert count == 0
        assert "forward" not in vars(model.features[0])


def test_an_error_unfolds(model):
    with pytest.raises(KeyError), folded_batch_norm(model.train()) as count:
        assert count == 1
        raise KeyError
    assert "forward" not in vars(model.features[0])


@pytest.mark.parametrize(
    ("backbone", "layers"),
    [("mobilenet_v2", 19), ("resnet18", 10), ("vit_tiny_patch16_224", 14), ("vit_b_16", 14)],
)
def test_blocks_count_one_by_one(backbone, layers):
    model = build_model(ModelConfig(method="embedding", backbone=backbone, dim=8))
    assert len(first_layers(model.features)) == layers


@pytest.mark.parametrize("backbone", ["vit_tiny_patch16_224", "vit_b_16"])
def test_the_first_layers_and_a_transformers_positions_are_frozen(backbone):
    model = build_model(ModelConfig(method="embedding", backbone=backbone, dim=8))
    freeze_first_layers(model, 6)
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    numbered = re.compile(r"(?:blocks\.|encoder_layer_)(\d+)")
    blocks = {int(found[1]) for name in learning if (found := numbered.search(name))}
    assert 0 < min(blocks) < max(blocks) == 11
    inputs = ("pos_embed", "cls_token", "class_token")
    assert not any(part in name for name in learning for part in inputs)


def test_more_layers_than_there_are_cannot_be_frozen(model):
    freeze_first_layers(model, 0)
    assert all(p.requires_grad for p in model.parameters())
    with pytest.raises(ConfigError, match=r"frozen_layers: .* has 2 layers, not 4"):
        freeze_first_layers(model, 4)
    assert isinstance(model.features, nn.Sequential)
