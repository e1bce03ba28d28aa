"""`roadworthy emit`."""

from __future__ import annotations

import argparse
import ipaddress
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roadworthy.cli.arguments import add_json, add_target, command, target
from roadworthy.cli.exits import BAD_USAGE, DONE, NO
from roadworthy.cli.output import print_json, print_table

if TYPE_CHECKING:
    from roadworthy.emit.alertmanager import Receivers
    from roadworthy.emit.exporters import Exporters
    from roadworthy.emit.varnish import Origin

_STALE = {"kept": "stale, but has notes: move them, then remove it"}
_EXPORTERS = ("node", "postgres", "redis")
_DIFFERS = {"missing": "missing", "changed": "changed", "unchanged": "as declared", "stale": "stale", **_STALE}
_WRITTEN = {"missing": "written", "changed": "rewritten", "unchanged": "unchanged", "stale": "removed", **_STALE}


def add(commands: Any) -> None:
    """Add the command."""
    parser = command(
        commands,
        "emit",
        help="write the configuration that follows from a declaration",
        description="Write what follows from a declaration: Prometheus with its rules and their tests,\n"
        "Alertmanager, Grafana's dashboards, a runbook for each alert, and what stands before the service\n"
        "(nginx, Varnish, a Cloudflare worker) as far as it declares that it is behind it. The same\n"
        "declaration gives the same files. What was emitted and would not be any more is removed. With\n"
        "--check nothing is written, and the exit code is 1 where a file is missing, differs or is stale.\n"
        "Notes in runbooks are kept.",
        examples="  roadworthy emit sitesearch.service:service --to deploy\n"
        "  roadworthy emit sitesearch.service:service --to deploy --check\n"
        "  promtool test rules deploy/prometheus/tests/*.yml",
    )
    add_target(parser)
    parser.add_argument("--to", required=True, type=Path, metavar="DIR", help="the directory of the files")
    parser.add_argument("--check", action="store_true", help="write nothing, and tell what differs")
    _add_edge(parser)
    _add_monitoring(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def _add_edge(parser: argparse.ArgumentParser) -> None:
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


def _add_monitoring(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--scrape",
        type=_host_and_port,
        action="append",
        metavar="HOST:PORT",
        help="an operations port to scrape (default: 127.0.0.1:9100); may be repeated",
    )
    parser.add_argument(
        "--alertmanager",
        type=_host_and_port,
        default="127.0.0.1:9093",
        metavar="HOST:PORT",
        help="where Alertmanager listens (default: 127.0.0.1:9093)",
    )
    parser.add_argument(
        "--prometheus",
        type=_host_and_port,
        default="127.0.0.1:9090",
        metavar="HOST:PORT",
        help="where Prometheus listens, to scrape itself (default: 127.0.0.1:9090)",
    )
    parser.add_argument(
        "--exporter",
        type=_exporter,
        action="append",
        default=[],
        metavar="KIND=HOST:PORT",
        help="an exporter to scrape as well: node, postgres or redis; may be repeated",
    )
    parser.add_argument(
        "--kube-state-metrics",
        type=_host_and_port,
        action="append",
        default=[],
        metavar="HOST:PORT",
        help="where kube-state-metrics tells of the pods of a cluster",
    )
    parser.add_argument(
        "--runbooks",
        default="runbooks",
        metavar="URL",
        help="where people read the runbooks, for the link in each alert (default: runbooks)",
    )
    parser.add_argument("--channel", default="#alerts", help="the chat's channel for warnings (default: #alerts)")
    parser.add_argument(
        "--pagerduty-url",
        metavar="URL",
        help="where pages go, in the EU https://events.eu.pagerduty.com/v2/enqueue (default: Alertmanager's)",
    )
    parser.add_argument("--mail-to", metavar="ADDRESS", help="who gets alerts of business (default: the chat)")
    parser.add_argument("--mail-from", metavar="ADDRESS", help="who sends them")
    parser.add_argument("--mail-server", type=_host_and_port, metavar="HOST:PORT", help="the server that takes mail")
    parser.add_argument("--mail-without-tls", action="store_true", help="that server, a relay near by, speaks no TLS")
    parser.add_argument(
        "--dead-mans-switch", metavar="URL", help="what is called each minute, and tells somebody when it is not"
    )


def run(options: argparse.Namespace) -> int:
    """Write the files, or compare them."""
    from roadworthy.cli.stale import has_notes, list_name, list_of, remove, stale
    from roadworthy.emit.edge import edge_files
    from roadworthy.emit.monitoring import monitoring_files

    mail = (options.mail_to, options.mail_from, options.mail_server)
    if any(mail) and not all(mail):
        print("error: mail needs all of --mail-to, --mail-from and --mail-server", file=sys.stderr)
        return BAD_USAGE
    spec = target(options).service.spec
    files = {
        **edge_files(spec, origin=options.origin, purgers=("127.0.0.1", "::1", *options.purger)),
        **monitoring_files(
            spec,
            targets=options.scrape or ("127.0.0.1:9100",),
            alerts_to=options.alertmanager,
            prometheus_at=options.prometheus,
            runbooks_at=options.runbooks,
            receivers=_receivers(options),
            exporters=_exporters(options),
        ),
    }
    files = {path: _noted(options.to / path, text) for path, text in files.items()}
    left = stale(options.to, spec.name, files)
    kept = [path for path in left if has_notes(options.to / path)]
    files[list_name(spec.name)] = list_of({*files, *kept})
    states = {path: _state(options.to / path, text) for path, text in files.items()}
    if not options.check:
        _write(options.to, {path: text for path, text in files.items() if states[path] != "unchanged"})
        for path in left:
            if path not in kept:
                remove(options.to, path)
    states |= {path: "kept" if path in kept else "stale" for path in left}
    return _told(options, states)


def _told(options: argparse.Namespace, states: Mapping[str, str]) -> int:
    """Tell what became of each file, or with --check what would, and return the exit code."""
    ok = not options.check or all(state == "unchanged" for state in states.values())
    if options.json:
        listed = [{"path": path, "state": state} for path, state in states.items()]
        print_json({"ok": ok, "directory": str(options.to), "files": listed})
        return DONE if ok else NO
    if options.check and ok:
        print(f"all {len(states)} files in {options.to} are as the declaration has them")
        return DONE
    words = _DIFFERS if options.check else _WRITTEN
    told = [(words[state], options.to / path) for path, state in states.items() if state != "unchanged"]
    if told:
        print_table(("STATE", "FILE"), told)
    counts = Counter(words[state] for state in states.values())
    print(f"{', '.join(f'{count} {word}' for word, count in counts.items())}, in {options.to}")
    return DONE if ok else NO


def _exporters(options: argparse.Namespace) -> Exporters:
    from roadworthy.emit.exporters import Exporters

    named = {kind: tuple(at for name, at in options.exporter if name == kind) for kind in _EXPORTERS}
    return Exporters(**named, kube=tuple(options.kube_state_metrics))


def _receivers(options: argparse.Namespace) -> Receivers:
    from roadworthy.emit.alertmanager import Mail, Receivers

    parts = (options.mail_to, options.mail_from, options.mail_server)
    mail = Mail(*parts, tls=not options.mail_without_tls) if all(parts) else None
    return Receivers(pager=options.pagerduty_url, channel=options.channel, mail=mail, switch=options.dead_mans_switch)


def _noted(path: Path, text: str) -> str:
    """Return a page with the notes that people have written into it."""
    from roadworthy.emit.runbooks import with_notes

    if path.suffix != ".md" or not path.is_file():
        return text
    return with_notes(text, path.read_text(encoding="utf-8", errors="replace"))


def _state(path: Path, text: str) -> str:
    if not path.is_file():
        return "missing"
    return "unchanged" if path.read_text(encoding="utf-8", errors="replace") == text else "changed"


def _write(directory: Path, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(text, encoding="utf-8")


def _split(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or '"' in host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is no host and port, as in 127.0.0.1:8000")
    return host, int(port)


def _host_and_port(text: str) -> str:
    _split(text)
    return text


def _exporter(text: str) -> tuple[str, str]:
    kind, _, at = text.partition("=")
    if kind not in _EXPORTERS:
        raise argparse.ArgumentTypeError(f"{text!r} names no exporter, as in {_EXPORTERS[0]}=127.0.0.1:9100")
    return kind, _host_and_port(at)


def _origin(text: str) -> Origin:
    from roadworthy.emit.varnish import Origin

    host, port = _split(text)
    return Origin(host.removeprefix("[").removesuffix("]"), port)


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no IP address") from None
