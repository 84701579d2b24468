import jsonschema
import pytest
import yaml
from prefect.utilities.schema_tools.validation import is_valid_schema, validate

from flows.experiment import form_schema, read_configs, read_experiment
from flows.extract import extract
from flows.pipeline import pipeline
from retrieval_core.config import PipelineConfig, load_config
from retrieval_core.errors import ConfigError


@pytest.fixture
def configs(tmp_path, monkeypatch):
    (tmp_path / "base.yaml").write_text(
        "{name: base, seed: 3, model: {method: gem, dim: 32}, features: {scales: [1.0, 0.5]}}"
    )
    (tmp_path / "child.yaml").write_text("{extends: base.yaml, name: child, asmk: {alpha: 2}}")
    monkeypatch.setenv("RETRIEVAL_CONFIGS", str(tmp_path))
    return tmp_path


def _fields(schema, path=()):
    for name, field in schema.get("properties", {}).items():
        yield (*path, name), field
        for section in (field, *field.get("anyOf", [])):
            yield from _fields(section, (*path, name))


def test_a_configuration_stays_what_it_is():
    config = PipelineConfig(name="mine")
    assert read_experiment(config) is config
    assert read_experiment(config.model_dump(mode="json")) == config


def test_settings_refine_a_configuration_by_name_as_in_yaml(configs):
    changes = {"seed": 7, "model": {"dim": 16}, "features": {"scales": [2.0]}}
    (configs / "yaml.yaml").write_text(yaml.safe_dump({"extends": "child.yaml", **changes}))
    assert read_experiment({"extends": "child", **changes}) == load_config(configs / "yaml.yaml")


def test_what_is_not_said_is_as_in_the_chosen_configuration(configs):
    assert read_experiment({"extends": "child"}) == load_config(configs / "child.yaml")
    assert read_experiment({}) == PipelineConfig()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"extends": "chlid"}, "did you mean 'child'?"),
        ({"extends": "../child"}, "no configuration '../child'"),
        ({"asmk": {"alfa": 1}}, "asmk.alfa: unknown key; did you mean 'alpha'?"),
        ({"extends": "child", "model": {"dim": 1}}, "model.dim"),
        ({"training": {"loss": {"kind": "super_feature"}}}, "needs model.method 'fire'"),
        ("child", "expected keys and values, found str"),
    ],
)
@pytest.mark.usefixtures("configs")
def test_mistakes_read_as_they_do_in_the_shell(settings, message):
    with pytest.raises(ConfigError) as error:
        read_experiment(settings)
    assert message in str(error.value)
    with pytest.raises(ConfigError) as in_a_flow:
        pipeline.validate_parameters({"config": settings})
    assert str(in_a_flow.value) == str(error.value)


def test_a_flow_gets_the_checked_settings(configs):
    given = extract.validate_parameters({"config": {"extends": "child"}})
    assert given["config"] == load_config(configs / "child.yaml")


def test_the_form_offers_the_configurations_first(configs):
    fields = form_schema()["properties"]
    assert next(iter(fields)) == "extends"
    assert fields["extends"]["enum"] == ["base", "child"]


def test_the_form_of_a_deployment_is_this_schema():
    config = pipeline.parameters.properties["config"]
    assert config["properties"] == form_schema()["properties"]
    assert is_valid_schema(pipeline.parameters.model_dump()) is None


def test_every_setting_is_in_the_form_with_its_meaning():
    fields = dict(_fields(form_schema()))
    for path, field in fields.items():
        assert len(field.get("description", "")) > 5, path
        assert "likewise" not in field["description"], f"{path}: the form shows it alone"
        assert field.get("title"), path
    assert fields["model", "lit", "templates"]["maximum"] == 4096
    assert fields["model", "method"]["enum"] == ["how", "fire", "gem", "cgd", "embedding"]


def test_numbers_tell_their_limits():
    fields = dict(_fields(form_schema()))
    assert "at least 200, at most 100,000" in fields["dataset", "demo", "views"]["description"]
    assert "at least 0.125, at most 4" in fields["features", "scales"]["description"]


def test_an_untouched_form_says_nothing():
    """A default would be sent for it, and a switch sends "off"."""
    for path, field in _fields(form_schema()):
        assert "default" not in field, path
        assert "required" not in field, path
        assert field.get("type") != "boolean", path
        assert "$ref" not in str(field), path


@pytest.mark.parametrize(
    "settings",
    [
        {"extends": "child", "asmk": {"binary": False}, "training": {"dataset": None}},
        {"model": {"mean": [0.5, 0.5, 0.5], "dim": None}, "features": {"scales": [1, 0.5]}},
        PipelineConfig().model_dump(mode="json"),
    ],
)
@pytest.mark.usefixtures("configs")
def test_the_form_accepts_what_a_configuration_may_say(settings):
    assert validate(settings, form_schema()) == []
    read_experiment(settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"asmk": {"alpha": 0}},
        {"asmk": {"binary": "perhaps"}},
        {"asmk": {"alfa": 1}},
        {"features": {"scales": []}},
        {"features": {"scales": [9]}},
        {"model": {"mean": [0.5]}},
        {"model": {"method": "sift"}},
        {"extends": "absent"},
    ],
)
@pytest.mark.usefixtures("configs")
def test_the_form_refuses_what_a_configuration_refuses(settings):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(settings, form_schema())
    with pytest.raises(ConfigError):
        read_experiment(settings)


def test_a_flawed_configuration_is_named_and_not_offered(configs):
    (configs / "broken.yaml").write_text("{name: broken, model: [")
    (configs / "wrong.yaml").write_text("{extends: base.yaml, asmk: {alfa: 2}}")
    offered, flaws = read_configs(configs)
    assert offered == ["base", "child"]
    assert list(flaws) == ["broken.yaml", "wrong.yaml"]
    assert "broken.yaml is not YAML" in flaws["broken.yaml"]
    assert "did you mean 'alpha'?" in flaws["wrong.yaml"]
    field = form_schema()["properties"]["extends"]
    assert field["enum"] == ["base", "child"]
    assert "broken.yaml, wrong.yaml" in field["description"]
