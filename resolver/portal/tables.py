"""The appeals database, as tables. SQLite and PostgreSQL alike; `migrations/` makes and changes them.

Rules: times are Unix seconds; what can name a person (`words`) stands apart from what happened (`appeals`, `events`),
so that it can be deleted and the count stays true; the receipt is kept as a hash; there is no column for an address.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

tables = MetaData()

appeals = Table(
    "appeals",
    tables,
    Column("id", String(16), primary_key=True),
    Column("receipt", LargeBinary(32), nullable=False, unique=True),  # SHA-256 of the secret in the link
    Column("reference", String(16), nullable=False),
    Column("name", String(253), nullable=False),  # the entry's, as it was looked up; empty: not listed at that time
    Column("list", String(64), nullable=False),
    Column("role", String(16), nullable=False),
    Column("ground", String(16), nullable=False),
    Column("language", String(8), nullable=False),
    Column("received", BigInteger, nullable=False),
    Column("due", BigInteger, nullable=False),
    Column("suspends", Boolean, nullable=False),  # whether being overdue suspends the entry
    Column("forwarded", BigInteger),
    Column("reminded", BigInteger),
    Column("suspended", BigInteger),  # when the suspension of an overdue one was asked for
    Column("closed", BigInteger),
    Column("outcome", String(16)),
    Column("decided_by", String(200)),
    Column("reasons", Text),
    Column("erased", BigInteger),
    Column("court", Text, nullable=False, server_default=""),  # where the entry's ground says it can be contested
    Index("appeals_by_entry", "reference"),
    Index("appeals_by_due", "closed", "due"),
)

words = Table(
    "words",
    tables,
    Column("appeal", String(16), ForeignKey("appeals.id"), primary_key=True),
    Column("reason", Text, nullable=False),
    Column("contact", String(254), nullable=False),
    Column("share_contact", Boolean, nullable=False),
)

events = Table(
    "events",
    tables,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("appeal", String(16), ForeignKey("appeals.id"), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("what", String(16), nullable=False),
    Column("note", Text, nullable=False),  # said by the desk, shown to the appellant
    Index("events_by_appeal", "appeal"),
)

# What the steward answered: that what happened stands in the log (c2sp.org/tlog-proof), for the appellant's receipt.
proofs = Table(
    "proofs",
    tables,
    Column("appeal", String(16), ForeignKey("appeals.id"), primary_key=True),
    Column("what", String(16), primary_key=True),  # as in `events`
    Column("proof", Text, nullable=False),
)

# What the steward has yet to be told: written with the change it tells of, removed when the steward has it.
outbox = Table(
    "outbox",
    tables,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("op", String(32), nullable=False),
    Column("arguments", Text, nullable=False),  # JSON
    Column("since", BigInteger, nullable=False),
)

# Keys of form tokens, shared by the hosts of one provider; each lives for two days.
form_keys = Table(
    "form_keys",
    tables,
    Column("day", BigInteger, primary_key=True, autoincrement=False),
    Column("key", LargeBinary(32), nullable=False),
)
