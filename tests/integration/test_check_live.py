"""`roadworthy check --live` against a real Prometheus: what has data, what has none yet, and what never will."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from roadworthy.cli.main import main

DECLARATION = """\
from roadworthy import Service, minutes
service = Service("measured", owner="me")
service.counter("orders_total", "Orders taken.", labels={"paid": ("yes", "no")})
service.gauge("stock_items", "Items in stock.")
service.alert("FewOrders", expr="sum(rate(orders_total[10s])) < 0", severity="warning", runbook="Look.")
service.alert("NoStock", expr="stock_items == 0 and on () up == 1", severity="warning", runbook="Look.")
"""
RULES = """\
groups:
  - name: measured
    rules:
      - record: "orders:sum:rate"
        expr: 'sum(rate(orders_total[10s]))'
      - alert: FewOrders
        expr: 'sum(rate(orders_total[10s])) < 0'
      - alert: NoStock
        expr: 'stock_items == 0 and on () up == 1'
      - alert: Late
        expr: 'max(queue_ready{queue="letters"}) > 1000'
"""
CONFIGURATION = """\
global: {scrape_interval: 1s}
scrape_configs:
  - job_name: measured
    static_configs: [{targets: ["127.0.0.1:%d"]}]
"""


@contextmanager
def exporting(stock: bool) -> Iterator[int]:
    """Export two counters, and a gauge where there is stock."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = '# TYPE orders_total counter\norders_total{paid="yes"} 5\norders_total{paid="no"} 1\n'
            text += "# TYPE stock_items gauge\nstock_items 5\n" if stock else ""
            self.send_response(200)
            self.send_header("content-type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join(timeout=20)
        server.server_close()


@contextmanager
def prometheus(target: int, directory: Path) -> Iterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    (directory / "prometheus.yml").write_text(CONFIGURATION % target)
    process = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={directory / 'prometheus.yml'}",
            f"--storage.tsdb.path={directory / 'storage'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=20)


@pytest.mark.needs("prometheus")
@pytest.mark.parametrize("stock", [True, False])
def test_what_should_have_data_and_has_none_is_told(
    stock: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = tmp_path / f"measured_{stock}.py".lower()
    module.write_text(DECLARATION)
    rules = tmp_path / "deploy/prometheus/rules"
    rules.mkdir(parents=True)
    (rules / "measured.yml").write_text(RULES)
    options = ["check", f"{module}:service", "--deploy", str(tmp_path / "deploy"), "--json"]
    states: dict[str, str] = {}
    code = None
    with exporting(stock) as target, prometheus(target, tmp_path) as address:
        for _ in range(60):
            time.sleep(0.5)
            code = main([*options, "--live", address])
            printed = capsys.readouterr().out
            states = {one["name"]: one["state"] for one in json.loads(printed)["expressions"]} if code != 2 else {}
            if states.get("FewOrders") == "data":
                break
    assert states["orders:sum:rate"] == "data"
    assert states["Late"] == "no data yet"
    assert states["NoStock"] == ("data" if stock else "no data")
    assert code == (0 if stock else 1)


def test_live_goes_by_no_rules(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "unasked.py").write_text(DECLARATION)
    target = f"{tmp_path / 'unasked.py'}:service"
    assert main(["check", target, "--live", "http://127.0.0.1:1", "--select", "RW031"]) == 2
    assert main(["check", target, "--live", "http://127.0.0.1:1"]) == 2
    assert "127.0.0.1:1" in capsys.readouterr().err
