"""Names and arguments of pytorch-metric-learning are checked with the configuration."""

import pytest
import torch

from retrieval_core.config import parse_config
from retrieval_core.errors import ConfigError


def parse(**library):
    loss = {"kind": "library", "library": library}
    return parse_config({"training": {"sampling": {"kind": "classes"}, "loss": loss}})


@pytest.mark.parametrize(
    "library",
    [
        {},
        {"name": "ProxyAnchorLoss", "arguments": {"margin": 0.2, "alpha": 16}},
        {"name": "MarginLoss", "arguments": {"learn_beta": True}},
        {"name": "TripletMarginLoss", "miner": "BatchHardMiner", "memory": 512},
        {
            "miner": "TripletMarginMiner",
            "miner_arguments": {"margin": 0.1, "type_of_triplets": "semihard"},
        },
        {"miner": "BatchEasyHardMiner", "miner_arguments": {"allowed_pos_range": [0.2, 1.0]}},
    ],
)
def test_what_the_library_takes_is_accepted(library):
    given = parse(**library).training.loss.library.model_dump(exclude_unset=True)
    assert given == library


@pytest.mark.parametrize(
    ("library", "told"),
    [
        ({"name": "ProxyAnchor"}, "'ProxyAnchor'; did you mean 'ProxyAnchorLoss'"),
        ({"name": "Foo"}, "accepted: AngularLoss, ArcFaceLoss"),
        ({"name": "VICRegLoss"}, "VICRegLoss is left out, it learns without labels; accepted"),
        ({"name": "GenericPairLoss"}, "no 'GenericPairLoss'"),
        ({"arguments": {"alfa": 2}}, "takes no 'alfa'; did you mean 'alpha'"),
        ({"arguments": {"x": 2}}, "takes no 'x'; accepted: alpha, beta, base"),
        ({"arguments": {"alpha": "two"}}, "alpha is a number such as 2, not 'two'"),
        ({"arguments": {"alpha": True}}, "alpha is a number such as 2, not True"),
        ({"name": "ArcFaceLoss", "arguments": {"num_classes": 7}}, "takes no 'num_classes'"),
        ({"name": "RankedListLoss"}, "RankedListLoss.*'margin' and 'Tn'"),
        ({"miner": "HardMiner"}, "no 'HardMiner'; did you mean 'BatchHardMiner'"),
        (
            {"miner": "TripletMarginMiner", "miner_arguments": {"type_of_triplets": "semi"}},
            "one of .*'semihard'.*not 'semi'",
        ),
        (
            {"miner": "BatchEasyHardMiner", "miner_arguments": {"pos_strategy": "mean"}},
            "pos_strategy must be one of",
        ),
        ({"miner_arguments": {"margin": 0.1}}, "need a library.miner"),
        ({"name": "PNPLoss", "miner": "BatchHardMiner"}, "refuses.*PNPLoss.*BatchHard"),
        ({"name": "ProxyAnchorLoss", "memory": 64}, "ProxyAnchorLoss has none; accepted: Angular"),
    ],
)
def test_what_it_does_not_take_is_refused_with_what_it_would(library, told):
    with pytest.raises(ConfigError, match=r"(?s)^training\.loss: library.*" + told):
        parse(**library)


def test_a_loss_that_is_not_used_is_not_looked_up():
    assert parse_config({"training": {"loss": {"library": {"name": "Foo"}}}})


def test_looking_up_draws_no_global_random_number():
    state = torch.get_rng_state()
    parse(name="ProxyAnchorLoss", miner="DistanceWeightedMiner")
    assert torch.equal(torch.get_rng_state(), state)
