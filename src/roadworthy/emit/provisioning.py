"""The files by which Grafana finds its data source and the dashboards of a service.

Format: https://grafana.com/docs/grafana/latest/administration/provisioning/
"""

from __future__ import annotations

from collections.abc import Mapping

from roadworthy.emit.dashboards import dashboards
from roadworthy.emit.durations import written
from roadworthy.emit.grafana import DATASOURCE
from roadworthy.emit.grafana import written as dashboard
from roadworthy.emit.objectives import INTERVAL
from roadworthy.emit.prometheus import HEADER
from roadworthy.emit.yaml import Value, document
from roadworthy.service import ServiceSpec

DASHBOARDS = "/var/lib/grafana/dashboards"
"""Where Grafana looks for the files of `grafana/dashboards`."""


def grafana_files(spec: ServiceSpec, prometheus_at: str, runbooks_at: str) -> Mapping[str, str]:
    """Return the text of each file for Grafana, by its path.

    `prometheus_at` is the host and port at which Prometheus listens, `runbooks_at` where people read the runbooks.
    """
    boards = {
        f"grafana/dashboards/{spec.name}/{board.name}.json": dashboard(board, spec, runbooks_at)
        for board in dashboards(spec)
    }
    return {
        **boards,
        f"grafana/provisioning/dashboards/{spec.name}.yml": _provider(spec),
        "grafana/provisioning/datasources/prometheus.yml": _source(prometheus_at),
    }


def _provider(spec: ServiceSpec) -> str:
    provider: Value = {
        "name": spec.name,
        "folder": spec.name,
        "type": "file",
        "allowUiUpdates": False,
        "options": {"path": f"{DASHBOARDS}/{spec.name}"},
    }
    return document(
        {"apiVersion": 1, "providers": [provider]},
        HEADER,
        f"Copy or mount grafana/dashboards to {DASHBOARDS}.",
    )


def _source(prometheus_at: str) -> str:
    source: Value = {
        "name": "Prometheus",
        "uid": DATASOURCE,
        "type": "prometheus",
        "access": "proxy",
        "url": f"http://{prometheus_at}",
        "isDefault": True,
        # By what $__rate_interval is reckoned.
        "jsonData": {"httpMethod": "POST", "timeInterval": written(INTERVAL)},
    }
    return document({"apiVersion": 1, "datasources": [source]}, HEADER)
