"""The configuration that flows take, and the browser form that is made from it."""

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, GetJsonSchemaHandler
from pydantic_core import CoreSchema

from retrieval_core.config import PipelineConfig, load_config, refine_config
from retrieval_core.errors import ConfigError

PROJECT_CONFIGS = Path(__file__).parents[1] / "configs"
# A form leaves out what nobody touched: defaults and required fields would say otherwise.
LEFT_OUT = ("default", "required")
# Keyword of a limit and how it is told; the form refuses other values but does not show it.
LIMITS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}
Schema = dict[str, Any]


def configs_directory() -> Path:
    """Holds the configurations that a form offers: `$RETRIEVAL_CONFIGS`, else the project's."""
    return Path(os.environ.get("RETRIEVAL_CONFIGS", PROJECT_CONFIGS)).expanduser().resolve()


def read_configs(directory: Path) -> tuple[list[str], dict[str, str]]:
    """The configurations of a directory.

    Returns:
        Names of those that an experiment may extend; and what is wrong with the others, by file
        name.
    """
    offered, flawed = [], {}
    for path in sorted(directory.glob("*.yaml")):
        try:
            load_config(path)
            offered.append(path.stem)
        except ConfigError as error:
            flawed[path.name] = str(error)
    return offered, flawed


def read_experiment(value: Any) -> PipelineConfig:
    """The checked settings, as code or a form gives them.

    Args:
        value: a `PipelineConfig`, or plain values as in a YAML file, where `extends` is one of
            those in `configs_directory()`.

    Raises:
        ConfigError: as `load_config`.
    """
    if isinstance(value, PipelineConfig):
        return value
    if not isinstance(value, dict):
        raise ConfigError(f"config: expected keys and values, found {type(value).__name__}")
    return refine_config(value, configs_directory())


def form_schema() -> Schema:
    """JSON schema of the form: that of `PipelineConfig`, but an empty field means "as it was".

    It starts with the configuration to refine, and needs nothing filled in.
    """
    schema = PipelineConfig.model_json_schema()
    form = _field("config", schema, schema.pop("$defs"))
    meaning = "configuration to start from; what is left empty below is as it says"
    offered, flawed = read_configs(configs_directory())
    if flawed:
        meaning += f" (not offered, since they have mistakes: {', '.join(flawed)})"
    choice = {
        "title": "Extends",
        "description": meaning,
        "type": "string",
        "enum": offered,
    }
    return {**form, "properties": {"extends": choice, **form["properties"]}}


def _field(name: str, schema: Schema, definitions: Schema) -> Schema:
    """The schema of one setting or section, without references to others."""
    if reference := schema.get("$ref"):
        section = definitions[reference.rpartition("/")[2]]
        own = {key: value for key, value in schema.items() if key != "$ref"}
        return _field(name, {**section, **own}, definitions)
    field = {key: value for key, value in schema.items() if key not in LEFT_OUT}
    if "properties" in field:
        members = field["properties"].items()
        field["properties"] = {key: _field(key, value, definitions) for key, value in members}
    if "anyOf" in field:
        field["anyOf"] = [_field(name, choice, definitions) for choice in field["anyOf"]]
    if field.get("type") == "boolean":
        # a switch would send "off" where nobody touched it
        del field["type"]
        field["enum"] = [True, False]
    if "properties" in field or "anyOf" in field:
        field["title"] = name.replace("_", " ").capitalize()
    return _with_limits(field)


def _with_limits(field: Schema) -> Schema:
    """Tell the limits of a number, or of the numbers in a list, where one reads its meaning."""
    numbers = [field, field.get("items", {}), *field.get("anyOf", [])]
    limits = [f"{word} {n[key]:,}" for n in numbers for key, word in LIMITS.items() if key in n]
    if not limits or "description" not in field:
        return field
    return {**field, "description": f"{field['description']} ({', '.join(limits)})"}


class _FormSchema:
    """Puts `form_schema()` in the place of the schema that pydantic would derive."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> Schema:
        return form_schema()


Experiment = Annotated[PipelineConfig, BeforeValidator(read_experiment), _FormSchema()]
