"""Reading a configuration so that one look shows every mistake.

Enters: a YAML file and the model it must fit. Leaves: a `Reading`: the model, or every mistake, each as `file:line:
key: what is wrong, what would be right`; and the line of each key, for later findings. The file is composed into nodes
first, since only nodes know lines. Duplicate keys, values that do not fit, and contradictions are collected.
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from resolver.base.errors import ResolverError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    Contradictions = Callable[[Any], Iterator[tuple["Key", str]]]

Key = tuple[str | int, ...]
Level = Literal["mistake", "error", "warning", "untried"]
Model = TypeVar("Model", bound=BaseModel)
_WANTED = {
    "i": "a whole number",
    "f": "a whole number",
    "b": "true or false",
    "s": "a text (in quotes where it looks like a number)",
}
_BOUNDS = {"greater_than_equal": ("ge", "too small; at least"), "less_than_equal": ("le", "too large; at most")}
LONGEST_SHOWN = 80  # characters of a value in what would be right
LARGEST = 1 << 20  # bytes; a configuration is written by people


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """What is to be said of one key: `line` counts from 1, 0 where the file as a whole is meant. A mistake is one of
    the file; an error does not work here and now."""

    line: int
    key: str
    message: str
    file: Path
    level: Level = "mistake"

    def __str__(self) -> str:
        return f"{self.sentence} (a warning)" if self.level == "warning" else self.sentence

    @property
    def sentence(self) -> str:
        """For a line that says the level itself."""
        place = f"{self.file}:{self.line}" if self.line else f"{self.file}"
        return f"{place}: {self.key}: {self.message}" if self.key else f"{place}: {self.message}"

    def as_dict(self) -> dict[str, Any]:
        return {
            "file": str(self.file), "line": self.line or None, "key": self.key, "level": self.level,
            "text": self.message,
        }  # fmt: skip


class ConfigError(ResolverError):
    """A configuration is wrong: `problems` has every mistake, by line; the text has one a line, warnings last."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        said = sorted(self.problems, key=lambda one: one.level == "warning")
        super().__init__("\n".join(map(str, said)))

    @classmethod
    def about(cls, file: Path, message: str) -> ConfigError:
        return cls([Problem(0, "", message, file)])


@dataclass(frozen=True, slots=True)
class Lines:
    """Where each key of a file stands."""

    file: Path
    of: Mapping[Key, int]

    def line(self, key: Key) -> int:
        """The line of a key; of its parent if the key itself is not written."""
        while key and key not in self.of:
            key = key[:-1]
        return self.of.get(key, 0)

    def problem(self, shown: str, message: str, level: Level = "mistake") -> Problem:
        """With its line. `shown`: a key as `lists[0].name`; empty: the file."""
        key = tuple(int(at) if at else name for at, name in re.findall(r"\[(\d+)\]|([^.\[\] ]+)", shown))
        return Problem(self.line(key) if key else 0, shown, message, self.file, level)


@dataclass(frozen=True, slots=True)
class Reading(Generic[Model]):
    """What a file says. `value`: None where there are problems; `raw`: its plain values; `wrong`: the keys of the
    problems."""

    value: Model | None
    raw: Any
    lines: Lines
    problems: tuple[Problem, ...]
    wrong: frozenset[Key]


def read(path: Path) -> bytes:
    """What the file holds."""
    try:
        data = path.read_bytes()
    except OSError as error:
        unread = ConfigError.about(path, f"cannot be read ({error.strerror})")
        if isinstance(error, FileNotFoundError):
            unread.hint = "--config FILE names another, --dir DIR its folder"
        raise unread from error
    if len(data) > LARGEST:
        raise ConfigError.about(path, f"has {len(data)} bytes; a configuration has at most {LARGEST}")
    return data


