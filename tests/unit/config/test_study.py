import pytest

from retrieval_core.config import built_in_study, load_config, load_study
from retrieval_core.errors import ConfigError

EXPERIMENT = "name: cars\nmodel: {method: gem, weights: hub}\ntraining: {epochs: 7, flip: 0.1}\n"
OTHER = "extends: base.yaml\nname: other\nmodel: {method: embedding}\n"


@pytest.fixture
def write(tmp_path):
    (tmp_path / "base.yaml").write_text(EXPERIMENT)
    (tmp_path / "other.yaml").write_text(OTHER)

    def _write(text):
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        return path

    return _write


def test_rows_change_the_base_or_extend_another_experiment(write):
    study = load_study(
        write(
            "base: base.yaml\n"
            "rows:\n"
            "  plain: {}\n"
            "  short: {training.epochs: 1, training: {flip: 0.9}}\n"
            "  other: {extends: other.yaml, model.dim: null}\n"
        )
    )
    assert study.name == "mine"
    assert [(name, row.name) for name, row in study.rows.items()] == [
        ("plain", "mine-plain"),
        ("short", "mine-short"),
        ("other", "mine-other"),
    ]
    plain, short, other = study.rows.values()
    assert plain.model_dump(exclude={"name"}) == load_config(
        write("extends: base.yaml")
    ).model_dump(exclude={"name"})
    assert (short.training.epochs, short.training.flip, short.model) == (1, 0.9, plain.model)
    assert (other.model.method, other.model.dim, other.training) == (
        "embedding",
        None,
        plain.training,
    )


def test_overrides_come_before_what_a_row_changes(write):
    path = write("base: base.yaml\nrows: {plain: {}, short: {training.epochs: 1}}")
    plain, short = load_study(path, ["training.epochs=3", "seed=5"]).rows.values()
    assert (plain.training.epochs, plain.seed) == (3, 5)
    assert (short.training.epochs, short.seed) == (1, 5)


def test_the_stages_are_without_weights_without_training_and_as_it_is(write):
    write("")
    folder = write("").parent
    study = built_in_study("stages", folder / "base.yaml", ["training.epochs=4"])
    assert study.name == "cars-stages"
    assert {name: (row.model.weights, row.training.epochs) for name, row in study.rows.items()} == {
        "untrained": ("none", 0),
        "pretrained": ("hub", 0),
        "fine-tuned": ("hub", 4),
    }


def test_without_training_there_is_nothing_fine_tuned(write):
    study = built_in_study("stages", write("extends: base.yaml\ntraining: {epochs: 0}"))
    assert list(study.rows) == ["untrained", "pretrained"]


@pytest.mark.parametrize(
    ("settings", "overrides", "weight"),
    [
        ("{kind: batch_hard_triplet}", [], 1.0),
        ("{kind: batch_hard_triplet, auxiliary: {weight: 0.3}}", [], 0.3),
        ("{kind: batch_hard_triplet}", ["training.loss.auxiliary.weight=0"], 0.0),
    ],
)
def test_the_first_branch_classifies_where_images_are_labelled(write, settings, overrides, weight):
    path = write(
        "extends: base.yaml\nmodel: {method: cgd}\n"
        f"training: {{sampling: {{kind: classes}}, loss: {settings}}}"
    )
    study = built_in_study("cgd", path, overrides)
    assert {row.training.loss.auxiliary.weight for row in study.rows.values()} == {weight}


def test_every_set_of_branches_has_each_of_them_once_as_the_first(write):
    study = built_in_study("cgd", write("extends: base.yaml\ntraining: {epochs: 2}"))
    assert {row.model.method for row in study.rows.values()} == {"cgd"}
    found = [row.model.cgd.combination for row in study.rows.values()]
    assert found == list(study.rows)
    sets = {frozenset(name) for name in found}
    assert sets == {frozenset(name) for name in ("S", "M", "G", "SM", "SG", "MG", "SMG")}
    classifying = [(name[0], frozenset(name)) for name in found]
    assert len(classifying) == 12
    assert set(classifying) == {(first, members) for members in sets for first in members}


