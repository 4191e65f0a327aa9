"""A number with its noun, in a sentence for a person.

Enters: a number, a noun in the singular. Leaves: `1 entry`, `2,000 entries`.
"""

_PLURALS = {"entry": "entries", "leaf": "leaves", "witness": "witnesses"}


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun if number == 1 else _PLURALS.get(noun, f'{noun}s')}"
