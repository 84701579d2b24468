import pytest

from retrieval_core.config import dump_config, load_config, parse_config
from retrieval_core.errors import ConfigError


def test_every_step_is_a_config_entry(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(
        "postprocessing: {whitening: {kind: learned, dimensions: 128}, "
        "query_expansion: {kind: alpha, neighbours: 10, alpha: 3}}"
    )
    config = load_config(path, ["postprocessing.reranking.kind=diffusion"])
    steps = config.postprocessing
    assert steps.is_on and steps.database_augmentation is None
    assert steps.whitening.dimensions == 128 and steps.query_expansion.alpha == 3
    assert steps.reranking.neighbours == steps.reranking.diffusion.neighbours == 50
    path.write_text(dump_config(config))
    assert load_config(path) == config
    assert not parse_config({}).postprocessing.is_on


def test_k_reciprocal_needs_as_many_neighbours_as_its_larger_k():
    def needed(**sizes):
        tree = {"postprocessing": {"reranking": {"k_reciprocal": sizes}}}
        return parse_config(tree).postprocessing.reranking.neighbours

    assert needed(neighbours=20, expansion=6) == 20
    assert needed(neighbours=2, expansion=6) == 5


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"whitenin": {}}, "postprocessing.whitenin: unknown key; did you mean 'whitening'"),
        (
            {"whitening": {"kind": "ica"}},
            "postprocessing.whitening.kind: .* 'pca' or 'learned', not 'ica'",
        ),
        ({"whitening": {"dimensions": 0}}, "postprocessing.whitening.dimensions: .*, not 0"),
        ({"query_expansion": {"neighbours": 0}}, "query_expansion.neighbours: .*, not 0"),
        ({"reranking": {"diffusion": {"alpha": 1}}}, "reranking.diffusion.alpha: .* less than 1"),
        ({"reranking": {"k_reciprocal": {"weight": 2}}}, "k_reciprocal.weight: .*, not 2"),
    ],
)
def test_mistakes_are_named(tree, message):
    with pytest.raises(ConfigError, match=message):
        parse_config({"postprocessing": tree})


def test_a_whitening_is_not_fitted_to_a_benchmark_without_training_images():
    def tree(**whitening):
        roxford5k = {"kind": "benchmark", "benchmark": {"name": "roxford5k"}}
        return {"dataset": roxford5k, "postprocessing": {"whitening": whitening}}

    with pytest.raises(ConfigError, match="roxford5k has none: name others as postprocessing"):
        parse_config(tree())
    others = {"kind": "benchmark", "benchmark": {"name": "sfm30k-whiten"}}
    parse_config(tree(dataset=others))
    parse_config({**tree(), "training": {"dataset": others}})
