"""Rules in the syntax of ad blockers, as a DNS filter reads them (AdGuard, "DNS filtering rules syntax").

    ||example.com^            the name and the names below it
    ||example.com^$important  the same, and no plain exception lets it pass
    @@||example.com^          lets the name and the names below it pass
    ||example.com^$badfilter  this rule is off
    |example.com^             that name alone; `example.com` and `0.0.0.0 example.com` likewise
    @@|example.com^           lets that name alone pass

Rules
- A DNS filter ignores a rule with a modifier that it does not know: `$popup`, `$document`, `$all`, `$third-party` and
  all others that speak of pages. Such a rule is rejected, be it a block or an exception.
- What holds for some clients, types or names alone (`$client`, `$ctag`, `$dnstype`, `$denyallow`), or answers otherwise
  (`$dnsrewrite`), is no block of the name: rejected. As an exception it lets the name pass: fewer names are stopped,
  never more.
- Cosmetic rules (`##`), paths, wildcards inside a name and regular expressions are rejected. An exception by regular
  expression or wildcard could let anything pass, so the file is refused: it must be taken out by a person.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from blocklists.importers import hosts
from blocklists.importers.source import Rejection, SourceError, blocks, chunks, lines, shown

if TYPE_CHECKING:
    from pathlib import Path

    from blocklists.entry import Match
    from blocklists.importers.intake import Intake

_HOST = re.compile(r"(?:@@)?(\|\|?)(\*\.)?([^/^$|*\s]+)\^?\|?(?:\$.*)?\Z").match
_OPTIONS = re.compile(r"\$([a-z0-9_~-]+(?:=[^,]*)?(?:,[a-z0-9_~-]+(?:=[^,]*)?)*)\Z", re.IGNORECASE).search
_COSMETIC = re.compile(r"#[@?$%]*#").search
_DNS = frozenset({"important", "badfilter", "client", "ctag", "dnstype", "dnsrewrite", "denyallow"})
"""Modifiers that a DNS filter knows."""
_NARROW = frozenset({"client", "ctag", "denyallow", "dnstype", "dnsrewrite"})


def read(path: Path, intake: Intake) -> None:
    """Take every rule that names a host into `intake`. Raises SourceError when the file cannot be read."""
    off = _turned_off(path, intake.size)

    def take(number: int, text: str) -> None:
        _line(path, number, text.strip(), off, intake)

    if not off:  # most rules are ||name^ and no more
        for first, block in blocks(path, size=intake.size):
            intake.take_block(first, block, "subtree", take, writing="rule")
        return
    for item in lines(path, size=intake.size):
        intake.lines += 1
        if isinstance(item, Rejection):
            intake.add_rejection(item)
        else:
            take(*item)


def _turned_off(path: Path, size: int) -> set[str]:
    """The rules that others turn off, which may come later: so the file is read twice, and not kept."""
    off: set[str] = set()
    for item in chunks(path, size=size):
        for text in item[1] if not isinstance(item, Rejection) else ():
            if "badfilter" in text.lower() and (found := _OPTIONS(text.strip())):
                options = found[1].lower().split(",")
                if "badfilter" in options:
                    off.add(_spelt(text.strip()[: found.start()], options))
    return off


def _line(path: Path, number: int, text: str, off: set[str], intake: Intake) -> None:
    if not text or text.startswith(("!", "[")) or (text.startswith("#") and not _COSMETIC(text)):
        return
    found = _OPTIONS(text)
    if not found or "badfilter" not in found[1].lower().split(","):
        _rule(path, number, text, off, intake)


def _rule(path: Path, number: int, text: str, off: set[str], intake: Intake) -> None:
    found = _OPTIONS(text)
    options = found[1].lower().split(",") if found else []
    if off and _spelt(text[: found.start()] if found else text, options) in off:
        intake.reject(number, text, "another rule turns it off ($badfilter)")
        return
    if _COSMETIC(text):
        intake.reject(number, text, "a cosmetic rule: a resolver sees no pages")
        return
    kinds = {option.partition("=")[0].lstrip("~") for option in options}
    if unknown := sorted(kinds - _DNS):
        intake.reject(number, text, f"has ${', $'.join(unknown)[:60]}: a DNS filter ignores such a rule")
        return
    rule = _HOST(text)
    if text.startswith("@@"):
        _exception(path, number, text, rule, kinds, intake)
    elif text.startswith("/") and (text.endswith("/") or "/$" in text):
        intake.reject(number, text, "a regular expression")
    elif rule is not None:
        _block(number, text, rule, kinds, intake)
    else:
        _bare(number, text, intake)


def _block(number: int, text: str, rule: re.Match[str], kinds: set[str], intake: Intake) -> None:
    if narrow := sorted(kinds & _NARROW):
        intake.reject(number, text, f"holds only for ${', $'.join(narrow)}: as a block it would be wider")
        return
    intake.take(number, rule[3], match=_match(rule), firm="important" in kinds)


def _exception(path: Path, number: int, text: str, rule: re.Match[str] | None, kinds: set[str], intake: Intake) -> None:
    pattern = text[2:].partition("$")[0]
    if rule is not None:
        firm = "important" in kinds
        intake.let_pass(number, text, match=_match(rule), wins=True, firm=firm, name=rule[3])
    elif "*" in pattern or (pattern.startswith("/") and pattern.endswith("/")):
        raise SourceError(
            f"{path}, line {number}: {shown(text)}: an exception whose names cannot be told",
            hint="it could let any name pass: take the line out, and the rules that it concerns",
        )
    elif "/" in pattern or "|" in pattern:
        intake.reject(number, text, "an exception for pages: a resolver stops names")
    else:
        intake.let_pass(number, text, match="exact", wins=True, name=pattern.removesuffix("^"))


def _match(rule: re.Match[str]) -> Match:
    return "below" if rule[2] else "subtree" if rule[1] == "||" else "exact"


def _bare(number: int, text: str, intake: Intake) -> None:
    words = text.partition("#")[0].split()
    if len(words) > 1 and hosts.is_address(words[0]):
        hosts.take(number, text, intake)
    elif text.startswith("|") or len(words) != 1 or any(sign in text for sign in "/*^$|="):
        intake.reject(number, text, "a rule on addresses of pages: a resolver stops names")
    else:
        intake.take(number, words[0], match="exact")


def _spelt(pattern: str, options: list[str]) -> str:
    """A rule as it is compared: options in any order, `badfilter` apart."""
    return f"{pattern.lower()}${','.join(sorted(set(options) - {'badfilter'}))}"
