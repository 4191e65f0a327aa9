#!/usr/bin/env bash
# A client of DNS over HTTPS that gets two answers in one TLS record.
#
# Guess: where a record begins and ends means nothing to HTTP/2 (RFC 9113, 4; RFC 8446, 5.1), so dnsperf counts both answers.
# Seen:  dnsperf 2.10.0 reports most of them as lost (1 of 20 completed), though it counts their status 200 (15 of 20). With
#        one record for each answer it counts all.
# For DNS blocking: a server that writes what is ready together, as its library does by itself, looks as if it lost most
#        queries under load. Before blaming the server, compare dnsperf's "HTTP/2 return codes" with "Queries completed".
# Date:  2026-11-28. Needs Debian's dnsperf 2.10.0-2 installed, openssl, Python 3 with venv.
set -euo pipefail
[ "$(dpkg-query -W -f '${Version}' dnsperf)" = 2.10.0-2 ] || { echo "dnsperf 2.10.0-2 is not installed"; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet h2==4.2.0 hpack==4.1.0 hyperframe==6.1.0
openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out certificate -days 2 -subj /CN=localhost 2> /dev/null
for number in $(seq 20); do echo "name-$number.example A"; done > names
env/bin/python - <<'PYTHON'
import re, socket, ssl, subprocess, sys, threading
import h2.config, h2.connection, h2.events

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("certificate", "key")
context.set_alpn_protocols(["h2"])

def answer(http, stream, question):
    reply = question[:2] + b"\x81\x80" + question[4:6] + bytes(6) + question[12:]
    http.send_headers(stream, [(":status", "200"), ("content-type", "application/dns-message"), ("content-length", str(len(reply)))])
    http.send_data(stream, reply, end_stream=True)

def serve(listener, together):
    plain, _ = listener.accept()
    connection = context.wrap_socket(plain, server_side=True)
    http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    http.initiate_connection()
    connection.sendall(http.data_to_send())
    bodies, waiting = {}, []
    while data := connection.recv(65535):
        for event in http.receive_data(data):
            if isinstance(event, h2.events.DataReceived):
                bodies[event.stream_id] = bodies.get(event.stream_id, b"") + event.data
                http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if isinstance(event, h2.events.StreamEnded):
                waiting.append(event.stream_id)
        while len(waiting) >= 2:
            for _ in range(2):
                stream = waiting.pop(0)
                answer(http, stream, bodies.pop(stream))
                if not together:
                    connection.sendall(http.data_to_send())
            connection.sendall(http.data_to_send())
        connection.sendall(http.data_to_send())

def completed(together):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener, together), daemon=True).start()
        port = listener.getsockname()[1]
        said = subprocess.run(
            ["dnsperf", "-m", "doh", "-s", "127.0.0.1", "-p", str(port), "-d", "names", "-c", "1", "-q", "2", "-n", "1", "-t", "2",
             "-l", "15", "-O", "doh-method=POST", "-O", f"doh-uri=https://127.0.0.1:{port}/dns-query"], capture_output=True, text=True, timeout=90).stdout
    counted = int(re.search(r"Queries completed:\s+(\d+)", said)[1])
    statuses = int((re.search(r"200: (\d+)", said) or [0, 0])[1])
    print(f"{'two answers in a record' if together else 'a record for each':24} completed {counted:2} of 20, status 200: {statuses}")
    return counted, statuses

apart, one = completed(False), completed(True)
if apart[0] != 20 or not one[0] < one[1]:
    sys.exit("this has changed")
PYTHON
