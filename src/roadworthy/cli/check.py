"""`roadworthy check`."""

from __future__ import annotations

import argparse
from typing import Any

from roadworthy.cli.arguments import add_json, add_target, command, target
from roadworthy.cli.exits import DONE, NO
from roadworthy.cli.output import print_json, styled
from roadworthy.errors import DeclarationError


def add(commands: Any) -> None:
    """Add the command."""
    parser = command(
        commands,
        "check",
        help="tell what is wrong with a declaration, and how to mend it",
        description="Check a service's declaration against itself and against the application that it serves.\n"
        "Each finding has a rule's id, a place and a fix. The exit code is 1 where one is an error.",
        examples="  roadworthy check sitesearch.service:service\n  roadworthy check service.py --json",
    )
    add_target(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the findings."""
    from roadworthy.check.app import describe
    from roadworthy.check.declaration import check
    from roadworthy.check.finding import Finding, as_json, failed, render
    from roadworthy.check.refusal import refused
    from roadworthy.runtime.target import application

    findings: tuple[Finding, ...]
    try:
        found = target(options)
        # The application's module may be another one than the declaration's.
        application(found)
        service = found.service
        findings = check(service.spec, app=describe(service, found.module), place=service.place)
    except DeclarationError as error:
        findings = (refused(error),)
    if options.json:
        print_json({"ok": not failed(findings), "findings": as_json(findings)})
    elif findings:
        print(render(findings))
    else:
        print(styled("no findings", "green"))
    return NO if failed(findings) else DONE
