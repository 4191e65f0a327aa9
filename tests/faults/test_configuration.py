"""A configuration in which every value is wrong: each is named, in one report, and nothing is started."""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from pydantic import BaseModel

from resolver.config import Config, ConfigError, load

if TYPE_CHECKING:
    from pathlib import Path


class Wrong:
    """No value of any kind is this text: not a path (it has a zero octet), not a number, not one of the words."""

    value = "\0 wrong"


def ruined(model: type[BaseModel], at: str = "") -> tuple[dict[str, Any], list[str]]:
    """A tree with every field of the model, all wrong, and the key of each."""
    tree: dict[str, Any] = {}
    keys: list[str] = []
    for name, field in model.model_fields.items():
        where = f"{at}.{name}" if at else name
        inner, listed = _model(field.annotation)
        if inner is None:
            tree[name] = [Wrong.value] if listed else Wrong.value
            keys.append(f"{where}[0]" if listed else where)
            continue
        part, below = ruined(inner, f"{where}[0]" if listed else where)
        tree[name] = [part] if listed else part
        keys += below
    return tree, keys


def _model(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """The model in a field's type, and whether it is a list of them (or of anything)."""
    listed = typing.get_origin(annotation) is list
    for one in (annotation, *typing.get_args(annotation)):
        if isinstance(one, type) and issubclass(one, BaseModel):
            return one, listed
    return None, listed


def test_every_field_is_wrong_and_every_field_is_named(tmp_path: Path) -> None:
    tree, keys = ruined(Config)
    path = tmp_path / "stopsign.yaml"
    path.write_text(yaml.safe_dump(tree))
    with pytest.raises(ConfigError) as caught:
        load(path)
    named = {problem.key for problem in caught.value.problems}
    assert len(keys) > 100
    assert sorted(set(keys) - named) == []
    assert all(problem.line > 0 and problem.message for problem in caught.value.problems)
