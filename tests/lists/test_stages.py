"""When additions reach a wave, as a pure decision: tables, no host."""

from __future__ import annotations

from typing import Any

import pytest

from resolver.lists.stages import Fares, Ran, Stop, decide

OLD, NEW, NEWER = "sha256:1", "sha256:2", "sha256:3"
SOAK = 600.0


def host(
    name: str, stage: Any, *ran: tuple[int, str, float], stops: tuple[Stop, ...] = (), heard: bool = True
) -> Fares:
    return Fares(name, stage, tuple(Ran(*one) for one in ran), stops, heard)


def well(name: str = "c1", stage: str = "canary", seconds: float = SOAK, **more: Any) -> Fares:
    return host(name, stage, (1, OLD, 9e9), (2, NEW, seconds), **more)


SLOW, FAILS = Stop(NEW, "9% of its answers are SERVFAIL"), Stop("", "the list is bypassed there")


@pytest.mark.parametrize(
    ("stage", "fares", "kind", "text"),
    [
        ("canary", [], "reached", "canary waits for nobody"),
        ("at-once", [], "reached", "at-once waits for nobody"),
        ("wave-1", [], "waits", "no host says that it is a canary"),
        ("wave-2", [well()], "waits", "no host says that it is of wave-1"),
        ("wave-1", [well(heard=False)], "waits", "no canary host is heard of (c1)"),
        ("wave-1", [well(seconds=59.0)], "waits", "c1 (canary) has run it for 59 s of 10 min"),
        ("wave-1", [host("c1", "canary", (1, OLD, 9e9))], "waits", "no canary host runs it yet: c1 runs 1"),
        ("wave-1", [host("c1", "canary")], "waits", "no canary host runs it yet: c1 runs none"),
        ("wave-1", [well()], "reached", "c1 (canary) has run it for 10 min"),
        ("wave-1", [well(), host("c2", "canary")], "reached", "c1 (canary) has run it for 10 min"),
        ("wave-1", [well(), well("c2", heard=False)], "reached", "c1 (canary) has run it for 10 min"),
        ("wave-1", [host("c1", "canary", (2, NEW, SOAK), (3, NEWER, 5.0))], "reached", "c1 (canary) has run it"),
        ("wave-1", [well(), well("w", "wave-1", stops=(FAILS,))], "reached", "c1 (canary)"),
        ("wave-2", [well(seconds=0.0), well("w", "wave-1")], "reached", "w (wave-1) has run it for 10 min"),
        ("wave-1", [well(stops=(SLOW,))], "stopped", "c1 (canary): 9% of its answers are SERVFAIL"),
        ("wave-1", [well(), well("c2", stops=(FAILS,))], "stopped", "c2 (canary): the list is bypassed there"),
        ("wave-1", [well(), well("c2", stops=(SLOW,), heard=False)], "stopped", "c2 (canary): 9% of its answers"),
        ("wave-1", [well(stops=(Stop(NEWER, "held there: cap-day"),))], "reached", "c1 (canary)"),
        ("wave-2", [well(stops=(SLOW,)), well("w", "wave-1")], "stopped", "c1 (canary): 9% of its answers"),
        ("wave-2", [well("w", "wave-1", stops=(FAILS,))], "stopped", "w (wave-1): the list is bypassed there"),
    ],
)
def test_when_a_wave_is_reached(stage: Any, fares: list[Fares], kind: str, text: str) -> None:
    verdict = decide(stage, NEW, fares, SOAK)
    assert (verdict.kind, verdict.text[: len(text)]) == (kind, text)


@pytest.mark.parametrize(
    ("fares", "is_heard"),
    [([], False), ([well(heard=False)], False), ([well(seconds=1.0)], True), ([host("c1", "canary")], True)],
)
def test_a_wave_of_which_nobody_is_heard_is_said_apart(fares: list[Fares], is_heard: bool) -> None:
    assert decide("wave-1", NEW, fares, SOAK).is_heard == is_heard
