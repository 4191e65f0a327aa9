"""Help lines for who meets a block of a sealed list: where the provider's configuration names none for its category.

They are such that hold all over Europe; a provider names those of its country (`provider.help_lines`), which come in
their place.
"""

from __future__ import annotations

from dataclasses import dataclass

from resolver.portal.catalogue import marked


@dataclass(frozen=True)
class OurLine:
    """As `HelpLine` of the configuration, but its text is translated."""

    name: str
    text: str
    phone: str = ""
    url: str = ""
    is_ours: bool = True


OF_ABUSE = (
    OurLine(
        "INHOPE",
        marked("Report what you found to the hotline of your country. No name is needed."),
        url="https://www.inhope.org/EN#hotlineReferral",
    ),
    OurLine(
        "Troubled Desire",
        marked("If you came looking for this: confidential help, in many languages, without a name."),
        url="https://www.troubled-desire.com",
    ),
    OurLine(
        "116 111",
        marked("If you are a child, or worry about one: the helpline for children in Europe, free of charge."),
        phone="116 111",
        url="https://childhelplineinternational.org/helplines",
    ),
)
USUAL = {"child-abuse": OF_ABUSE, "abuse": OF_ABUSE}
"""By category of the entry."""
