"""What the workers of a host share, over workers that come later and over a supervisor that executes itself again."""

from __future__ import annotations

import os

import pytest

from resolver._core import later_secret
from resolver.host.shared_secrets import ROTATION, SharedSecrets, taken


def test_a_worker_that_starts_later_and_a_new_program_have_the_same_but_for_tickets_that_went_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [3 * ROTATION]
    monkeypatch.setattr("resolver.host.shared_secrets.time.clock_gettime", lambda _: now[0])
    shared = SharedSecrets()
    first = taken(shared.handed())
    assert taken(shared.handed()) == first
    assert (first.period, len(set(first))) == (2, len(first))
    now[0] += 2 * ROTATION
    later = taken(shared.handed())
    assert later == first._replace(tickets=later_secret(first.tickets, 2), period=4)
    assert SharedSecrets(shared.handed()).now() == later


@pytest.mark.parametrize("length", [0, 72, 89])
def test_what_a_program_of_another_version_left_is_drawn_again(length: int) -> None:
    reads, writes = os.pipe()
    os.write(writes, bytes(length))
    os.close(writes)
    drawn = SharedSecrets(reads).now()
    assert bytes(16) not in (drawn.tickets[:16], drawn.quic[:16], drawn.sketches)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(reads)
