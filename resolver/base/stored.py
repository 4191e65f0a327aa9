"""State files: one frozen pydantic model a JSON file, replaced durably.

Enters: a model, or a path. Leaves: the file, or the model; `StateError` where the file is damaged or cannot be read,
`None` where there is none. Rule: a file with an unknown key is damaged, or a newer program's; nothing is guessed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from blocklists import durable
from resolver.base.errors import ResolverError

if TYPE_CHECKING:
    from pathlib import Path


class StateError(ResolverError):
    """A file of the state directory cannot be read or understood."""


class Stored(BaseModel):
    """Base of stored values: frozen; an unknown key is damage, or a newer program's file."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Kind = TypeVar("Kind", bound=Stored)


def load(path: Path, kind: type[Kind]) -> Kind | None:
    """The value in `path`; None where there is no file. Raises `StateError` where it is damaged or cannot be read."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateError(f"{path} cannot be read ({error.strerror})", hint="its owner is the steward's user") from error
    except ValidationError as error:
        raise StateError(f"{path} is damaged ({first_fault(error)})", hint="restore it from a backup") from error


def first_fault(error: ValidationError) -> str:
    """What is wrong first, and where; nothing of the value."""
    first, *_ = error.errors(include_url=False, include_context=False, include_input=False)
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else first["msg"]


def store(path: Path, value: Stored) -> None:
    durable.replace(path, value.model_dump_json(indent=1).encode() + b"\n")
