#!/usr/bin/env bash
# One line of a policy zone with its owner in quotes, read by BIND and by dnspython.
#
# Guess: both read it: a <character-string> in quotes may stand for a name (RFC 1035 5.1 does not say that it may not).
# Seen:  named-compilezone of BIND 9.18 reads `"bad.example" CNAME .` as the owner bad.example and loads the zone. dnspython 2.9.2
#        refuses the whole zone: "expecting an identifier".
# For DNS blocking: a policy zone whose generator writes quotes works in BIND, and gives a Python tool nothing at all, not even its
#        other names. A reader that skipped the line would let the name pass.
# Date:  2026-11-28. Needs BIND's named-compilezone 9.18 (Debian bind9-utils) and Python 3.10 or later with venv and pip.
set -euo pipefail
PATH=$PATH:/usr/sbin
named-compilezone -v | grep -q '^9\.18\.' || { echo "needs BIND 9.18, has $(named-compilezone -v)" >&2; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
printf '$TTL 300\n@ SOA localhost. root.localhost. 1 3600 600 86400 300\n@ NS localhost.\n"bad.example" CNAME .\n' >zone
named-compilezone -q -s full -k ignore -i none -o written rpz.example zone
grep '^bad\.example\.rpz\.example\.' written
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check dnspython==2.9.2
env/bin/python - <<'PYTHON'
import sys

import dns.exception
import dns.zone

try:
    dns.zone.from_file("zone", "rpz.example.", check_origin=False)
except dns.exception.SyntaxError as error:
    print(f"dnspython: {error}")
    sys.exit(0)
sys.exit("dnspython reads it now")
PYTHON
