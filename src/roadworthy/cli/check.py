"""`roadworthy check`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roadworthy.cli.arguments import add_json, add_target, command, target
from roadworthy.cli.exits import BAD_USAGE, DONE, NO
from roadworthy.cli.output import print_json, styled
from roadworthy.cli.prometheus import address
from roadworthy.errors import DeclarationError

if TYPE_CHECKING:
    from roadworthy.check.deployed.deployment import Deployment
    from roadworthy.check.finding import Finding
    from roadworthy.runtime.target import Target


def add(commands: Any) -> None:
    """Add the command."""
    parser = command(
        commands,
        "check",
        help="tell what is wrong with a declaration, and how to mend it",
        description="Check a service's declaration against itself, against the application that it serves, and, where\n"
        "they are named, against the files that were emitted from it and a Prometheus that runs.\n"
        "Each finding has a rule's id, a place and a fix. The exit code is 1 where one is an error.",
        examples="  roadworthy check sitesearch.service:service\n"
        "  roadworthy check service.py --deploy deploy --format sarif\n"
        "  roadworthy check service.py --live http://127.0.0.1:9090",
    )
    add_target(parser)
    parser.add_argument(
        "--deploy",
        type=Path,
        metavar="DIR",
        help="hold the rules, dashboards and runbooks in a directory against the declaration as well",
    )
    parser.add_argument(
        "--live",
        type=address,
        metavar="URL",
        help="ask a Prometheus that runs for every expression instead, and demand data",
    )
    parser.add_argument("--select", metavar="RULES", type=_ids, help="use these rules alone, as in RW031,RW045")
    parser.add_argument("--ignore", metavar="RULES", type=_ids, help="leave these rules out")
    parser.add_argument(
        "--format", choices=("text", "json", "sarif"), default="text", help="how to print findings (default: text)"
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the findings, or what a Prometheus has."""
    form = "json" if options.json else options.format
    if options.deploy is not None and not options.deploy.is_dir():
        print(f"error: --deploy names {options.deploy}, which is no directory; emit it first", file=sys.stderr)
        return BAD_USAGE
    if options.live is not None:
        from roadworthy.cli.live import run as ask

        if form == "sarif" or options.select or options.ignore:
            print("error: --live goes by no rules; leave --select, --ignore and sarif out", file=sys.stderr)
            return BAD_USAGE
        found = target(options)
        return ask(found.service.spec, options.live, _deployment(options.deploy) or _emitted(found), form)
    findings = _findings(options)
    _print(findings, form)
    return NO if any(finding.weight == "error" for finding in findings) else DONE


def _findings(options: argparse.Namespace) -> tuple[Finding, ...]:
    from roadworthy.check.app import describe
    from roadworthy.check.declaration import check
    from roadworthy.check.refusal import refused
    from roadworthy.runtime.target import application

    try:
        found = target(options)
        # The application's module may be another one than the declaration's.
        application(found)
        service = found.service
        app = describe(service, found.module)
        deployment = _deployment(options.deploy)
        emitted = None if deployment is not None else _emitted(found)
        findings = check(service.spec, app=app, place=service.place, deployment=deployment, emitted=emitted)
    except DeclarationError as error:
        findings = (refused(error),)
    return tuple(
        one
        for one in findings
        if (options.select is None or one.rule in options.select) and one.rule not in (options.ignore or ())
    )


def _print(findings: tuple[Finding, ...], form: str) -> None:
    from roadworthy.check.finding import as_json, failed, render
    from roadworthy.check.sarif import sarif

    if form == "json":
        print_json({"ok": not failed(findings), "findings": as_json(findings)})
    elif form == "sarif":
        print_json(sarif(findings))
    else:
        print(render(findings) if findings else styled("no findings", "green"))


def _deployment(directory: Path | None) -> Deployment | None:
    from roadworthy.check.deployed.deployment import belongs, deployment

    if directory is None:
        return None
    paths = (path.relative_to(directory) for path in sorted(directory.rglob("*")) if path.is_file())
    files = {path.as_posix(): path for path in paths if belongs(path.as_posix())}
    texts = {name: (directory / path).read_text(encoding="utf-8", errors="replace") for name, path in files.items()}
    return deployment(texts, directory.as_posix())


def _emitted(found: Target) -> Deployment:
    """Return what the declaration comes to."""
    from roadworthy.check.deployed.deployment import deployment
    from roadworthy.emit.monitoring import monitoring_files

    files: Mapping[str, str] = monitoring_files(found.service.spec)
    return deployment(files, "(emitted)")


def _ids(text: str) -> frozenset[str]:
    """Parse ids of rules, each of which must be one."""
    from roadworthy.check.refusal import REFUSED
    from roadworthy.check.rules import RULES

    ids = frozenset(part.strip() for part in text.split(","))
    if unknown := sorted(ids - {REFUSED, *(rule.id for rule in RULES)}):
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)} is no rule; docs/reference/rules.md has them all")
    return ids
