"""`roadworthy cost`, with what a Prometheus would answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from roadworthy.cli.main import main

DECLARATION = """
from roadworthy import Service

service = Service("shop")
service.prices(cpu_hour=0.04, monthly_budget=100.0, currency="EUR")
"""


@contextmanager
def answering(month: float) -> Iterator[str]:
    """Yield the address of what answers as a Prometheus with the emitted rules does."""
    known = {
        "service_cost:resource:hourly": [({"resource": "cpu"}, 0.1), ({"resource": "memory"}, 2.0)],
        "service_cost:source:hourly": [({"kind": "route", "name": "GET /a"}, 1.5), ({"kind": "shared"}, 0.6)],
        "service_cost:total:month": [({}, month)],
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            (expression,) = parse_qs(urlsplit(self.path).query)["query"]
            series = known[expression.partition("{")[0]]
            result = [{"metric": labels, "value": [0, str(value)]} for labels, value in series]
            body = json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


@pytest.fixture
def shop(tmp_path: Path) -> str:
    # A module of one name is imported once in a process.
    file = tmp_path / f"priced_{tmp_path.name}.py"
    file.write_text(DECLARATION)
    return f"{file}:service"


def test_it_tells_the_dearest_first_and_holds_the_month_against_the_budget(
    shop: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(99.0) as prometheus:
        assert main(["cost", shop, "--prometheus", prometheus]) == 0
    told = capsys.readouterr().out
    assert told.index("memory") < told.index("cpu") < told.index("GET /a") < told.index("shared")
    assert "1,460.00" in told
    assert "99.00 EUR, of 100.00 EUR that it may cost" in told


def test_a_month_above_the_budget_is_a_no(shop: str, capsys: pytest.CaptureFixture[str]) -> None:
    with answering(101.0) as prometheus:
        assert main(["cost", shop, "--prometheus", prometheus, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], told["month"], told["budget"], told["currency"]) == (False, 101.0, 100.0, "EUR")
    assert told["lines"][0] == {"what": "resource", "name": "memory", "hour": 2.0, "month": 1460.0}


def test_a_service_without_prices_is_told_how_to_declare_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "free.py").write_text("from roadworthy import Service\nservice = Service('free')\n")
    assert main(["cost", f"{tmp_path / 'free.py'}:service"]) == 1
    assert "service.prices()" in capsys.readouterr().out
