"""TCP towards the upstreams."""

from __future__ import annotations

import asyncio
import socket

import pytest

from resolver.dns.upstreams import Timing
from tests.rigs.dns_host import play, receive, send, until
from tests.rigs.played_upstream import Core, Reply, asking, echo, first_two, hang_up, lie, silent, upstream


async def dead_names_are_not_answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        message = await receive(reader)
        if not message.endswith(b"dead"):
            send(writer, message)


def test_pipelined_questions_share_a_connection_until_it_is_crowded() -> None:
    async def scene() -> None:
        async with asking(echo) as (core, played):
            for _ in range(3):
                core.ask(played.address, b"q")
            await core.said(3)
            assert len(played.connections) == 1
            for _ in range(9):
                core.ask(played.address, b"q")
            await core.said(12)
            assert len(played.connections) == 3

    play(scene)


def test_there_are_no_more_connections_than_allowed_and_what_is_beyond_shares_them() -> None:
    async def scene() -> None:
        async with asking(echo, connections=2) as (core, played):
            texts = [b"q%d" % number for number in range(40)]
            for text in texts:
                core.ask(played.address, text)
            assert sorted(await core.said(40)) == sorted(texts)
            assert len(played.connections) == 2

    play(scene)


@pytest.mark.parametrize("behaviour", [hang_up, lie], ids=["hangs-up", "lies"])
def test_what_a_fresh_connection_does_not_answer_has_failed(behaviour: Reply) -> None:
    async def scene() -> None:
        async with asking(behaviour) as (core, played):
            number = core.ask(played.address, b"one")
            await until(lambda: core.faults == {number: None})
            assert core.heard == []

    play(scene)


def test_where_nothing_listens_it_has_failed() -> None:
    async def scene() -> None:
        core = Core()
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            number = core.ask(f"127.0.0.1:{closed.getsockname()[1]}", b"one")
            await until(lambda: core.faults == {number: "not listening"})
        core.upstreams.close()

    play(scene)


def test_an_upstream_that_closes_after_two_answers_costs_no_question() -> None:
    async def scene() -> None:
        async with asking(first_two) as (core, played):
            texts = [b"q%d" % number for number in range(30)]
            for text in texts:
                core.ask(played.address, text)
            assert sorted(await core.said(30)) == sorted(texts)
            assert core.faults == {}

    play(scene)


def test_an_upstream_that_was_restarted_is_asked_again_on_fresh_connections() -> None:
    async def scene() -> None:
        core = Core()
        async with upstream(echo) as before:
            for _ in range(12):
                core.ask(before.address, b"q")
            await core.said(12)
            assert len(before.connections) == 3
        async with upstream(echo, int(before.address.rpartition(":")[2])):
            for _ in range(12):
                core.ask(before.address, b"q")
            await core.said(24)
        assert core.faults == {}
        core.upstreams.close()

    play(scene)


def test_a_connection_that_died_without_a_word_is_used_no_more_and_its_question_goes_out_on_a_fresh_one() -> None:
    died = 0

    async def dies_after_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal died
        send(writer, await receive(reader))
        if died < 2:
            died += 1
            await reader.read()
        await echo(reader, writer)

    async def scene() -> None:
        async with asking(dies_after_one) as (core, played):
            for _ in range(5):
                core.ask(played.address, b"q")
            await until(lambda: len(core.heard) == 2)
            core.heard.clear()
            number = core.ask(played.address, b"lost", question=77)
            core.upstreams.overdue(number)
            again = core.ask(played.address, b"lost", question=77)
            await until(lambda: (again, b"lost") in core.heard)
            assert len(played.connections) == 3
            for number in range(20):
                text = b"later%d" % number
                core.ask(played.address, text)
                await core.hears(text)
            assert len(played.connections) == 3, "the one that lives is used"

    play(scene)


def test_a_dead_name_on_a_connection_that_lives_is_not_asked_twice_and_what_is_new_goes_elsewhere() -> None:
    async def scene() -> None:
        async with asking(dead_names_are_not_answered) as (core, played):
            core.ask(played.address, b"one")
            await core.said(1)
            number = core.ask(played.address, b"dead", question=77)
            core.ask(played.address, b"two")
            await core.said(2)
            core.upstreams.overdue(number)
            core.ask(played.address, b"dead", question=77)
            core.ask(played.address, b"three")
            await core.said(3)
            assert len(played.connections) == 2

    play(scene)


def test_dead_names_take_nobodys_place() -> None:
    """The upstream works on four questions of a connection at a time, as PowerDNS does on ten."""

    async def scene() -> None:
        async def four_at_a_time(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            held = 0
            while held < 4:
                message = await receive(reader)
                if message.endswith(b"dead"):
                    held += 1
                else:
                    send(writer, message)
            await reader.read()

        async with asking(four_at_a_time, connections=4) as (core, played):
            for turn in range(10):
                dead = [core.ask(played.address, b"dead") for _ in range(16)]
                for number in dead:
                    core.upstreams.overdue(number)
                core.ask(played.address, b"good%d" % turn)
                await core.said(turn + 1)
            (line,) = core.upstreams._lines.values()
            assert len(line.connections) <= 2 * 4 + 1

    play(scene)


def test_a_late_answer_is_handed_over_and_what_is_past_its_life_gives_its_place_back() -> None:
    async def scene() -> None:
        go = asyncio.Event()

        async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            message = await receive(reader)
            await go.wait()
            send(writer, message)
            await reader.read()

        async with asking(late) as (core, played):
            number = core.ask(played.address, b"late")
            core.upstreams.overdue(number)
            go.set()
            assert await core.said(1) == [b"late"]

        async with asking(silent, timing=Timing(life=0.0)) as (core, played):
            core.ask(played.address, b"never")
            await until(lambda: bool(played.connections))
            await asyncio.sleep(0.01)
            core.upstreams.sweep()
            (line,) = core.upstreams._lines.values()
            assert [one.waiting for one in line.connections] == [{}]
            assert not core.upstreams._asked

    play(scene)


def test_idle_connections_are_closed() -> None:
    async def scene() -> None:
        async with asking(echo, timing=Timing(idle=0.0)) as (core, played):
            core.ask(played.address, b"one")
            await core.said(1)
            await asyncio.sleep(0.01)

            def gone() -> bool:
                core.upstreams.sweep()
                return not core.upstreams._lines

            await until(gone)

    play(scene)


def test_a_connection_that_is_being_opened_when_all_are_closed_is_not_left_behind() -> None:
    async def scene() -> None:
        async with asking(silent) as (core, played):
            core.ask(played.address, b"one")
            await asyncio.sleep(0)  # it has asked for a connection
            core.upstreams.close()
            core.upstreams.sweep()
            assert not core.upstreams._lines
            assert core.faults == {1: None}

    play(scene)


def test_an_upstream_with_proxy_header_gets_one_connection_a_client_with_the_header_first() -> None:
    first: list[bytes] = []

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first.append(await reader.readuntil(b";"))
        await echo(reader, writer)

    async def scene() -> None:
        async with asking(reply) as (core, played):
            for client in (b"from seven;", b"from eight;"):
                for _ in range(3):
                    core.ask(played.address, b"x", header=client)
            await core.said(6)
            assert sorted(first) == [b"from eight;", b"from seven;"]

            def gone() -> bool:
                core.upstreams.sweep()
                return not core.upstreams._lines

            await until(gone)  # a client that is gone leaves nothing behind

    play(scene)
