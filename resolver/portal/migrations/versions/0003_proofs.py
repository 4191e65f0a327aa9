"""Proofs that an appeal and its decision stand in the log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "proofs",
        sa.Column("appeal", sa.String(16), sa.ForeignKey("appeals.id"), primary_key=True),
        sa.Column("what", sa.String(16), primary_key=True),
        sa.Column("proof", sa.Text, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("proofs")
