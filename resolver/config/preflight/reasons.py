"""Whether clients that read structured errors get what the configuration says.

Enters: a configuration without mistakes. Leaves: warnings alone: a block is a block without its reason. Rules:

- `explained` replaces the stop page for clients that get JSON, and nothing else (docs/people.md).
- The JSON names a contact where it is a mailbox or an international telephone number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resolver.config.finding import Finding
from resolver.config.values import contact_uri

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resolver.config.schema import Config


def reasons(config: Config) -> Iterator[Finding]:
    for at, source in enumerate(config.lists):
        key = f"lists[{at}].explained"
        if "explained" in source.model_fields_set and source.explain == "text":
            wrong = "has no effect with explain: text; explain: json, or none of both, would be right"
            yield Finding(key, wrong, fatal=False)
        elif source.explained not in ("stop-page", source.action) and source.action != "stop-page":
            wrong = f"has no effect with action: {source.action}; it replaces the stop page, and nothing else"
            yield Finding(key, wrong, fatal=False)
    asked = [source.name for source in config.lists if source.explain == "json"]
    contact = config.provider.contact
    if asked and contact_uri(contact or "") is None:
        there = "is missing" if contact is None else f"{contact!r} is no mailbox and no international telephone number"
        wrong = f"{there}: the structured errors of {', '.join(asked)} name nobody to ask"
        right = "block@isp.example or +49 30 123456 would be right"
        yield Finding("provider.contact", f"{wrong}; {right}", fatal=False)
