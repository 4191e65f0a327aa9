"""What may be an entry at all: one rule for the desk's intake, the signers' review and the provider's guards.

Enters: a name and a kind of match. Leaves: None, or the reason, in a sentence, why no provider ever lets it act and no
person can approve it. Asked before anything is signed or bridged, so that a list never waits for an approval that
cannot come.

Rules (those of `core/dnscore/src/list/guard.rs`, which is held to them by a test)
- A name at, below or (where the match covers it) above a name on which everything else stands is none.
- A public suffix, or a name above one, is none unless the match is `exact`: strangers' sites lie below it.
- A top-level domain is a public suffix, listed or not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from publicsuffixlist import PSLFILE

if TYPE_CHECKING:
    from collections.abc import Mapping

PROTECTED: dict[str, tuple[str, ...]] = {
    "special use (RFC 6761 and its registry)": (
        "alt", "arpa", "home.arpa", "internal", "invalid", "local", "localhost", "onion",
    ),
    "the DNS itself": (
        "gtld-servers.net", "iana.org", "iana-servers.net", "internic.net", "ns.icann.org", "root-servers.net",
        "root-servers.org",
    ),
    "time (RFC 5905; without it no certificate and no signature is valid)": (
        "ntp.org", "ntp.se", "ntp.ubuntu.com", "time.android.com", "time.apple.com", "time.cloudflare.com",
        "time.facebook.com", "time.google.com", "time.nist.gov", "time.windows.com", "ptbtime1.ptb.de",
        "ptbtime2.ptb.de", "ptbtime3.ptb.de",
    ),
    "certificates (RFC 8555, revocation)": (
        "acme-v02.api.letsencrypt.org", "acme.zerossl.com", "crl.sectigo.com", "crl3.digicert.com",
        "crl4.digicert.com", "lencr.org", "letsencrypt.org", "ocsp.apple.com", "ocsp.digicert.com",
        "ocsp.globalsign.com", "ocsp.sectigo.com", "pki.goog",
    ),
    "whether there is a network at all": (
        "captive.apple.com", "connectivity-check.ubuntu.com", "connectivitycheck.gstatic.com",
        "detectportal.firefox.com", "dns.msftncsi.com", "firefox-portal-detection.com", "msftconnecttest.com",
        "network-test.debian.org", "nmcheck.gnome.org",
    ),
    "security updates": (
        "archive.ubuntu.com", "deb.debian.org", "security.debian.org", "security.ubuntu.com", "swcdn.apple.com",
        "update.microsoft.com", "windowsupdate.com",
    ),
}  # fmt: skip
"""Nobody may stop these, nor anything at or below them, and no approval changes that: by reason."""


@dataclass(frozen=True, slots=True)
class Suffixes:
    """The public suffix list, ICANN and private section, as A-labels (https://publicsuffix.org/list/)."""

    names: frozenset[str]
    wildcards: frozenset[str]
    """Names whose every child is a suffix (`*.ck`), without the `*.`."""
    exceptions: frozenset[str]
    """Names that a wildcard covers and that are no suffixes all the same (`!www.ck`)."""


@lru_cache(maxsize=1)
def suffixes() -> Suffixes:
    """The list that the package `publicsuffixlist` ships."""
    lines = Path(PSLFILE).read_text(encoding="utf-8").splitlines()
    rules = [line.split()[0] for line in lines if line.strip() and not line.startswith("//")]
    rules = [rule if rule.isascii() else _a_labels(rule) for rule in rules]
    return Suffixes(
        frozenset(rule for rule in rules if rule[0] not in "*!"),
        frozenset(rule[2:] for rule in rules if rule.startswith("*.")),
        frozenset(rule[1:] for rule in rules if rule.startswith("!")),
    )


def is_public_suffix(name: str) -> bool:
    """Whether strangers register names directly below this one (ICANN and private suffixes).

    An unknown top-level domain is none here: a list with `example` means that name.
    """
    known = suffixes()
    if name in known.names:
        return True
    return name.partition(".")[2] in known.wildcards and name not in known.exceptions


def _a_labels(rule: str) -> str:
    # The list has labels in the form that is encoded (its own rule): none needs to be mapped
    mark = rule[: len(rule) - len(rule.lstrip("*.!"))]
    return mark + ".".join(
        label if label.isascii() else f"xn--{label.encode('punycode').decode('ascii')}"
        for label in rule[len(mark) :].split(".")
    )


@dataclass(frozen=True, slots=True)
class Rule:
    """The rule over one set of protected names."""

    protected: Mapping[str, str]
    """Name to why."""
    above: Mapping[str, str]
    """Each name above a protected one, to one of those."""
    tops: frozenset[str]
    seconds: frozenset[str]
    """The last label of protected names of one label, the last but one of the others: most names have neither."""
    suffixes: frozenset[str]
    over: Mapping[str, str]
    """Each name above a public suffix, and each parent of a wildcard rule, to what is below it."""
    wildcards: frozenset[str]
    exceptions: frozenset[str]
    near: frozenset[str]
    """Public suffixes and all names above them or above protected ones."""

    def refusal(self, name: str, match: str) -> str | None:
        """Why this can be no entry; None where it can."""
        ending = name.rsplit(".", 2)
        if ending[-1] in self.tops or (len(ending) > 1 and ending[-2] in self.seconds):
            at: str = name
            while at:
                if why := self.protected.get(at):
                    return f"{name} meets {at}, a protected name: {why}"
                at = at.partition(".")[2]
        if match == "exact":
            return None
        if (below := self.above.get(name)) is not None:
            return f"{name} ({match}) would stop {below}, a protected name: {self.protected[below]}"
        if self._is_suffix(name):
            return f"{name} ({match}) is a public suffix: strangers' sites lie below it"
        if (below := self.over.get(name)) is not None:
            return f"{name} ({match}) lies above the public suffix {below}: strangers' sites lie below that"
        return None

    def _is_suffix(self, name: str) -> bool:
        if "." not in name or name in self.suffixes:
            return True
        return name.partition(".")[2] in self.wildcards and name not in self.exceptions


def rule(more: Mapping[str, str]) -> Rule:
    """The rule with more protected names: a provider's own, each with why."""
    protected = {**{name: why for why, names in PROTECTED.items() for name in names}, **more}
    known, above = suffixes(), _above(protected)
    # A parent of a wildcard rule (`*.ck`) stops every suffix that the rule makes
    over = {**_above(known.names), **_above(known.wildcards), **{name: f"*.{name}" for name in known.wildcards}}
    return Rule(
        protected, above, frozenset(name for name in protected if "." not in name),
        frozenset(name.rsplit(".", 2)[-2] for name in protected if "." in name),
        known.names, over, known.wildcards, known.exceptions, frozenset({*known.names, *over, *above}),
    )  # fmt: skip


@lru_cache(maxsize=1)
def everywhere() -> Rule:
    """The rule that holds at every provider."""
    return rule({})


def refusal(name: str, match: str) -> str | None:
    """Why this can be an entry at no provider; None where it can."""
    return everywhere().refusal(name, match)


def _above(names: frozenset[str] | Mapping[str, str]) -> dict[str, str]:
    """Each name that lies above one of these, with the first such in the order of the text."""
    found: dict[str, str] = {}
    for name in sorted(names, reverse=True):
        parent = name.partition(".")[2]
        while parent:
            found[parent] = name
            parent = parent.partition(".")[2]
    return found
