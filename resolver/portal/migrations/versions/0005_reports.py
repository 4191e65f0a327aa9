"""What each host runs, for `stopsign status --all`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("stewards", sa.Column("report", sa.Text, nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("stewards", "report")
