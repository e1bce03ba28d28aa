"""`roadworthy emit`."""

from __future__ import annotations

import argparse
import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roadworthy.cli.arguments import add_json, add_target, command, target
from roadworthy.cli.exits import DONE, NO
from roadworthy.cli.output import print_json, print_table

if TYPE_CHECKING:
    from roadworthy.emit.varnish import Origin


def add(commands: Any) -> None:
    """Add the command."""
    parser = command(
        commands,
        "emit",
        help="write the configuration that follows from a declaration",
        description="Write what stands before a service (nginx, Varnish, a Cloudflare worker), as far as it declares\n"
        "that it is behind it. The same declaration gives the same files. With --check nothing is written, and the\n"
        "exit code is 1 where a file is missing or differs.",
        examples="  roadworthy emit sitesearch.service:service --to deploy\n"
        "  roadworthy emit sitesearch.service:service --to deploy --check",
    )
    add_target(parser)
    parser.add_argument("--to", required=True, type=Path, metavar="DIR", help="the directory of the files")
    parser.add_argument("--check", action="store_true", help="write nothing, and tell what differs")
    parser.add_argument(
        "--origin",
        type=_origin,
        default="127.0.0.1:8000",
        metavar="HOST:PORT",
        help="where the service answers (default: 127.0.0.1:8000)",
    )
    parser.add_argument(
        "--purger",
        type=_address,
        action="append",
        default=[],
        metavar="ADDRESS",
        help="an address that may purge Varnish, beside this machine; may be repeated",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the files, or compare them."""
    from roadworthy.emit.edge import edge_files

    spec = target(options).service.spec
    files = edge_files(spec, origin=options.origin, purgers=("127.0.0.1", "::1", *options.purger))
    states = {path: _state(options.to / path, text) for path, text in files.items()}
    if not options.check:
        _write(options.to, {path: text for path, text in files.items() if states[path] != "unchanged"})
    ok = not options.check or all(state == "unchanged" for state in states.values())
    if options.json:
        listed = [{"path": path, "state": state} for path, state in states.items()]
        print_json({"ok": ok, "directory": str(options.to), "files": listed})
    elif states:
        print_table(("STATE", "FILE"), [(state, options.to / path) for path, state in states.items()])
    else:
        print(
            f"nothing to write: service {spec.name!r} does not say what it is behind, as with service.behind('nginx')"
        )
    return DONE if ok else NO


def _state(path: Path, text: str) -> str:
    if not path.is_file():
        return "missing"
    return "unchanged" if path.read_text(encoding="utf-8", errors="replace") == text else "changed"


def _write(directory: Path, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(text, encoding="utf-8")


def _origin(text: str) -> Origin:
    from roadworthy.emit.varnish import Origin

    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or '"' in host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is no host and port, as in 127.0.0.1:8000")
    return Origin(host, int(port))


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no IP address") from None
