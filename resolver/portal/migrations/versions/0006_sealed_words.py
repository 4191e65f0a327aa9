"""What is written against an entry of a sealed list, encrypted to the issuer."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("words", sa.Column("sealed", sa.Text, nullable=False, server_default=""))
    op.add_column("words", sa.Column("tag", sa.String(64), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("words", "tag")
    op.drop_column("words", "sealed")
