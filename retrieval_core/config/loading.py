"""YAML files and `key.path=value` overrides become a checked `PipelineConfig`."""

import difflib
import types
import typing
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from retrieval_core.config.pipeline import PipelineConfig
from retrieval_core.errors import ConfigError


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> PipelineConfig:
    """Read one experiment.

    Args:
        path: YAML file; its key `extends` names a file that it refines, relative to itself.
        overrides: `key.path=value` strings, the value in YAML, applied last.

    Raises:
        ConfigError: a file is missing or not YAML, or a key or value is unacceptable; the message
            names the key's path, the value and what would be accepted.
    """
    tree = _read_with_parents(Path(path), seen=())
    for override in overrides:
        tree = _merge(tree, _parse_override(override))
    return parse_config(tree)


def parse_config(tree: dict[str, Any]) -> PipelineConfig:
    """Check a tree of plain values, as a form or a YAML file gives it (errors as `load_config`)."""
    try:
        return PipelineConfig.model_validate(tree)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(dict(e)) for e in error.errors())) from None


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
    tree = _read_yaml(path)
    parent = tree.pop("extends", None)
    if parent is None:
        return tree
    return _merge(_read_with_parents(path.parent / str(parent), (*seen, path)), tree)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the configuration {path}: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: expected keys and values, found {type(tree).__name__}")
    return tree


def _parse_override(text: str) -> dict[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError(f"override {text!r}: expected key.path=value")
    try:
        tree: Any = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"override {text!r}: {value!r} is not YAML: {error}") from None
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


def _explain(error: dict[str, Any]) -> str:
    path = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{path}: unknown key; {_suggest(error['loc'])}"
    if error["type"] == "value_error":
        return f"{path or 'configuration'}: {error['ctx']['error']}"
    return f"{path}: {error['msg']}, not {error['input']!r}"


def _suggest(location: tuple[str | int, ...]) -> str:
    known = list(_section(location[:-1]).model_fields)
    return _nearest(location[-1], known, "known keys")


def _nearest(name: object, known: Iterable[str], kind: str = "known") -> str:
    close = difflib.get_close_matches(str(name), known, n=1)
    return f"did you mean '{close[0]}'?" if close else f"{kind}: {', '.join(known)}"


def _section(location: tuple[str | int, ...]) -> type[BaseModel]:
    section: type[BaseModel] = PipelineConfig
    for part in location:
        annotation = section.model_fields[str(part)].annotation
        if typing.get_origin(annotation) in (typing.Union, types.UnionType):
            annotation = typing.get_args(annotation)[0]
        section = typing.cast(type[BaseModel], annotation)
    return section
