import pytest

from retrieval_core.config import PipelineConfig, dump_config, load_config, parse_config
from retrieval_core.errors import ConfigError


@pytest.fixture
def write(tmp_path):
    def _write(name, text):
        path = tmp_path / name
        path.write_text(text)
        return path

    return _write


def test_a_file_refines_the_one_that_it_extends(write):
    write("base.yaml", "name: base\nmodel: {method: how, dim: 64}\n")
    path = write("child.yaml", "extends: base.yaml\nmodel: {method: fire}\n")
    config = load_config(path)
    assert (config.name, config.model.method, config.model.dim) == ("base", "fire", 64)


def test_overrides_come_last_and_are_yaml(write):
    path = write("a.yaml", "training: {epochs: 3}\n")
    config = load_config(path, ["training.epochs=7", "features.scales=[1, 0.5]", "model.dim=null"])
    assert config.training.epochs == 7
    assert config.features.scales == (1.0, 0.5)
    assert config.model.dim is None


def test_a_dumped_configuration_reads_back_equal(write):
    config = parse_config({"name": "x", "training": {"dataset": {"kind": "demo"}}})
    assert load_config(write("dump.yaml", dump_config(config))) == config


def test_an_empty_file_is_the_default_experiment(write):
    assert load_config(write("empty.yaml", "")) == PipelineConfig()


BAD = {
    "unknown key": ("model: {bakbone: x}", "model.bakbone: unknown key; did you mean 'backbone'"),
    "unknown key without likeness": ("zzz: 1", "zzz: unknown key; known keys: name, seed"),
    "unknown key in an optional section": (
        "training: {dataset: {knd: demo}}",
        "training.dataset.knd: unknown key; did you mean 'kind'",
    ),
    "wrong type": ("seed: many", "seed: Input should be a valid integer"),
    "out of range": ("training: {flip: 2}", "training.flip: Input should be less than or equal"),
    "not a choice": ("model: {method: sift}", "'cgd' or 'embedding', not 'sift'"),
    "no rank": ("evaluation: {kappas: []}", "evaluation.kappas"),
    "rank below 1": ("evaluation: {kappas: [0]}", "greater than or equal to 1"),
    "rankings shorter than their ranks": (
        "evaluation: {kappas: [1, 8], top_k: 2}",
        "evaluation: top_k 2 ends rankings before rank 8 of kappas",
    ),
    "rankings shorter than mAP@k": (
        "evaluation: {map_at: 100, top_k: 50}",
        "top_k 50 ends rankings before rank 100 of map_at",
    ),
    "crops without boxes": (
        "dataset: {kind: benchmark, benchmark: {name: roxford5k, crop_to_box: true}}",
        "the images of roxford5k have no boxes, those of cars196",
    ),
    "classes without labels": (
        "dataset: {kind: benchmark, benchmark: {name: oxford5k, validation_classes: 3}}",
        "validation_classes: oxford5k is not learned from by classes",
    ),
    "combination": (
        "training: {loss: {kind: super_feature}}\nmodel: {method: how}",
        "needs model.method 'fire', not 'how'",
    ),
    "a branch that is not there": (
        "training: {sampling: {kind: classes}, loss: {kind: point_to_set, auxiliary: {weight: 1}}}",
        "needs model.method 'cgd', not 'how'",
    ),
    "a branch that tuples do not train": (
        "training: {loss: {auxiliary: {weight: 1}}}\nmodel: {method: cgd}",
        "loss.auxiliary.weight above 0 needs batches",
    ),
    "mining of batches that are not drawn": (
        "training: {sampling: {mining: global}}",
        "sampling.mining 'global' is for sampling.kind classes and triplets",
    ),
    "a memory smaller than the batch": (
        "training: {sampling: {kind: classes, classes: 16, images: 4}, "
        "loss: {kind: library, library: {memory: 8}}}",
        "loss.library.memory 8 is less than a batch of 64",
    ),
    "a whitening that is not there": (
        "training: {refit_whitening: true}\nmodel: {method: embedding}",
        "a network of method 'embedding' has no whitening",
    ),
    "crops larger than the network's squares": (
        "training: {sampling: {kind: classes}, loss: {kind: batch_hard_triplet}, "
        "augmentation: {side: 256}}\nmodel: {method: embedding, input: {size: 224}}",
        "training.augmentation.side 256 is more than the 224 pixels of model.input.size",
    ),
    "batches of images of any size": (
        "training: {sampling: {kind: classes}, loss: {kind: batch_hard_triplet}, "
        "augmentation: {crop: false}}\nmodel: {method: embedding}",
        "training.augmentation.crop is off: model.input.size has to say what square",
    ),
    "missing path": ("dataset: {kind: folder}", "needs folder.path or folder.table"),
    "not yaml": ("a: [", "is not YAML"),
    "not a mapping": ("- 1", "expected keys and values, found list"),
    "a key twice": ("seed: 1\nseed: 2", "the key 'seed' is there twice"),
    "a key twice in a section": ("model:\n  dim: 1\n  dim: 2", "the key 'dim' is there twice"),
    "circle": ("extends: bad.yaml", "extends goes in a circle"),
    "missing parent": ("extends: nowhere.yaml", "cannot read the configuration"),
    "bad name": ("name: 'a b'", "name: String should match pattern"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_name_the_key_the_value_and_what_would_do(write, case):
    text, message = BAD[case]
    with pytest.raises(ConfigError) as error:
        load_config(write("bad.yaml", text))
    assert message in str(error.value)


@pytest.mark.parametrize("override", ["training.epochs", "=3", "seed=[", "seed.x=1"])
def test_bad_overrides_are_errors(write, override):
    with pytest.raises(ConfigError):
        load_config(write("a.yaml", "seed: 1"), [override])


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match=r"absent\.yaml"):
        load_config(tmp_path / "absent.yaml")


def test_every_setting_says_what_it_is_for():
    undocumented = [path for path, field in _leaves(PipelineConfig) if not field.description]
    assert undocumented == []


def _leaves(section, prefix=""):
    for name, field in section.model_fields.items():
        fields = getattr(field.annotation, "model_fields", None)
        if fields:
            yield from _leaves(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field
