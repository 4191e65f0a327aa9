"""docs/alarms.md is true: each alert and each alarm that the program can say has its row there, and each alarm of a row
has a test that provokes it. (Each alert is provoked in `tests/host/test_alerts.py`.)"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from tests.rigs.alert_rules import alerts
from tests.rigs.dns_host import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GUIDE = ROOT / "docs/alarms.md"
# Where alarms are spelt out as sentences, besides calls of `_alarm`.
SAYING = {
    "resolver/cli/status.py": {"_alarms"},
    "resolver/ipc/worker_counters.py": {"alarms"},
    "resolver/policy/bypass.py": {"alarms"},
    "resolver/base/disk_space.py": {"alarms"},
    "resolver/host/foreign.py": {"alarm"},
    "resolver/host/run.py": {"_status"},
    "resolver/ipc/rpz_status.py": {"complaints"},
    "resolver/lists/decide.py": {"_left_out", "_unapplied"},
    "resolver/lists/waves.py": {"_trouble"},
    "resolver/lists/report.py": {"_alarms_of", "nothing_yet", "_held_long"},
    "resolver/stats/collect.py": {"_turn", "_gather"},
    "resolver/lists/ledger.py": {"_unwritten"},
    "resolver/lists/people.py": {"configuration_refused"},
    "resolver/policy/overrides.py": {"put"},
    "resolver/rpz/export.py": {"run_after"},
    "resolver/policy/in_force.py": {"read_list", "poll_exceptions"},
    "resolver/rpz/primary.py": {"telling"},
    "resolver/portal/app.py": {"alarms"},
}
# Alarm as its row has it -> the test that provokes it, and words of the alarm that the test expects.
STATUS, OPERATE, ZONES = "cli/test_status.py", "cli/test_operate.py", "rpz/test_zone_alarms.py"
STEWARD, WORKER, OVERRIDES = "lists/test_steward_alarms.py", "dns/test_worker_alarms.py", "lists/test_overrides.py"
SAID_FIRST = f"{STATUS}::test_who_is_dead_or_hung_or_silent_is_said_first_and_in_these_words"
OF_UPSTREAMS = f"{STATUS}::test_what_one_worker_sees_of_an_upstream_is_an_alarm_said_once_and_ends"
NO_LIST = f"{WORKER}::test_no_list_then_one_then_none_then_a_damaged_one"
CERTIFICATE = f"{WORKER}::test_a_certificate_that_is_wrong_then_right_then_wrong_and_one_that_ends_soon"
NO_PASSES = f"{WORKER}::test_exceptions_that_are_gone_or_damaged"
BYPASSED = f"{OVERRIDES}::test_the_off_switch_is_an_alarm_that_names_what_is_off_from_the_moment_it_is_on"
FIRST_LOAD = "lists/test_register.py::test_the_first_load_waits_for_a_person_and_says_so_at_once"
UNCONFIRMED = f"{STEWARD}::test_a_list_that_nobody_confirms"
BRIDGED = f"{STEWARD}::test_a_bridged_list_whose_file_is_gone"
DAMAGED = f"{STEWARD}::test_a_stored_file_that_is_damaged_until_the_backup_is_put_back"
DISK = f"{STATUS}::test_a_disk_is_an_alarm_where_little_is_left_of_it_in_share_and_in_octets"
WRITTEN_AGAIN = f"{OVERRIDES}::test_an_override_that_only_one_of_the_disks_took_says_so_and_is_written_again_by_itself"
NOTHING_TO_MAKE = f"{ZONES}::test_without_a_list_there_is_no_zone"
UNOPENED = "portal/test_store.py::test_a_database_that_cannot_be_opened_is_an_alarm_with_the_reason"
COMMAND = f"{ZONES}::test_a_command_after_the_zone_file_that_cannot_be_run"
NO_DESCRIPTOR = (
    "faults/test_floods.py::"
    "test_without_a_descriptor_left_datagrams_are_answered_it_is_an_alarm_and_connections_again_later"
)
UPGRADED = "faults/test_upgrade.py::test_what_is_unpacked_is_taken_up_by_a_restart_without_a_lost_query"
HELD_LONG = (
    "lists/test_register.py::test_what_is_held_later_is_said_in_the_log_once_and_an_alarm_only_when_it_is_held_long"
)
CANARY_SILENT = "host/test_stages.py::test_a_canary_that_is_silent_holds_additions_and_is_an_alarm"
BEYOND_REPAIR = "lists/test_register.py::test_a_record_beyond_repair_is_an_alarm_until_the_list_comes_again"
UNCOUNTED = "stats/test_daily_counts.py::test_a_full_disk_is_said_in_a_sentence_until_blocks_are_counted_again"
WRONG_FILE = (
    "stats/test_daily_counts.py::test_a_file_that_no_worker_of_ours_wrote_is_removed_and_is_an_alarm_for_an_hour"
)
APPEALS_HELD = (
    "lists/test_appeals.py::test_what_overdue_appeals_open_in_a_day_is_bounded_and_the_rest_waits_for_a_person"
)
PEERS = "host/test_many_hosts.py::test_a_host_on_the_database_whose_key_is_missing_is_an_alarm"
PROVOKED: dict[str, tuple[str, str]] = {
    "of the file of list … nobody can approve, so left out: …": (
        "lists/test_bridge.py::test_what_nobody_can_approve_is_left_out_with_an_alarm_and_the_rest_goes_on",
        "nobody can approve",
    ),
    "dead: the steward does not answer at … (…)": (SAID_FIRST, "does not answer at "),
    "starts: … does not answer at … (…)": (
        f"{STATUS}::test_a_process_that_its_supervisor_has_started_and_that_does_not_listen_yet", "does not answer at ",
    ),
    "hung: … does not answer at … (no answer within 3 s)": (SAID_FIRST, "(no answer within "),
    "dead: dns-… (pid …), no sign of life for … s": (
        f"{OPERATE}::test_a_hung_worker_is_killed_and_replaced_while_its_port_stays_open", "), no sign of life for",
    ),
    "hung: …": (SAID_FIRST, "hung: "),
    "silent: …": (SAID_FIRST, "silent: "),
    "… is down": (f"{OPERATE}::test_a_process_that_waits_to_be_started_again_is_down_until_it_is", " is down"),
    "DNS hears … alone, and no client: stopsign take-over": (
        "host/test_take_over.py::take_over", "alone, and no client: stopsign take-over",
    ),
    "no DNS worker counts in …": (
        f"{STATUS}::test_no_worker_at_all_is_an_alarm_until_one_counts", "no DNS worker counts in ",
    ),
    "everything passes since … by …": (BYPASSED, "everything passes since "),
    "list … is bypassed since …": (BYPASSED, " is bypassed since "),
    "… is bypassed since …": (BYPASSED, " is bypassed since "),
    "… names are bypassed, among them …": (BYPASSED, " names are bypassed, among them "),
    "another program listens on … too, and answers unblocked: …": (
        "host/test_foreign.py::test_an_old_unbound_on_the_port_is_an_alarm_with_its_name_until_it_is_gone",
        " too, and answers unblocked: ",
    ),
    "upstream … is down: …": (OF_UPSTREAMS, " is down: "),
    "upstream … answers most questions with SERVFAIL or REFUSED": (
        OF_UPSTREAMS, " answers most questions with SERVFAIL or REFUSED",
    ),
    "upstream … answers no TCP: what is too long for a datagram is SERVFAIL": (
        OF_UPSTREAMS, " answers no TCP: what is too long for a datagram is SERVFAIL",
    ),
    "the cap of … is reached: … questions a second get SERVFAIL": (
        f"{STATUS}::test_a_cap_that_is_reached_is_an_alarm_that_names_it", " questions a second get SERVFAIL",
    ),
    "dns-…: no file descriptor is left: new connections over TCP are closed": (
        NO_DESCRIPTOR,
        "no file descriptor is left: new connections over TCP are closed",
    ),
    "… runs version …, installed is …: stopsign restart runs it": (
        UPGRADED, ": stopsign restart runs it",
    ),
    "there is no compiled list yet: everything is forwarded": (
        NO_LIST, "there is no compiled list yet: everything is forwarded",
    ),
    "… is gone; the list that is loaded goes on": (NO_LIST, " is gone; the list that is loaded goes on"),
    "… is gone; those before them go on": (NO_PASSES, " is gone; those before them go on"),
    "the compiled list is refused (…); the list before it goes on": (NO_LIST, "; the list before it goes on"),
    "…; there is no other: everything is forwarded": (NO_LIST, "there is no other: everything is forwarded"),
    "what worker … counts is seen by nobody: …": (
        f"{WORKER}::test_a_worker_that_has_no_room_for_its_counters", " counts is seen by nobody: ",
    ),
    "DNS over QUIC is not served: …": (
        f"{WORKER}::test_a_socket_of_quic_that_cannot_be_served_is_an_alarm", "DNS over QUIC is not served: ",
    ),
    "encrypted DNS is refused: …": (CERTIFICATE, "encrypted DNS is refused: "),
    "the certificate of encrypted DNS stays the one before: …": (
        CERTIFICATE, "the certificate of encrypted DNS stays the one before: ",
    ),
    "the certificate of encrypted DNS ends on …": (CERTIFICATE, "the certificate of encrypted DNS ends on "),
    "the exceptions cannot be understood (…)": (NO_PASSES, "the exceptions cannot be understood ("),
    "… cannot be read (…)": (NO_PASSES, " cannot be read ("),
    "…; those before them go on": (NO_PASSES, "; those before them go on"),
    "the new configuration is refused, the old one goes on: …": (
        f"{OPERATE}::test_a_configuration_that_cannot_be_is_refused_and_the_old_one_goes_on",
        "the new configuration is refused, the old one goes on",
    ),
    "list … stops nothing: its first load, … entries of version …, waits for approval since …": (
        FIRST_LOAD, " stops nothing: its first load, ",
    ),
    "… is held since … and cannot be approved": (FIRST_LOAD, " and cannot be approved"),
    "the clock went ahead by … minutes to …: …": (
        "lists/test_pace.py::test_a_clock_that_is_ahead_for_a_moment_makes_nothing_due", "the clock went ahead by ",
    ),
    "the clock went back to …, before …, when the steward last wrote: see timedatectl": (
        f"{STEWARD}::test_a_clock_that_goes_back", ", when the steward last wrote: see timedatectl",
    ),
    "list … only monitors: nobody has confirmed it since …": (
        UNCONFIRMED, " only monitors: nobody has confirmed it since ",
    ),
    "list … has not been confirmed since …": (UNCONFIRMED, " has not been confirmed since "),
    "list … is refused since …: …": (f"{STEWARD}::test_a_list_that_is_refused", " is refused since "),
    "additions to list … are held since …, now of version …": (
        HELD_LONG,
        " are held since ",
    ),
    "version … of list … is stopped by … (…): …": (
        "host/test_stages.py::test_a_canary_whose_answers_fail_stops_the_wave_until_it_has_been_well_for_the_whole_time",
        " is stopped by ",
    ),
    "version … of list … waits: no host says that it is …, since …": (
        CANARY_SILENT, " waits: no host says that it is ",
    ),
    "… waits: no … host is heard of (…), since …": (CANARY_SILENT, " host is heard of ("),
    "list …: additions that are let through are not active: …": (
        "host/test_stages.py::test_what_a_wave_lets_through_waits_for_its_leaf",
        ": additions that are let through are not active: ",
    ),
    "the document of list … that is active is damaged, and stored nowhere else: …": (
        "lists/test_register.py::test_a_document_that_nothing_else_has_is_an_alarm_with_what_to_do",
        " that is active is damaged, and stored nowhere else: ",
    ),
    "list … ends on …: its file has not been seen since …": (BRIDGED, ": its file has not been seen since "),
    "list … is held beyond its end: …": (BRIDGED, " is held beyond its end: "),
    "nothing of list … is active: …": (
        BEYOND_REPAIR, "nothing of list ",
    ),
    "the new generation is not active: …": (
        f"{STEWARD}::test_a_generation_that_the_disk_does_not_take", "the new generation is not active: ",
    ),
    "the file system of … is full: less than 1 MiB is free": (DISK, " is full: less than 1 MiB is free"),
    "the file system of … is nearly full: less than 5% and less than 64 MiB are free": (
        DISK, "is nearly full: less than 5% and less than 64 MiB are free",
    ),
    "active, but not for after a reboot: …": (
        f"{STEWARD}::test_a_generation_that_is_live_and_not_durable", "active, but not for after a reboot: ",
    ),
    "the log cannot be written: …": (
        "lists/test_activate.py::test_what_could_not_be_written_is_no_alarm_any_more_once_it_can_be",
        "the log cannot be written: ",
    ),
    "blocks cannot be counted: …": (UNCOUNTED, "blocks cannot be counted: "),
    "a file of counts was wrong, and is removed: worker …": (
        WRONG_FILE, "a file of counts was wrong, and is removed: worker ",
    ),
    "dns-…: what it says of itself cannot be right: …": (
        f"{STATUS}::test_what_a_worker_cannot_have_said_is_an_alarm_and_hides_nothing_else",
        ": what it says of itself cannot be right: ",
    ),
    "what time brings is not all done: …": (
        "lists/test_steward.py::test_what_breaks_off_a_tick_is_an_alarm_and_the_steward_goes_on",
        "what time brings is not all done: ",
    ),
    "the newest withdrawals of list … are not applied: …": (
        f"{STEWARD}::test_withdrawals_that_are_out_of_bounds", " are not applied: ",
    ),
    "… cannot be written (…)": (
        "lists/test_activate.py::test_what_could_not_be_written_is_no_alarm_any_more_once_it_can_be",
        " cannot be written (",
    ),
    "… cannot be written (…): the overrides hold, but not for after a restart until it can": (
        WRITTEN_AGAIN, "hold, but not for after a restart",
    ),
    "… cannot be written (…): the overrides are stored, and hold as soon as there is room": (
        WRITTEN_AGAIN, "are stored, and hold as soon as there is room",
    ),
    "… entries with overdue appeals are held for a person: more came due than guards.overdue lets open by itself in a "
    "day: stopsign appeals list --held": (
        APPEALS_HELD, " entries with overdue appeals are held for a person",
    ),
    "… appeals were withdrawn within a day, and … may be: those beyond stay open": (
        "lists/test_appeals.py::test_how_many_appeals_are_withdrawn_in_a_day_is_bounded_and_an_alarm",
        " appeals were withdrawn within a day, and ",
    ),
    "… appeals wait, and … have room: what comes in beyond has no clock": (
        "lists/test_appeals.py::test_places_for_appeals_that_are_nearly_taken_are_an_alarm", " appeals wait, and ",
    ),
    "more than … reports of the web process were refused within an hour": (
        "lists/test_appeals.py::test_reports_that_are_refused_in_number_are_an_alarm_for_an_hour",
        " reports of the web process were refused within an hour",
    ),
    "the database is not open yet: appeals wait": (UNOPENED, "the database is not open yet: appeals wait"),
    "the appeals database cannot be used (…): appeals wait": (UNOPENED, "the appeals database cannot be used ("),
    "the database cannot be used since …: appeals and what other hosts say wait": (
        "host/test_many_hosts.py::test_a_database_that_is_away_is_an_alarm_with_its_time_until_it_is_back",
        "appeals and what other hosts say wait",
    ),
    "host … shares the appeals database, and log.peers lacks the key of its log": (
        PEERS, " shares the appeals database, and log.peers lacks the key of its log",
    ),
    "the index of logs in … does not count: …": (
        "portal/test_logs.py::test_an_index_that_does_not_count_changes_nothing_and_is_an_alarm", " does not count: ",
    ),
    "…: what other hosts said is heard again": (DAMAGED, "what other hosts said is heard again"),
    "…: the clocks of open appeals begin again": (DAMAGED, "the clocks of open appeals begin again"),
    "list … is sealed, and does not open here: …; it stops nothing here, all other lists hold": (
        "dns/test_sealed.py::test_a_worker_that_begins_without_the_key_goes_without_that_list_alone",
        "it stops nothing here, all other lists hold",
    ),
    "what is listed cannot be read: …": (
        f"{STEWARD}::test_appeals_that_wait_for_a_compiled_list_that_cannot_be_read", "what is listed cannot be read: ",
    ),
    "…: entries with overdue appeals may be active again": (DAMAGED, "with overdue appeals may be active again"),
    "…; what was bypassed before the reboot is blocked again": (
        f"{OVERRIDES}::test_an_off_switch_that_a_reboot_and_a_damaged_file_took_is_an_alarm_until_it_is_said_again",
        "what was bypassed before the reboot is blocked again",
    ),
    "…; the overrides that were live stay live": (DAMAGED, "the overrides that were live stay live"),
    "the process of the zones gave no sign of life for … s": (
        "rpz/test_operating.py::test_prometheus_is_told_of_zones_and_secondaries_by_name",
        "the process of the zones gave no sign of life for",
    ),
    "…: … does not acknowledge serial …": (
        f"{ZONES}::test_a_secondary_that_does_not_acknowledge", " does not acknowledge serial ",
    ),
    "the zone file is written, but … cannot be run (…)": (COMMAND, " cannot be run ("),
    "… ended with …": (COMMAND, " ended with "),
    "there is no list to make … of: …": (NOTHING_TO_MAKE, "there is no list to make "),
    "there is no compiled list yet": (NOTHING_TO_MAKE, "there is no compiled list yet"),
}  # fmt: skip
SHORTEST = 12  # letters of a sentence's longest fixed part, below which it is no sentence


def fixed(node: ast.AST) -> Iterator[str]:
    """The longest part of each sentence in this piece of a program that is always the same."""
    inner = {id(part) for joined in ast.walk(node) if isinstance(joined, ast.JoinedStr) for part in ast.walk(joined)}
    for found in ast.walk(node):
        parts: list[str] = []
        if isinstance(found, ast.JoinedStr):
            parts = [str(part.value) for part in found.values if isinstance(part, ast.Constant)]
        elif isinstance(found, ast.Constant) and isinstance(found.value, str) and id(found) not in inner:
            parts = [found.value]
        longest = max(parts, key=len, default="").strip(" :;,.()'")
        if len(longest) >= SHORTEST and " " in longest:
            yield longest


def sentences(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    saying = SAYING.get(str(path.relative_to(ROOT)), set())
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in saying:
            body = node.body[1:] if ast.get_docstring(node) else node.body
            for statement in body:
                yield from fixed(statement)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "_alarm":
            yield from fixed(node.args[1])


def rows() -> list[list[str]]:
    lines = [line for line in GUIDE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_each_alert_has_its_row_with_a_command_to_type_first() -> None:
    told = {row[0].strip("`"): row[1] for row in rows() if row[0].startswith("`Stopsign")}
    assert list(told) == list(alerts()), "the same, in the same order"
    assert all(command.startswith("`") and command.endswith("`") for command in told.values())


def test_each_alarm_has_its_row() -> None:
    guide = re.sub(r"\s+", " ", GUIDE.read_text(encoding="utf-8"))
    found = {sentence for path in (ROOT / "resolver").rglob("*.py") for sentence in sentences(path)}
    assert {sentence for sentence in found if sentence not in guide} == set()
    # It looks at what the program says:
    assert {"there is no compiled list yet", "no DNS worker counts in"} <= found
    assert len(found) > 25


def test_each_alarm_of_a_row_is_provoked_by_a_test() -> None:
    table = [row[0] for row in rows() if not row[0].startswith(("`Stopsign", "alert", "alarm", "-"))]
    told = [re.sub(r"\s+", " ", alarm) for cell in table for alarm in re.findall(r"`([^`]+)`", cell)]
    assert sorted(told) == sorted(PROVOKED), "each alarm once, and no other"
    for alarm, (test, words) in PROVOKED.items():
        file, _, name = test.partition("::")
        text = (ROOT / "tests" / file).read_text(encoding="utf-8")
        (found,) = [
            "\n".join(
                text.splitlines()[min([one.lineno, *(d.lineno for d in one.decorator_list)]) - 1 : one.end_lineno]
            )
            for one in ast.walk(ast.parse(text))
            if isinstance(one, ast.FunctionDef) and one.name == name
        ]
        assert words in alarm, alarm
        assert words in found, f"{test} does not expect {alarm!r}"


def test_what_spells_alarms_out_is_where_the_table_says() -> None:
    for path, names in SAYING.items():
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        there = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert names <= there, path


def test_each_command_that_the_guide_names_exists() -> None:
    from resolver.cli.main import COMMANDS

    named = set(re.findall(r"`stopsign ([a-z-]+)", GUIDE.read_text(encoding="utf-8")))
    assert named
    assert named <= set(COMMANDS) | {"run"}