def parse(data: bytes, path: Path, model: type[Model], contradictions: Contradictions) -> Reading[Model]:
    """The model that `data` holds; `path` is named in messages, and relative paths in it are relative to its folder.
    Raises `ConfigError` where it is not YAML."""
    reader = _Reader(path)
    raw = reader.read(data)
    result: Model | None = None
    try:
        result = fitted(raw, path, model)
    except ValidationError as error:
        for item in error.errors(include_url=False):
            key = _written(raw, item["loc"], missing=item["type"] == "missing")
            reader.wrong(key, _sentence(item, key, model))
    for key, message in contradictions(raw):
        reader.wrong(key, message)
    return Reading(
        None if reader.problems else result, raw, reader.lines, tuple(reader.problems), frozenset(reader.keys)
    )


def fitted(raw: Any, path: Path, model: type[Model]) -> Model:
    """Plain values of the file `path` as the model."""
    return model.model_validate(raw, context={"folder": path.absolute().parent})


class _Reader:
    """YAML nodes to plain values, remembering the line of each key."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[Problem] = []
        self.keys: set[Key] = set()
        """Of the problems."""
        self._lines: dict[Key, int] = {(): 1}
        self.lines = Lines(path, self._lines)

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

    def wrong(self, key: Key, message: str, line: int | None = None) -> None:
        self.keys.add(key)
        self.problems.append(Problem(line or self.lines.line(key), _shown(key), message, self.path))

    def _plain(self, node: yaml.Node, key: Key, above: tuple[int, ...]) -> Any:
        self._lines.setdefault(key, node.start_mark.line + 1)
        if id(node) in above or len(above) > 32:
            self.wrong(key, "contains itself", node.start_mark.line + 1)
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
                self.wrong(key, "has a key that is not a word", line)
                continue
            name: str = name_node.value
            if name in found:
                message = f"is given twice, first in line {self._lines[(*key, name)]}; once would be right"
                self.wrong((*key, name), message, line)
                continue
            self._lines[(*key, name)] = line
            found[name] = self._plain(value_node, (*key, name), above)
        return found


def _written(raw: Any, loc: Key, *, missing: bool) -> Key:
    """The part of pydantic's place that stands in the file: without the names it gives to the sides of a choice."""
    key: list[int | str] = []
    for at, part in enumerate(loc):
        inside = raw if isinstance(raw, (dict, list)) else ()
        there = part in inside if isinstance(inside, dict) else isinstance(part, int) and part < len(inside)
        if there:
            raw = raw[part]
        elif not (missing and at == len(loc) - 1):
            continue
        key.append(part)
    return tuple(key)


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
        return f"is not a set of keys with values{_as_set(given, _model_at(model, key) if key else None)}"
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
        return f"{float(given):g}{unit} is {words} {context[limit]:g}{unit} would be right"
    return f"{given!r} is not what belongs here"


def _as_set(given: Any, model: type[BaseModel] | None) -> str:
    """What would be right: the keys that must stand there, else the first one. A list of texts is shown at the only key
    that must be there, where that is a list."""
    if model is None:
        return ""
    fields = model.model_fields
    needed = [name for name, field in fields.items() if field.is_required()]
    value = "…"
    texts = isinstance(given, list) and given and all(isinstance(one, str) for one in given)
    if texts and [get_origin(fields[name].annotation) for name in needed] == [list]:
        value = json.dumps(given) if sum(map(len, given)) <= LONGEST_SHOWN else "[…]"
    return f"; {{{', '.join(f'{name}: {value}' for name in needed or list(fields)[:1])}}} would be right"


def _keys(model: type[BaseModel], key: Key) -> list[str]:
    """The keys that may stand at `key`."""
    here = _model_at(model, key)
    return list(here.model_fields) if here else []


def _model_at(model: type[BaseModel], key: Key) -> type[BaseModel] | None:
    """What the keys below `key` belong to; None where it has none."""
    here: type[BaseModel] | None = model
    for part in key:
        if here is None or isinstance(part, int):
            continue
        field = here.model_fields.get(part)
        here = _model_in(field.annotation) if field else None
    return here


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for found in map(_model_in, get_args(annotation)) if found), None)
