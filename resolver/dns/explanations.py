"""How a list explains its blocks to clients that read structured errors: JSON in the text of the extended error.

Enters: the configuration, what the compiled list's `meta` says of each list. Leaves: parts of JSON objects, which the
core joins for an entry (`core/dnscore/src/answer/explained.rs`). The drafts, which this file follows and nothing else
knows beside the core's `wire/structured.rs`:

- draft-ietf-dnsop-structured-dns-error-27: I-JSON (RFC 7493), minified. `c` contacts, of `tel:` and `mailto:` alone;
  `j` the justification; `o` who filters; `l` the language of both, required beside either; `s` the sub-error, an
  integer, and never with Censored (16).
- draft-nottingham-public-resolver-errors-02: `fdbs`, the entry in a public database. The reference is the entry, the
  portal's look-up the database; the client has the URI from a registry, by `db`.

A text in `j` and `o` is as the issuer and the provider wrote it, and says nothing to do.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from resolver.config.values import contact_uri

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from resolver._core import Explanation
    from resolver.config.schema import Config
    from resolver.config.schema_lists import ListSource
    from resolver.policy.description import Basis, LiveList

# Section 11.3 of the first draft: sub-errors, and the reasons that they go with.
SUB_ERRORS = {"malware": 1, "phishing": 2, "spam": 3, "spyware": 4}
NETWORK_OPERATOR_POLICY = 5
WITH_SUB_ERRORS = ("blocked", "filtered")
TEMPLATE = "/?name={id}"  # of the portal: its look-up finds a reference


def explanations(config: Config, lists: Iterable[LiveList]) -> list[Explanation | None]:
    """By the core's indices; None: the list explains itself in plain text to everybody."""
    sources = {source.name: source for source in config.lists if source.explain == "json"}
    return [None if (source := sources.get(one.name)) is None else _of(config, source, one.bases) for one in lists]


def _of(config: Config, source: ListSource, bases: Mapping[str, Basis]) -> Explanation:
    coded = SUB_ERRORS if source.reason in WITH_SUB_ERRORS else {}
    return {
        "action": None if source.explained == "stop-page" else source.explained,
        "bases": {key: _beginnings(config, basis) for key, basis in bases.items()},
        "categories": {category: _sub_error(code) for category, code in coded.items()},
        "otherwise": _sub_error(NETWORK_OPERATOR_POLICY) if source.reason == "blocked" else b"",
        "around": (_text(f'"fdbs":[{{"db":{_json(database(config))},"id":"'), b'"}]}'),
    }


def database(config: Config) -> str:
    """The operator's id in the registry of filtering databases."""
    return config.provider.filtering_database or config.portal_host


def _beginnings(config: Config, basis: Basis) -> tuple[bytes, bytes]:
    """The members before the sub-error: whole, and without justification and organization."""
    contact = contact_uri(config.provider.contact or "")
    short: dict[str, Any] = {"c": [contact]} if contact else {}
    said = [text for text in (basis.authority, basis.law, basis.order) if text]
    long = short | ({"j": ", ".join(said)} if said else {})
    long |= {"o": config.provider_name, "l": config.provider.language}
    return _members(long), _members(short)


def _sub_error(code: int) -> bytes:
    return _text(f'"s":{code},')


def _members(members: Mapping[str, Any]) -> bytes:
    """The opening brace and these members, each with its comma."""
    return _text("{" + "".join(f"{_json(key)}:{_json(value)}," for key, value in members.items()))


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _text(text: str) -> bytes:
    return text.encode()
