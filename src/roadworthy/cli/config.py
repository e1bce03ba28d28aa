"""`roadworthy config`."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from roadworthy.cli.arguments import add_json, add_target, command, target
from roadworthy.cli.exits import DONE
from roadworthy.cli.output import print_json, print_table
from roadworthy.errors import SettingError, TargetError
from roadworthy.telemetry.masking import MASK

Entry = tuple[str, str | None, str, str]
"""The name, value, source and meaning of a setting or a secret."""


def add(commands: Any) -> None:
    """Add the command."""
    parser = command(
        commands,
        "config",
        help="print every setting, its value and where that came from",
        description="Print every setting that the environment decides, and every secret of the service:\n"
        "its value (passwords masked), where that came from, and what it means.",
        examples="  roadworthy config\n  roadworthy config shop --json\n  REDIS_URL=redis://cache roadworthy config",
    )
    add_target(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the settings."""
    from roadworthy.runtime.settings import Settings

    settings = Settings.load(os.environ)
    own = [(entry.name, entry.value, entry.source, entry.description) for entry in settings.entries]
    entries: list[Entry] = [*own, *_secrets(options)]
    if options.json:
        keys = ("name", "value", "source", "meaning")
        listed = [dict(zip(keys, entry, strict=True)) for entry in entries]
        print_json({"settings": listed, "warnings": settings.warnings})
        return DONE
    rows = [(name, value if value is not None else "-", source, meaning) for name, value, source, meaning in entries]
    print_table(("SETTING", "VALUE", "SOURCE", "MEANING"), rows)
    for warning in settings.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return DONE


def _secrets(options: argparse.Namespace) -> list[Entry]:
    """Return the secrets of the service, where one is known, as people may see them."""
    from roadworthy.security.secrets import SecretSpec, load

    def entry(spec: SecretSpec) -> Entry:
        meaning = spec.purpose or "a secret of the service's"
        try:
            loaded = load(spec, os.environ)
        except SettingError as error:
            return spec.name, None, "refused", str(error)
        return spec.name, MASK if loaded.values else None, loaded.source, meaning

    try:
        service = target(options).service
    except TargetError:
        if options.target is not None:
            raise
        return []
    return [entry(spec) for spec in service.spec.secrets]
