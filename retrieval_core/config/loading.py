"""YAML files and `key.path=value` overrides become a checked `PipelineConfig`."""

import difflib
import types
import typing
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from retrieval_core.config.pipeline import PipelineConfig
from retrieval_core.errors import ConfigError

Schema = TypeVar("Schema", bound=BaseModel)


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> PipelineConfig:
    """Read one experiment.

    Args:
        path: YAML file; its key `extends` names a file that it refines, relative to itself.
        overrides: `key.path=value` strings, the value in YAML, applied last.

    Raises:
        ConfigError: a file is missing or not YAML, or a key or value is unacceptable; the message
            names the key's path, the value and what would be accepted.
    """
    return refine_file(Path(path), map(parse_override, overrides))


def parse_config(tree: dict[str, Any]) -> PipelineConfig:
    """Check a tree of plain values, as a form or a YAML file gives it (errors as `load_config`)."""
    return check_tree(PipelineConfig, tree)


def refine_file(path: Path, refinements: Iterable[dict[str, Any]]) -> PipelineConfig:
    """An experiment's file with trees of settings put over it, the last one last.

    Raises:
        ConfigError: as `load_config`.
    """
    tree = _read_with_parents(path, seen=())
    for refinement in refinements:
        tree = _merge(tree, refinement)
    return parse_config(tree)


def check_tree(schema: type[Schema], tree: dict[str, Any]) -> Schema:
    """Plain values as an object of a schema (errors as `load_config`)."""
    try:
        return schema.model_validate(tree)
    except ValidationError as error:
        told = (_explain(dict(each), schema) for each in error.errors())
        raise ConfigError("\n".join(told)) from None


def refine_config(tree: dict[str, Any], configs: Path) -> PipelineConfig:
    """Check settings that may refine a configuration by name, as a form gives them.

    Args:
        tree: settings as in a YAML file, but `extends` names a file in `configs` without ".yaml".
        configs: directory of the configurations.

    Raises:
        ConfigError: as `load_config`.
    """
    name = tree.get("extends")
    if name is None:
        return parse_config({key: value for key, value in tree.items() if key != "extends"})
    known = {path.stem: path for path in sorted(configs.glob("*.yaml"))}
    if name not in known:
        raise ConfigError(
            f"extends: no configuration {name!r} in {configs}; {_nearest(name, known)}"
        )
    base = _read_with_parents(known[name], seen=())
    return parse_config(_merge(base, {k: v for k, v in tree.items() if k != "extends"}))


def dump_config(config: BaseModel) -> str:
    """The fully resolved settings as YAML that `load_config` reads back to an equal object."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def _read_with_parents(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    path = path.resolve()
    if path in seen:
        raise ConfigError(f"extends goes in a circle: {' -> '.join(str(p) for p in (*seen, path))}")
    tree = read_yaml(path)
    parent = tree.pop("extends", None)
    if parent is None:
        return tree
    return _merge(_read_with_parents(path.parent / str(parent), (*seen, path)), tree)


def read_yaml(path: Path) -> dict[str, Any]:
    """Keys and values of a file.

    Raises:
        ConfigError: it cannot be read, is not YAML, or says something twice.
    """
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeys)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the configuration {path}: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: expected keys and values, found {type(tree).__name__}")
    return tree


class _UniqueKeys(yaml.SafeLoader):
    """Refuses a key that is there twice, where PyYAML would silently keep the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := [key for number, key in enumerate(keys) if key in keys[:number]]:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {twice[0]!r} is there twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


def parse_override(text: str) -> dict[str, Any]:
    """The tree of a `key.path=value` (errors as `load_config`)."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError(f"override {text!r}: expected key.path=value")
    try:
        return nested(key, yaml.safe_load(value))
    except yaml.YAMLError as error:
        raise ConfigError(f"override {text!r}: {value!r} is not YAML: {error}") from None


def nested(key: str, value: Any) -> dict[str, Any]:
    """The tree that has the value at a dotted key."""
    tree = value
    for part in reversed(key.split(".")):
        tree = {part: tree}
    return typing.cast(dict[str, Any], tree)


def _merge(base: dict[str, Any], refinement: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in refinement.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def _explain(error: dict[str, Any], schema: type[BaseModel]) -> str:
    path = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{path}: unknown key; {_suggest(error['loc'], schema)}"
    if error["type"] == "missing":
        return f"{path}: missing"
    if error["type"] == "value_error":
        return f"{path or 'configuration'}: {error['ctx']['error']}"
    return f"{path}: {error['msg']}, not {error['input']!r}"


def _suggest(location: tuple[str | int, ...], schema: type[BaseModel]) -> str:
    known = list(_section(location[:-1], schema).model_fields)
    return _nearest(location[-1], known, "known keys")


def _nearest(name: object, known: Iterable[str], kind: str = "known") -> str:
    close = difflib.get_close_matches(str(name), known, n=1)
    return f"did you mean '{close[0]}'?" if close else f"{kind}: {', '.join(known)}"


def _section(location: tuple[str | int, ...], schema: type[BaseModel]) -> type[BaseModel]:
    section = schema
    for part in location:
        annotation = section.model_fields[str(part)].annotation
        if typing.get_origin(annotation) in (typing.Union, types.UnionType):
            annotation = typing.get_args(annotation)[0]
        section = typing.cast(type[BaseModel], annotation)
    return section