def test_some_rows_are_chosen_in_the_order_of_the_study(write):
    study = built_in_study("cgd", write("extends: base.yaml"))
    assert list(study.only(["SMG", "S"]).rows) == ["S", "SMG"]
    assert study.only([]) == study
    with pytest.raises(ConfigError, match=r"no row 'X' in cars-cgd: \['S', 'M'"):
        study.only(["S", "X"])


@pytest.mark.parametrize(
    ("changes", "loss"),
    [
        ("method: how}\ntraining: {refit_whitening: true", ("contrastive", 0.7)),
        ("method: fire}\ntraining: {refit_whitening: true", ("contrastive", 0.7)),
        (
            "method: fire}\ntraining: {loss: {kind: super_feature, margin: 1.1}",
            ("contrastive", 0.8),
        ),
        (
            "method: gem, weights: hub, pooled: {learned_whitening: multi_scale}}\n"
            "training: {epochs: 1",
            ("contrastive", 0.7),
        ),
        ("method: embedding}\ntraining: {loss: {kind: triplet}", ("triplet", 0.7)),
    ],
)
def test_the_branches_of_cgd_take_an_experiment_of_another_method(write, changes, loss):
    (write("").parent / "base.yaml").write_text("training: {loss: {margin: 0.7}}")
    study = built_in_study("cgd", write(f"extends: base.yaml\nmodel: {{{changes}}}"))
    trainings = [row.training for row in study.rows.values()]
    assert {(t.loss.kind, t.loss.margin, t.refit_whitening) for t in trainings} == {(*loss, False)}
    assert {row.model.pooled.learned_whitening for row in study.rows.values()} == {"none"}


BAD = {
    "unknown key": ("base: base.yaml\nrow: {a: {}}", ["row: unknown key; did you mean 'rows'?"]),
    "no rows": ("base: base.yaml", ["rows: missing"]),
    "empty": ("base: base.yaml\nrows: {}", ["rows: ", "at least 1"]),
    "two rows of one name": (
        "base: base.yaml\nrows:\n  a: {}\n  a: {seed: 1}",
        ["the key 'a' is there twice", "line 3"],
    ),
    "a name that no run can have": ("base: base.yaml\nrows: {a b: {}}", ["rows.a b", "pattern"]),
    "not settings": ("base: base.yaml\nrows: {a: 3}", ["rows.a: ", "not 3"]),
    "missing base": ("base: absent.yaml\nrows: {a: {}}", ["row 'a'", "absent.yaml"]),
    "no base": ("rows: {a: {seed: 1}}", ["row 'a'", "base", "extends", "found None"]),
    "missing experiment of a row": (
        "base: base.yaml\nrows: {a: {}, b: {extends: nowhere.yaml}}",
        ["row 'b'", "nowhere.yaml"],
    ),
    "unknown setting": (
        "base: base.yaml\nrows: {a: {}, b: {training.epoch: 3}}",
        ["row 'b': training.epoch: unknown key; did you mean 'epochs'"],
    ),
    "out of range": (
        "base: base.yaml\nrows: {a: {training.flip: 2}}",
        ["row 'a': training.flip: ", "not 2"],
    ),
    "settings that contradict each other": (
        "base: base.yaml\nrows: {a: {training.loss.kind: super_feature}}",
        ["row 'a'", "needs model.method 'fire'"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_studies_name_the_row_and_the_key(write, case):
    text, messages = BAD[case]
    with pytest.raises(ConfigError) as error:
        load_study(write(text))
    for message in messages:
        assert message in str(error.value)


def test_a_bad_override_is_an_error(write):
    path = write("base: base.yaml\nrows: {a: {}}")
    with pytest.raises(ConfigError, match=r"expected key\.path=value"):
        load_study(path, ["training.epochs"])
    with pytest.raises(ConfigError, match=r"row 'a': training\.epochs: .* not -1"):
        load_study(path, ["training.epochs=-1"])
