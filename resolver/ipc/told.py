"""What another process says of itself in a file of `run_dir`: one frozen model a file, the only form that is believed.

Enters: the octets of a file. Leaves: a value, or one sentence why it cannot be right. Rules: whose process parses
strangers' packets may be another's by now, so every number has its bounds, and nothing is guessed; a key that is not
known is of another version, and is passed over.
"""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import ConfigDict, Field, ValidationError

from resolver.base.stored import Stored, first_fault

Count = Annotated[int, Field(ge=0, lt=1 << 63)]
"""What SQLite can hold, as every text of JSON."""


class Told(Stored):
    """Base of these models."""

    model_config = ConfigDict(extra="ignore", strict=True)


Kind = TypeVar("Kind", bound=Told)


def parse(data: bytes, kind: type[Kind]) -> Kind:
    """Raises `ValueError` with a sentence that holds nothing of the file."""
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        raise ValueError(first_fault(error)) from None
