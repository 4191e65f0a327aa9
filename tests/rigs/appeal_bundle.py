"""An appeal, and the keys of the provider who sends it and the issuer who reads it."""

from __future__ import annotations

from blocklists import bundle
from blocklists.bundle import Appeal

SENDER, READER = bundle.new_sender_key(), bundle.new_reader_key()
APPEAL = Appeal(
    appeal="A-7ZK3M9Q2XW4T", list="gambling", reference="7ZK3M9Q2XW4T8RBC", name="example.com", role="owner",
    ground="lawful", language="de", received="2026-11-22T00:00:00Z", due="2026-12-06T00:00:00Z",
    reason="Ich verkaufe Fahrräder.\n=HYPERLINK(\"x\")", contact="",
)  # fmt: skip
