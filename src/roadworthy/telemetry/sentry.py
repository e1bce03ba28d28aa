"""Error reports as Sentry takes them; the only module that knows its SDK.

The SDK makes the event of an exception and nothing else: it is not initialised for the process, hooks into nothing,
starts no thread, and sees no request. Local variables, the host's name and the lines of the program's output stay here.
"""

from __future__ import annotations

import http.client
import sys
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Any

from sentry_sdk.envelope import Envelope
from sentry_sdk.utils import Dsn, event_from_exception

from roadworthy._version import __version__
from roadworthy.telemetry.error_reports import ErrorReport
from roadworthy.telemetry.masking import scrubbed

_TIMEOUT_SECONDS = 5.0
_OPTIONS = {"include_local_variables": False, "include_source_context": True, "max_value_length": 4096}


class NotAccepted(Exception):
    """Sentry refused a report."""


def sender(
    dsn: str,
    *,
    service: str,
    version: str,
    secrets: Callable[[], Collection[str]],
    timeout: float = _TIMEOUT_SECONDS,
) -> Callable[[list[ErrorReport]], None]:
    """Return what sends reports to the Sentry of `dsn`, each exchange bounded by `timeout` seconds a step.

    It raises NotAccepted or OSError, and is for one thread. `secrets` returns what must not be sent.
    """
    parsed = Dsn(dsn)
    auth = parsed.to_auth(f"roadworthy/{__version__}")
    path = f"{parsed.path}api/{parsed.project_id}/envelope/"
    connect = http.client.HTTPSConnection if parsed.scheme == "https" else http.client.HTTPConnection

    release = {"release": f"{service}@{version}", "server_name": service}

    def send(reports: list[ErrorReport]) -> None:
        for report in reports:
            envelope = Envelope()
            # The release is ours, and looks like an address of mail.
            envelope.add_event(scrubbed(event(report, version), secrets()) | release)
            connection = connect(parsed.host, parsed.port, timeout=timeout)
            try:
                headers = {"Content-Type": "application/x-sentry-envelope", "X-Sentry-Auth": auth.to_header()}
                connection.request("POST", path, envelope.serialize(), headers)
                response = connection.getresponse()
                response.read()
            finally:
                connection.close()
            if response.status >= http.client.MULTIPLE_CHOICES:
                raise NotAccepted(f"Sentry answered {response.status}")

    return send


def event(report: ErrorReport, version: str) -> Any:
    """Return Sentry's event of a report."""
    made: Any
    if report.secret:
        made = {"level": "error", "exception": {"values": [{"type": type(report.error).__name__, "value": ""}]}}
    else:
        made, _ = event_from_exception(report.error, _OPTIONS)
    made.update(
        platform="python",
        timestamp=datetime.fromtimestamp(report.moment, UTC).isoformat(),
        tags={"service_version": version, **report.tags},
        contexts={"runtime": {"name": sys.implementation.name, "version": sys.version.split()[0]}},
    )
    return made
