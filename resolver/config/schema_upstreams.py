"""The `dns.upstreams` of the configuration: resolvers that are asked, in clear or over TLS alone.

Enters: an address as text, or a mapping with `tls`. Leaves: one frozen `Upstream`. Rules: without a port it is 53, over
TLS 853; over TLS something must prove who answers, and there is no way back to plain DNS.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any

from pydantic import BeforeValidator, GetJsonSchemaHandler, ValidationInfo, field_validator, model_validator

from resolver.base.proven import PORT, Proof
from resolver.config.values import FilePath, Listen, Name, Part, upstream_address

_STRING = {"type": "string"}
_PIN = "the SHA-256 of a public key in Base64 (44 characters)"


def _pin(value: object) -> str:
    text = value.removeprefix("sha256/") if isinstance(value, str) else ""
    try:
        pin = base64.b64decode(text, validate=True)
    except binascii.Error:
        pin = b""
    if len(pin) != 32:
        raise ValueError(f"{value!r} is no pin; {_PIN} would be right")
    return base64.b64encode(pin).decode()


Pin = Annotated[str, BeforeValidator(_pin)]


class UpstreamTls(Part):
    """DNS over TLS (RFC 7858) to it, and how it proves who it is: by its certificate's name, by pins, or by both."""

    name: Name | None = None  # what its certificate must say
    ca: FilePath | None = None  # PEM: the roots that may have signed it; none: those of this system
    pins: list[Pin] = []  # of its key; with pins alone its certificate may have any name and any end

    @model_validator(mode="after")
    def _proves(self) -> UpstreamTls:
        if self.name is None and not self.pins:
            raise ValueError("proves nothing; the name in its certificate, or pins of its key, would be right")
        if self.name is None and self.ca is not None:
            raise ValueError("has ca without a name; the name in its certificate would be right")
        return self

    @property
    def proof(self) -> Proof:
        return Proof(self.name, self.ca, frozenset(base64.b64decode(pin) for pin in self.pins))


class Upstream(Part):
    """One of them. Prints as its address."""

    tls: UpstreamTls | None = None  # before the address, whose usual port depends on it
    address: Listen

    @model_validator(mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return {"address": upstream_address(value, default_port=53)} if isinstance(value, str) else value

    @field_validator("address", mode="before")
    @classmethod
    def _with_port(cls, value: Any, given: ValidationInfo) -> Any:
        port = 53 if given.data.get("tls") is None else PORT
        return upstream_address(value, default_port=port) if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [_STRING, handler.resolve_ref_schema(handler(core_schema))]}

    @property
    def host(self) -> str:
        return self.address.host

    @property
    def port(self) -> int:
        return self.address.port

    @property
    def proof(self) -> Proof | None:
        """What it must prove; none: it is asked in clear."""
        return None if self.tls is None else self.tls.proof

    def __str__(self) -> str:
        return str(self.address)
