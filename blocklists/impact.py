"""What a block would touch besides its target: public suffixes, popular names, names below, shared hosts.

Enters: names and entries. Leaves: findings. Nothing here decides; people and guards do.
"""

from __future__ import annotations

from functools import lru_cache

from publicsuffixlist import PublicSuffixList


@lru_cache(maxsize=1)
def _suffixes() -> PublicSuffixList:
    # Unknown top-level domains are no suffixes here: whoever lists `example` means that name
    return PublicSuffixList(accept_unknown=False)


def is_public_suffix(name: str) -> bool:
    """Whether strangers register names directly below this one (ICANN and private suffixes)."""
    return bool(_suffixes().is_public(name))
