"""A configuration in which every value is wrong: each is named, in one report, and nothing is started."""

from __future__ import annotations

import typing
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from pydantic import BaseModel

from resolver.config.schema import Config, ConfigError, load

if TYPE_CHECKING:
    from pathlib import Path


# No value of any kind is this text: not a path (it has a zero octet), not a number, not one of the words.
WRONG = "\0 wrong"
# Wrong for most fields, each in a way of its own.
ODD: list[Any] = [
    WRONG,
    None,
    "",
    "no such word",
    -1,
    0,
    10**30,
    1.5,
    float("nan"),
    True,
    [],
    {},
    [[]],
    "0s",
    "-5m",
    "99999999d",
    date(2026, 11, 1),
]
# What pydantic says of its own accord.
FOREIGN = ("should", "Input", "Value error", "validation", "is not what belongs here", "valid ", "pydantic")


def ruined(model: type[BaseModel], at: str = "", wrong: object = WRONG) -> tuple[dict[str, Any], list[str]]:
    """A tree with every field of the model, all wrong, and the key of each."""
    tree: dict[str, Any] = {}
    keys: list[str] = []
    for name, field in model.model_fields.items():
        where = f"{at}.{name}" if at else name
        inner, listed = _model(field.annotation)
        if inner is None:
            tree[name] = [wrong] if listed else wrong
            keys.append(f"{where}[0]" if listed else where)
            continue
        part, below = ruined(inner, f"{where}[0]" if listed else where, wrong)
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


@pytest.mark.parametrize("wrong", ODD, ids=repr)
def test_every_mistake_is_told_in_our_own_words(tmp_path: Path, wrong: object) -> None:
    tree, _ = ruined(Config, wrong=wrong)
    path = tmp_path / "stopsign.yaml"
    path.write_text(yaml.safe_dump(tree))
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert len(caught.value.problems) > 20
    foreign = [str(problem) for problem in caught.value.problems if any(word in problem.message for word in FOREIGN)]
    assert foreign == []
