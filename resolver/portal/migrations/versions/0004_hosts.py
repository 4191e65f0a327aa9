"""Several hosts on one database: what each host's steward has heard, and what stewards say to each other.

The outbox had one consumer, and the first host that asked took a message from all others. What it held is said again,
from the appeals themselves, to each steward."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.drop_table("outbox")
    op.drop_table("proofs")  # each steward proves again what it has a leaf of
    op.create_table(
        "told",
        sa.Column("appeal", sa.String(16), sa.ForeignKey("appeals.id"), primary_key=True),
        sa.Column("what", sa.String(16), primary_key=True),
        sa.Column("steward", sa.String(64), primary_key=True),
        sa.Column("proof", sa.Text, nullable=False, server_default=""),
    )
    op.create_table(
        "stewards",
        sa.Column("steward", sa.String(64), primary_key=True),
        sa.Column("vkey", sa.Text, nullable=False),
        sa.Column("seen", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "shared",
        sa.Column("steward", sa.String(64), primary_key=True),
        sa.Column("subject", sa.String(300), primary_key=True),
        sa.Column("leaf", sa.BigInteger, nullable=False),
        sa.Column("proof", sa.Text, nullable=False),
    )
    op.add_column("appeals", sa.Column("held", sa.BigInteger))
    op.add_column("appeals", sa.Column("claimed", sa.String(253), nullable=False, server_default=""))
    op.add_column("appeals", sa.Column("others", sa.Integer, nullable=False, server_default="0"))
    op.add_column("appeals", sa.Column("secret", sa.LargeBinary(16)))


def downgrade() -> None:
    for column in ("secret", "others", "claimed", "held"):
        op.drop_column("appeals", column)
    for table in ("shared", "stewards", "told"):
        op.drop_table(table)
    op.create_table(
        "proofs",
        sa.Column("appeal", sa.String(16), sa.ForeignKey("appeals.id"), primary_key=True),
        sa.Column("what", sa.String(16), primary_key=True),
        sa.Column("proof", sa.Text, nullable=False),
    )
    op.create_table(
        "outbox",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("op", sa.String(32), nullable=False),
        sa.Column("arguments", sa.Text, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
    )
