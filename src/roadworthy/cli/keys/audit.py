"""`roadworthy keys audit`."""

from __future__ import annotations

from typing import Any

from roadworthy.cli.arguments import command
from roadworthy.cli.audit import add_options, show
from roadworthy.cli.database import with_pool


def add(actions: Any) -> None:
    """Add the action."""
    audit = command(
        actions,
        "audit",
        help="tell who did what to keys",
        description="List what was done to API keys, the latest first. `roadworthy audit` lists all that is audited.",
        examples="  roadworthy keys audit\n  roadworthy keys audit --subject shop_4fTb81Qz --json",
    )
    add_options(audit)
    audit.set_defaults(run=with_pool(show), action="api_key")
