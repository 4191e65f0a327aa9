"""The appeals database, as tables. SQLite and PostgreSQL alike; `migrations/` makes and changes them.

Rules: times are Unix seconds; what can name a person (`words`) stands apart from what happened (`appeals`, `events`),
so that it can be deleted and the count stays true; the receipt is kept as a hash; there is no column for an address; no
text comes in that is longer than its column: SQLite would take it, and PostgreSQL refuse the row.
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
DECIDED_BY = 200  # characters

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
    Column("suspended", BigInteger),  # when a steward said that it suspended the entry of an overdue one
    Column("closed", BigInteger),
    Column("outcome", String(16)),
    Column("decided_by", String(DECIDED_BY)),
    Column("reasons", Text),
    Column("erased", BigInteger),
    Column("court", Text, nullable=False, server_default=""),  # where the entry's ground says it can be contested
    Column("held", BigInteger),  # when a steward said that a person has to look before the entry is suspended
    Column(
        "claimed", String(253), nullable=False, server_default=""
    ),  # the name as the author says, of what is listed nowhere
    Column("others", Integer, nullable=False, server_default="0"),  # further appeals of the same form
    Column(
        "secret", LargeBinary(16)
    ),  # the receipt's, once its author withdrew it: for the stewards, until they have it
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
    # Against an entry of a sealed list, in the place of the reason: what was written, encrypted to the issuer, in
    # base64; and an HMAC of it under the receipt's secret, which tells a form that comes twice from another one.
    Column("sealed", Text, nullable=False, server_default=""),
    Column("tag", String(64), nullable=False, server_default=""),
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

# What each host's steward has heard of an appeal (`received`, `decided`), and its answer: the proof that this stands in
# its log (c2sp.org/tlog-proof), for the appellant's receipt. Empty: it has the leaf and cannot prove it now.
told = Table(
    "told",
    tables,
    Column("appeal", String(16), ForeignKey("appeals.id"), primary_key=True),
    Column("what", String(16), primary_key=True),
    Column("steward", String(64), primary_key=True),  # the name of its host (`host` in the configuration)
    Column("proof", Text, nullable=False, server_default=""),
)

# The stewards that share this database: the public keys of their logs, and when each was last there.
stewards = Table(
    "stewards",
    tables,
    Column("steward", String(64), primary_key=True),
    Column("vkey", Text, nullable=False),
    Column("seen", BigInteger, nullable=False),
    Column("report", Text, nullable=False, server_default=""),  # what the host runs (resolver.portal.fleet)
    # What hosts of later waves need of it, signed with its log's key; empty where none waits for it.
    Column("stages", Text, nullable=False, server_default=""),
)

# What a person said at one host that is to hold at all, or that a host did by its own clock: a leaf of that host's log
# with its proof, which the others check. The database carries it and can forge none of it.
shared = Table(
    "shared",
    tables,
    Column("steward", String(64), primary_key=True),
    Column("subject", String(300), primary_key=True),
    Column("leaf", BigInteger, nullable=False),
    Column("proof", Text, nullable=False),
)

# Keys of form tokens, shared by the hosts of one provider; each lives for two days.
form_keys = Table(
    "form_keys",
    tables,
    Column("day", BigInteger, primary_key=True, autoincrement=False),
    Column("key", LargeBinary(32), nullable=False),
)
