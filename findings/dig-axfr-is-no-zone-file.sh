#!/usr/bin/env bash
# What `dig -k KEY ZONE AXFR > file` writes, read as the zone that it is.
#
# Guess: it is a master file. dig prints records in that form and all else as comments, and `dig AXFR > zone` is in many cron jobs.
# Seen:  with a TSIG key dig 9.18 also prints the TSIG record of the answer, as a line of its own and not as a comment, and the SOA
#        twice. named-checkzone refuses the file (class ANY), nsd-checkzone too (the second SOA, and type ANY). Without a key BIND reads
#        it and NSD does not. `+noall +answer +onesoa` writes what both read.
# For DNS blocking: a list handed out by signed transfer and fetched by such a job loads nowhere, so blocks stay as old as the last good
#        file; a tool that skips lines it cannot read takes it, and does not see a transfer that broke off either.
# Date:  2026-11-29. Needs BIND 9.18 (Debian bind9, bind9-utils, bind9-dnsutils) and NSD 4.6 (nsd).
set -euo pipefail
PATH=$PATH:/usr/sbin
named -v | grep -q '^BIND 9\.18\.' || { echo "needs BIND 9.18, has $(named -v)" >&2; exit 2; }
folder=$(mktemp -d)
trap 'kill "${pid:-}" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
port=$((10000 + RANDOM % 20000))
echo 'key "feed" { algorithm hmac-sha256; secret "c3RvcHNpZ24gdGVzdHMgYSBrZXkgb2YgMzIgYiE="; };' >feed.key
printf '$TTL 300\n@ SOA localhost. root.localhost. 1 3600 600 86400 300\n@ NS localhost.\ncasino.example CNAME .\n' >zone
cat >named.conf <<CONF
$(cat feed.key)
options { directory "$folder"; pid-file none; session-keyfile "$folder/session"; recursion no;
  listen-on port $port { 127.0.0.1; }; listen-on-v6 { none; }; };
controls { };
zone "rpz.example" { type primary; file "$folder/zone"; allow-transfer { key feed; }; check-names ignore; notify no; };
CONF
named -g -n 1 -c named.conf >log 2>&1 &
pid=$!
ask=(dig +tries=1 +time=2 @127.0.0.1 -p "$port" -k feed.key rpz.example)
for _ in $(seq 100); do "${ask[@]}" SOA +short 2>/dev/null | grep -q localhost && break; sleep 0.2; done
"${ask[@]}" AXFR >plain
"${ask[@]}" +noall +answer +onesoa AXFR >bare
grep -v '^;' plain
status=0
read_by() { # NAME FILE yes|no COMMAND
  if "${@:4}" >said 2>&1; then is=yes; else is=no; fi
  echo "$1 reads $2: $is"
  [[ $is == "$3" ]] || { cat said; status=1; }
}
for file in plain bare; do
  reads=$([[ $file == bare ]] && echo yes || echo no)
  read_by named-checkzone "$file" "$reads" named-checkzone -k ignore -i none rpz.example "$file"
  read_by nsd-checkzone "$file" "$reads" nsd-checkzone rpz.example "$file"
done
exit $status
