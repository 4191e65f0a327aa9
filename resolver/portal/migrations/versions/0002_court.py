"""The court that the entry's ground names, kept with the appeal: its receipt shows it after the entry is gone, too."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    with op.batch_alter_table("appeals") as table:
        table.add_column(sa.Column("court", sa.Text, nullable=False, server_default=""))


def downgrade() -> None:
    with op.batch_alter_table("appeals") as table:
        table.drop_column("court")
