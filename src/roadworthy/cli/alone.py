"""What `serve`, `work` and `schedule` share."""

from __future__ import annotations

import argparse
import os
from collections.abc import Awaitable, Callable

from roadworthy.cli.arguments import target
from roadworthy.cli.exits import DONE, NO
from roadworthy.cli.output import say
from roadworthy.runtime import loop
from roadworthy.runtime.settings import Settings
from roadworthy.runtime.target import Target
from roadworthy.telemetry import logging

Say = Callable[[str], None]


def run_alone(options: argparse.Namespace, role: Callable[[Target, Settings, Say], Awaitable[bool]]) -> int:
    """Run one role in this process until it is told to stop."""
    settings = Settings.load(os.environ)
    logging.configure(settings.log_format, settings.log_level)
    found = target(options)
    logging.configure(settings.log_format, settings.log_level, secrets=lambda: found.service.secret_values)

    async def main() -> bool:
        return await role(found, settings, say)

    loop.leave(DONE if loop.run(main()) else NO)
