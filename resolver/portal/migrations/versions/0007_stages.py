"""What hosts of later waves need of a host."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("stewards", sa.Column("stages", sa.Text, nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("stewards", "stages")
