"""The monitoring of a service, by file: Prometheus with its rules and their tests, Alertmanager, Grafana, runbooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from roadworthy.emit import alertmanager, prometheus, promtool
from roadworthy.emit.alertmanager import Receivers
from roadworthy.emit.exporters import Exporters
from roadworthy.emit.provisioning import grafana_files
from roadworthy.emit.runbooks import runbooks
from roadworthy.service import ServiceSpec

RUNBOOKS = "runbooks"


def monitoring_files(
    spec: ServiceSpec,
    *,
    targets: Sequence[str] = ("127.0.0.1:9100",),
    alerts_to: str = "127.0.0.1:9093",
    prometheus_at: str = "127.0.0.1:9090",
    runbooks_at: str = RUNBOOKS,
    receivers: Receivers | None = None,
    exporters: Exporters | None = None,
) -> Mapping[str, str]:
    """Return the text of each file, by its path below where they are emitted.

    `targets` are the operations ports to scrape, `alerts_to` and `prometheus_at` the hosts and ports at which
    Alertmanager and Prometheus listen, `runbooks_at` the address at which people read the runbooks, `receivers` are who
    is told, and `exporters` what else is scraped.
    """
    exporters = exporters or Exporters()
    files = {
        "prometheus/prometheus.yml": prometheus.configuration(spec, targets, alerts_to, prometheus_at, exporters),
        "prometheus/rules/watchdog.yml": prometheus.watchdog(runbooks_at),
        "alertmanager/alertmanager.yml": alertmanager.configuration(receivers or Receivers()),
    }
    files |= grafana_files(spec, prometheus_at, runbooks_at)
    for group in prometheus.rule_groups(spec, exporters):
        files[f"prometheus/rules/{group.name}.yml"] = prometheus.rules(group, spec, runbooks_at)
        files[f"prometheus/tests/{group.name}.yml"] = promtool.tests(group, spec, runbooks_at)
    return files | {f"{RUNBOOKS}/{path}": page for path, page in runbooks(spec, exporters).items()}
