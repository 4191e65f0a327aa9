#!/usr/bin/env bash
# `rpz-drop.` for one name, and the other names on the same connection.
#
# Guess: over TCP (RFC 7766, 6.2.1.1 and 7) the dropped question gets no answer, and what else was asked on the connection gets its own: so
#        it is with BIND 9.18 (and with PowerDNS Recursor 4.8, seen by hand).
# Seen:  Unbound 1.17.1 closes the connection in that moment. Questions about other names that it had read and works on get no answer, and
#        those behind it are not read. Over TLS it is the same. (1.26.2 of Debian 13: the same over TCP.)
# For DNS blocking: a forwarder that sends its clients' questions over one connection, or a phone with DNS over TLS, loses with each
#        dropped name what it asked beside it, has to notice that, and asks again on a new connection. Where the action is DROP, only
#        those who ask by UDP lose one name alone; NXDOMAIN or NODATA harm nobody else.
# Date:  2026-11-29. Needs Debian 12 with bind9, unbound and openssl, Python 3.
set -euo pipefail
PATH=$PATH:/usr/sbin
for pinned in bind9=1:9.18.49-1~deb12u3 unbound=1.17.1-2+deb12u4; do
  found=$(dpkg-query --show --showformat='${Version}' "${pinned%%=*}")
  echo "${pinned%%=*} $found"
  [[ $found == "${pinned#*=}" ]] || { echo "another version than ${pinned#*=}: look again"; exit 1; }
done
folder=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out certificate -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost 2>/dev/null
printf '$TTL 60\n@ SOA localhost. root.localhost. 1 3600 600 86400 60\n@ NS localhost.\ndropped.bet CNAME rpz-drop.\nlisted.bet A 192.0.2.66\n' >zone
cat >ask.py <<'PY'
import os, socket, ssl, struct, subprocess, sys, threading, time
def free():
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]

def query(name, number):
    wire = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
    data = struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, 0) + wire + b"\0\1\0\1"
    return struct.pack("!H", len(data)) + data

def world(one):
    """Outside every name has an address, after 0.3 s."""
    while True:
        data, client = one.recvfrom(4096)
        end = data.index(b"\0", 12) + 5
        answer = data[:2] + b"\x85\x80\0\1\0\1" + bytes(4) + data[12:end] + b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\xc6\x33\x64\x07"
        threading.Timer(0.3, one.sendto, (answer, client)).start()

def ask(port, names, tls):
    """How many of them, asked at once on one connection, are answered within 3 s, and whether it was closed."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=4)
    if tls:
        connection = ssl.create_default_context(cafile="certificate").wrap_socket(connection, server_hostname="localhost")
    connection.sendall(b"".join(query(name, number) for number, name in enumerate(names)))
    data, ended, until = b"", "open", time.monotonic() + 3
    while ended == "open" and (left := until - time.monotonic()) > 0:
        connection.settimeout(left)
        try:
            more = connection.recv(65535)
        except TimeoutError:
            break
        except ConnectionError:
            more = b""
        data, ended = data + more, "open" if more else "closed"
    connection.close()
    answers = 0
    while data:
        data, answers = data[2 + int.from_bytes(data[:2], "big"):], answers + 1
    return answers, ended

outside = socket.socket(type=socket.SOCK_DGRAM)
outside.bind(("127.0.0.1", 0))
threading.Thread(target=world, args=(outside,), daemon=True).start()
up, here = outside.getsockname()[1], os.getcwd()
bind, unbound, over_tls = free(), free(), free()
open("named.conf", "w").write(f"""options {{ directory "{here}"; pid-file none; session-keyfile none; listen-on port {bind} {{ 127.0.0.1; }};
  listen-on-v6 {{ none; }}; dnssec-validation no; empty-zones-enable no; forward only; forwarders {{ 127.0.0.1 port {up}; }};
  response-policy {{ zone rpz.finding; }} qname-wait-recurse no; }};
controls {{ }};
zone rpz.finding {{ type primary; file "zone"; check-names ignore; }};
""")
open("unbound.conf", "w").write(f"""server:
  interface: 127.0.0.1@{unbound}
  interface: 127.0.0.1@{over_tls}
  tls-port: {over_tls}
  tls-service-key: "{here}/key"
  tls-service-pem: "{here}/certificate"
  do-not-query-localhost: no
  chroot: ""
  username: ""
  directory: "{here}"
  pidfile: ""
  use-syslog: no
  module-config: "respip iterator"
forward-zone:
  name: "."
  forward-addr: 127.0.0.1@{up}
rpz:
  name: rpz.finding.
  zonefile: zone
""")
commands = [["named", "-g", "-n", "1", "-c", "named.conf"], ["unbound", "-d", "-c", "unbound.conf"]]
with open("log", "w") as log:
    started = [subprocess.Popen(command, stdout=log, stderr=log) for command in commands]
seen = {}
try:
    for who, port, tls in (("BIND", bind, False), ("Unbound", unbound, False), ("Unbound, TLS", over_tls, True)):
        for _ in range(100):
            try:
                if ask(port, ["listed.bet"], tls)[0]:
                    break
            except OSError:
                time.sleep(0.2)
        seen[who] = answered, ended = ask(port, [f"a{port}.shop", f"b{port}.shop", "dropped.bet", f"c{port}.shop"], tls)
        print(f"{who}: of three other names around a dropped one {answered} were answered; the connection is {ended}")
finally:
    for one in started:
        one.terminate()
    for one in started:
        one.wait()
expected = {"BIND": (3, "open"), "Unbound": (0, "closed"), "Unbound, TLS": (0, "closed")}
sys.exit(0 if seen == expected else "it has changed")
PY
python3 ask.py
