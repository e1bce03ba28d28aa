"""Asking a Prometheus over HTTP, as commands do.

Format: https://prometheus.io/docs/prometheus/latest/querying/api/
"""

from __future__ import annotations

import argparse
import http.client
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

import msgspec

from roadworthy.errors import PrometheusUnavailable

_TIMEOUT_SECONDS = 10.0
_LARGEST = 16 * 1024 * 1024


class _Sample(msgspec.Struct):
    metric: dict[str, str]
    value: tuple[float, str]


class _Data(msgspec.Struct):
    result: list[_Sample] = []


class _Answer(msgspec.Struct):
    status: str
    data: _Data | None = None
    error: str = ""


def address(text: str) -> str:
    """Parse the address of a Prometheus, as in http://127.0.0.1:9090."""
    try:
        parts = urlsplit(text)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != -1
    except ValueError:
        fits = False
    if not fits:
        raise argparse.ArgumentTypeError(f"{text!r} is no address of a Prometheus, as in http://127.0.0.1:9090")
    return text.rstrip("/")


def instant(prometheus: str, expression: str) -> list[tuple[Mapping[str, str], float]]:
    """Return the series that an expression has now, with their values.

    Raises PrometheusUnavailable, which says whom to ask where there is no answer.
    """
    parts = urlsplit(prometheus)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", f"{parts.path}/api/v1/query?query={quote(expression)}")
        body = connection.getresponse().read(_LARGEST)
        answer = msgspec.json.decode(body, type=_Answer)
    except (OSError, http.client.HTTPException, msgspec.DecodeError) as error:
        raise PrometheusUnavailable(
            f"Prometheus at {prometheus} gives no answer: {error}. Check that it runs there, and name another address "
            "with --prometheus"
        ) from error
    finally:
        connection.close()
    if answer.data is None or answer.status != "success":
        raise PrometheusUnavailable(f"Prometheus at {prometheus} refuses {expression!r}: {answer.error}")
    return [(sample.metric, float(sample.value[1])) for sample in answer.data.result]
