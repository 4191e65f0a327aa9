#!/usr/bin/env bash
# A client of aioquic hears no stateless reset.
#
# Guess: a client that gets a stateless reset with the server's token ends its connection at once (RFC 9000, 10.3.1: "MUST enter
#        the draining period"), so that the next question goes over a new one.
# Seen:  aioquic 1.7.2 stores the token and compares it with nothing: the connection stays open, and the client repeats its packets
#        until its own idle time.
# For DNS blocking: dnspython asks over QUIC by aioquic. After a resolver's process died, such a client has no DNS for its idle time
#        (up to a minute), however fast the resolver is back and says so. A server should send CONNECTION_CLOSE whenever it can, and
#        keep the idle time short.
# Date:  2026-11-29. Needs Python 3 with venv.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet aioquic==1.7.2
openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out certificate -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost 2>/dev/null
env/bin/python - <<'PYTHON'
import os, ssl, sys
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection, QuicConnectionState

HERE, THERE = ("127.0.0.1", 4000), ("127.0.0.1", 853)
client = QuicConnection(configuration=QuicConfiguration(
    is_client=True, alpn_protocols=["doq"], server_name="localhost", verify_mode=ssl.CERT_NONE))
configuration = QuicConfiguration(is_client=False, alpn_protocols=["doq"])
configuration.load_cert_chain("certificate", "key")
client.connect(THERE, now=0.0)
server, now = None, 0.0
for _ in range(8):
    for data, _ in client.datagrams_to_send(now=now):
        if server is None:
            server = QuicConnection(configuration=configuration, original_destination_connection_id=client.original_destination_connection_id)
        server.receive_datagram(data, HERE, now=now)
    for data, _ in server.datagrams_to_send(now=now):
        client.receive_datagram(data, THERE, now=now)
    now += 0.01
token = client._peer_cid.stateless_reset_token
assert client._state is QuicConnectionState.CONNECTED and len(token) == 16
# The server is gone. What it left answers the client's next packet (RFC 9000, 10.3): random octets as of a short header, and the token.
client.send_stream_data(client.get_next_available_stream_id(), b"\0\x0c" + bytes(12), end_stream=True)
assert client.datagrams_to_send(now=now)
client.receive_datagram(bytes([0x40 | os.urandom(1)[0] & 0x3F]) + os.urandom(38) + token, THERE, now=now)
print("after a stateless reset:", client._state.name)
if client._state is not QuicConnectionState.CONNECTED:
    sys.exit("this has changed")
PYTHON
