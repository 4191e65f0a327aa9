#!/usr/bin/env bash
# kdig's order of options decides whether DNS over QUIC is asked at all.
#
# Guess: "kdig +quic +tls-ca=FILE +tls-hostname=NAME" asks over QUIC and checks the certificate by FILE.
# Seen:  kdig 3.2.6 asks over TCP and TLS, without a word: nothing is sent over UDP. With +quic after the +tls options it asks
#        over QUIC, and checks.
# For DNS blocking: a provider that monitors DNS over QUIC in this way watches DNS over TLS, which may be there while QUIC is
#        not, or answer by other rules. Write +quic last, and look for "QUIC session" in what it prints.
# Date:  2026-11-29. Needs Debian's knot-dnsutils 3.2.6 installed (any of its package revisions), openssl, Python 3.
set -euo pipefail
command -v kdig >/dev/null && [[ "$(kdig -V)" == *" 3.2.6" ]] || { echo "kdig 3.2.6 is not installed"; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out certificate -days 2 -subj /CN=localhost 2>/dev/null
python3 - <<'PYTHON'
import select, socket, subprocess, sys

def asked(*options):
    """Over which transport the first octets come, and what they look like."""
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        port = tcp.getsockname()[1]
        udp.bind(("127.0.0.1", port))
        command = ["kdig", "@127.0.0.1", "-p", str(port), "+time=2", "+retry=0", *options, "name.example"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            ready, _, _ = select.select([tcp, udp], [], [], 10)
            if udp in ready:
                first = "UDP, QUIC" if udp.recv(2048)[0] & 0xC0 == 0xC0 else "UDP"
            elif tcp in ready:
                connection, _ = tcp.accept()
                with connection:
                    connection.settimeout(5)
                    first = "TCP, TLS" if connection.recv(1) == b"\x16" else "TCP"
            else:
                first = "nothing"
            process.kill()
    print(f"{' '.join(options):60} {first}")
    return first

trust = ["+tls-ca=certificate", "+tls-hostname=localhost"]
before, after = asked("+quic", *trust), asked(*trust, "+quic")
if (before, after) != ("TCP, TLS", "UDP, QUIC"):
    sys.exit("this has changed")
PYTHON
