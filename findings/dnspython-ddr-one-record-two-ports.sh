#!/usr/bin/env bash
# Guess: one SVCB record of `_dns.resolver.arpa` may designate DoT and DoH together (`alpn=dot,h2`, no port), as several
# public resolvers do for h2 and h3. A client takes each protocol's own port: 853 and 443 (RFC 9461, 5).
# Behaviour (dnspython 2.9.2, 2026-11-28): `try_ddr` takes port 443 for both. The default of the first protocol that it
# looks at (h2) stays for the next, so DoT is asked at 443. Without DoH in the record DoT is asked at 853.
# What it means for DNS blocking: such a client fails over DoT, or goes back to plain DNS where it can, although resolver
# and certificate are right. A resolver designates each protocol by a record of its own, with its port written out.
# Needs python3 with venv, and pip's index. Exits 0 while it is so, 1 when it has changed.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'dnspython==2.9.2'
cat >"$work/designations.py" <<'PY'
"""The servers that the client takes from a designation, before it looks at their certificates."""
import dns._ddr
import dns.message
import dns.name
import dns.resolver
import dns.rrset

NAME = "_dns.resolver.arpa."


def servers(record: str) -> list[str]:
    reply = dns.message.make_response(dns.message.make_query(NAME, "SVCB"))
    reply.answer.append(dns.rrset.from_text(NAME, 60, "IN", "SVCB", record))
    reply = dns.message.from_wire(reply.to_wire())
    answer = dns.resolver.Answer(dns.name.from_text(NAME), "SVCB", "IN", reply, "192.0.2.1", 53)
    return [str(one) for info in dns._ddr._extract_nameservers_from_svcb(answer) for one in info.nameservers]


changed = False
for record, seen in (
    ("1 dns.example. alpn=dot", ["DoT:192.0.2.1@853"]),
    ("1 dns.example. alpn=dot,h2 dohpath=/q{?dns}", ["https://dns.example:443/q", "DoT:192.0.2.1@443"]),
    ("1 dns.example. alpn=dot,h2 port=853 dohpath=/q{?dns}", ["https://dns.example:853/q", "DoT:192.0.2.1@853"]),
):
    found = servers(record)
    print(f"{record}: {', '.join(found)}" + ("" if found == seen else f" (was {', '.join(seen)})"))
    changed |= found != seen
raise SystemExit(changed)
PY
"$work/venv/bin/python" "$work/designations.py"
