"""Reading a configuration so that one look shows every mistake.

Enters: a YAML file and the model it must fit. Leaves: the model, or `ConfigError` whose problems are sorted by line,
each `file:line: key: what is wrong, what would be right`. The file is composed into nodes first, since only nodes know
lines; keys given twice, values that do not fit, and parts that contradict each other are gathered before anything is
raised.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from resolver.errors import ResolverError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Contradictions = Callable[[Any], Iterator[tuple["Key", str]]]

Key = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)
_WANTED = {
    "i": "a whole number",
    "f": "a whole number",
    "b": "true or false",
    "s": "a text (in quotes where it looks like a number)",
}
_BOUNDS = {"greater_than_equal": ("ge", "too small; at least"), "less_than_equal": ("le", "too large; at most")}
LARGEST = 1 << 20  # bytes; a configuration is written by people


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake: `line` counts from 1, 0 where the file as a whole is meant."""

    line: int
    key: str
    message: str
    file: Path

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else f"{self.file}"
        return f"{place}: {self.key}: {self.message}" if self.key else f"{place}: {self.message}"


class ConfigError(ResolverError):
    """A configuration is wrong: `problems` has every mistake, the text has one a line."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))

    @classmethod
    def about(cls, file: Path, message: str) -> ConfigError:
        return cls([Problem(0, "", message, file)])


def read(path: Path) -> bytes:
    """What the file holds."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError.about(path, f"cannot be read ({error.strerror})") from error
    if len(data) > LARGEST:
        raise ConfigError.about(path, f"has {len(data)} bytes; a configuration has at most {LARGEST}")
    return data


def parse(data: bytes, path: Path, model: type[Model], contradictions: Contradictions | None = None) -> Model:
    """The model that `data` holds; `path` is named in messages, and relative paths in it are relative to its folder."""
    reader = _Reader(path)
    raw = reader.read(data)
    problems = reader.problems
    result: Model | None = None
    try:
        result = model.model_validate(raw, context={"folder": path.absolute().parent})
    except ValidationError as error:
        for item in error.errors(include_url=False):
            key: Key = item["loc"]
            problems.append(Problem(reader.line(key), _shown(key), _sentence(item, key, model), path))
    for key, message in contradictions(raw) if contradictions else ():
        problems.append(Problem(reader.line(key), _shown(key), message, path))
    if problems or result is None:
        raise ConfigError(problems)
    return result


class _Reader:
    """YAML nodes to plain values, remembering the line of each key."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[Problem] = []
        self._lines: dict[Key, int] = {(): 1}

    def read(self, data: bytes) -> Any:
        try:
            self._loader = yaml.SafeLoader(data)
            node = self._loader.get_single_node()
            return {} if node is None else self._plain(node, (), ())
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            about = " ".join(part for part in (error.context, error.problem) if part)
            line = mark.line + 1 if mark else 0
            raise ConfigError([Problem(line, "", f"is not YAML: {about}", self.path)]) from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ConfigError.about(self.path, f"is not YAML: {str(error).splitlines()[0]}") from error

    def line(self, key: Key) -> int:
        while key not in self._lines:
            key = key[:-1]
        return self._lines[key]

    def _plain(self, node: yaml.Node, key: Key, above: tuple[int, ...]) -> Any:
        self._lines.setdefault(key, node.start_mark.line + 1)
        if id(node) in above or len(above) > 32:
            self.problems.append(Problem(node.start_mark.line + 1, _shown(key), "contains itself", self.path))
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, key, (*above, id(node)))
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(item, (*key, at), (*above, id(node))) for at, item in enumerate(node.value)]
        try:
            return self._loader.construct_object(node)
        except ValueError as error:  # a date that is none, as in 2026-02-30
            raise yaml.MarkedYAMLError(problem=str(error), problem_mark=node.start_mark) from error

    def _mapping(self, node: yaml.MappingNode, key: Key, above: tuple[int, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name_node, value_node in node.value:
            line = name_node.start_mark.line + 1
            if not isinstance(name_node, yaml.ScalarNode):
                self.problems.append(Problem(line, _shown(key), "has a key that is not a word", self.path))
                continue
            name: str = name_node.value
            if name in found:
                message = f"is given twice, first in line {self._lines[(*key, name)]}; once would be right"
                self.problems.append(Problem(line, _shown((*key, name)), message, self.path))
                continue
            self._lines[(*key, name)] = line
            found[name] = self._plain(value_node, (*key, name), above)
        return found


def _shown(key: Key) -> str:
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _sentence(item: Any, key: Key, model: type[BaseModel]) -> str:
    """What is wrong and what would be right, in our words: this is where pydantic's are translated."""
    kind, context, given = item["type"], item.get("ctx", {}), item.get("input")
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(str(key[-1]), _keys(model, key[:-1]), 1)
        return f"is not a key here; {near[0]} would be right" if near else "is not a key here"
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        return f"{given!r} is not one of {context['expected']}"
    if kind in {"model_type", "model_attributes_type", "dict_type"}:
        return "is not a set of keys with values"
    if kind == "too_short":
        return f"is empty; at least {context['min_length']} would be right"
    if kind == "too_long":
        return f"has {context['actual_length']} items; at most {context['max_length']} would be right"
    if kind == "list_type":
        return "is not a list; a list in [brackets] or with hyphens would be right"
    if kind.startswith(("int_", "finite_number", "bool_", "string_type")):
        return f"{given!r} is not {_WANTED[kind[0]]}"
    if kind in _BOUNDS:
        limit, words = _BOUNDS[kind]
        unit = "s" if isinstance(given, float) else ""  # it is a time
        return f"{given:g}{unit} is {words} {context[limit]:g}{unit} would be right"
    return f"{given!r} is not what belongs here"


def _keys(model: type[BaseModel], key: Key) -> list[str]:
    """The keys that may stand at `key`."""
    here: type[BaseModel] | None = model
    for part in key:
        if here is None or isinstance(part, int):
            continue
        field = here.model_fields.get(part)
        here = _model_in(field.annotation) if field else None
    return list(here.model_fields) if here else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for found in map(_model_in, get_args(annotation)) if found), None)
