"""Appeals, what was said in them, what happened to them, and what the steward has yet to be told."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "appeals",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("receipt", sa.LargeBinary(32), nullable=False, unique=True),
        sa.Column("reference", sa.String(16), nullable=False),
        sa.Column("name", sa.String(253), nullable=False),
        sa.Column("list", sa.String(64), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("ground", sa.String(16), nullable=False),
        sa.Column("language", sa.String(8), nullable=False),
        sa.Column("received", sa.BigInteger, nullable=False),
        sa.Column("due", sa.BigInteger, nullable=False),
        sa.Column("suspends", sa.Boolean, nullable=False),
        sa.Column("forwarded", sa.BigInteger),
        sa.Column("reminded", sa.BigInteger),
        sa.Column("suspended", sa.BigInteger),
        sa.Column("closed", sa.BigInteger),
        sa.Column("outcome", sa.String(16)),
        sa.Column("decided_by", sa.String(200)),
        sa.Column("reasons", sa.Text),
        sa.Column("erased", sa.BigInteger),
    )
    op.create_index("appeals_by_entry", "appeals", ["reference"])
    op.create_index("appeals_by_due", "appeals", ["closed", "due"])
    op.create_table(
        "words",
        sa.Column("appeal", sa.String(16), sa.ForeignKey("appeals.id"), primary_key=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("contact", sa.String(254), nullable=False),
        sa.Column("share_contact", sa.Boolean, nullable=False),
    )
    op.create_table(
        "events",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("appeal", sa.String(16), sa.ForeignKey("appeals.id"), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("what", sa.String(16), nullable=False),
        sa.Column("note", sa.Text, nullable=False),
    )
    op.create_index("events_by_appeal", "events", ["appeal"])
    op.create_table(
        "outbox",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("op", sa.String(32), nullable=False),
        sa.Column("arguments", sa.Text, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "form_keys",
        sa.Column("day", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("key", sa.LargeBinary(32), nullable=False),
    )


def downgrade() -> None:
    for table in ("form_keys", "outbox", "events", "words", "appeals"):
        op.drop_table(table)
