"""Exporters that somebody runs anyway: their scrapes, and alerts on what they alone can see.

Their series have no label `service`, for they are not of one; `monitors` says for which service they are scraped. Only
an exporter that is named gets rules: one that is not there would have them silent for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from roadworthy.duration import minutes
from roadworthy.emit.alert import Alert
from roadworthy.emit.indicator import selected
from roadworthy.emit.yaml import Value
from roadworthy.objectives.spec import AlertExample


@dataclass(frozen=True, slots=True)
class Exporters:
    """Where exporters listen ("host:port"): by kind, and kube-state-metrics, which sees the pods of a cluster."""

    node: tuple[str, ...] = ()
    postgres: tuple[str, ...] = ()
    redis: tuple[str, ...] = ()
    kube: tuple[str, ...] = field(default=())

    @property
    def named(self) -> dict[str, tuple[str, ...]]:
        """The addresses by the name of their scrape job."""
        every = {"node": self.node, "postgres": self.postgres, "redis": self.redis, "kube-state-metrics": self.kube}
        return {name: addresses for name, addresses in every.items() if addresses}


def exporter_scrapes(exporters: Exporters, service: str) -> list[Value]:
    """Return the scrape of each kind of exporter."""
    return [
        {
            "job_name": name,
            # The cluster's series name pods, containers and namespaces themselves.
            "honor_labels": name == "kube-state-metrics",
            "static_configs": [{"targets": list(addresses), "labels": {"monitors": service}}],
        }
        for name, addresses in exporters.named.items()
    ]


def exporter_alerts(exporters: Exporters, service: str) -> Iterator[Alert]:
    """Yield the alerts on what the named exporters see."""
    if not exporters.named:
        return
    of = {"monitors": service}
    up = selected("up", {**of, "job": "node"})
    yield Alert(
        "ExporterDown",
        f"min by (job, instance) ({selected('up', of)}) == 0",
        minutes(5),
        "warning",
        "An exporter does not answer",
        "The exporter {{ $labels.job }} at {{ $labels.instance }} cannot be scraped; alerts on what it sees cannot "
        "fire meanwhile.",
        "Does it run there, and can Prometheus reach it? The service's own alerts do not need it.",
        example=AlertExample(
            {up: "0x60"},
            {up: "1x60"},
            timedelta(0),
            {"job": "node"},
            {"{{ $labels.job }}": "node", "{{ $labels.instance }}": ""},
        ),
    )
    if exporters.node:
        yield from _node(of)
    for kind, addresses, series in (("Postgres", exporters.postgres, "pg_up"), ("Redis", exporters.redis, "redis_up")):
        if addresses:
            yield _blind(kind, series, of)
    if exporters.kube:
        yield _crash_loop(of, service)


def _node(of: dict[str, str]) -> Iterator[Alert]:
    real = 'fstype!~"tmpfs|overlay|squashfs|ramfs"'
    free, size = (selected(f"node_filesystem_{what}_bytes", of, real) for what in ("avail", "size"))
    disk = {**of, "mountpoint": "/", "fstype": "ext4"}
    yield Alert(
        "NodeDiskSpaceLow",
        f"min by (instance, mountpoint) ({free} / ({size} > 0)) < 0.1",
        minutes(5),
        "critical",
        "A disk of a machine is getting full",
        "{{ $value | humanizePercentage }} of {{ $labels.mountpoint }} on {{ $labels.instance }} is left.",
        "`du -xh --max-depth=2` on it says what is large. Make room, or enlarge the disk.",
        example=AlertExample(
            {
                selected("node_filesystem_avail_bytes", disk): "9x60",
                selected("node_filesystem_size_bytes", disk): "100x60",
            },
            {
                selected("node_filesystem_avail_bytes", disk): "11x60",
                selected("node_filesystem_size_bytes", disk): "100x60",
            },
            timedelta(0),
            {"mountpoint": "/"},
            {
                "{{ $value | humanizePercentage }}": "9%",
                "{{ $labels.mountpoint }}": "/",
                "{{ $labels.instance }}": "",
            },
        ),
    )
    left, total = (selected(f"node_memory_{what}_bytes", of) for what in ("MemAvailable", "MemTotal"))
    yield Alert(
        "NodeMemoryLow",
        f"min by (instance) ({left} / ({total} > 0)) < 0.1",
        minutes(10),
        "warning",
        "A machine is running out of memory",
        "{{ $value | humanizePercentage }} of the memory of {{ $labels.instance }} is available.",
        "`ps aux --sort=-rss` says who has it. Is it the service, or something beside it?",
        example=AlertExample(
            {left: "9x60", total: "100x60"},
            {left: "11x60", total: "100x60"},
            timedelta(0),
            {"instance": ""},
            {"{{ $value | humanizePercentage }}": "9%", "{{ $labels.instance }}": ""},
        ),
    )


def _blind(kind: str, series: str, of: dict[str, str]) -> Alert:
    one = selected(series, of)
    return Alert(
        f"{kind}ExporterBlind",
        f"min by (instance) ({one}) == 0",
        minutes(5),
        "warning",
        f"The exporter of {kind} cannot see it",
        f"The exporter at {{{{ $labels.instance }}}} runs, and does not reach its {kind}.",
        f"Are its address and its password right? Is {kind} there at all: do the service's own alerts say otherwise?",
        example=AlertExample(
            {one: "0x60"}, {one: "1x60"}, timedelta(0), {"instance": ""}, {"{{ $labels.instance }}": ""}
        ),
    )


def _crash_loop(of: dict[str, str], service: str) -> Alert:
    name = "kube_pod_container_status_waiting_reason"
    looping = selected(name, {**of, "reason": "CrashLoopBackOff"}, f'pod=~"{service}(-.*)?"')
    pod = {"namespace": "default", "pod": f"{service}-1", "container": "web"}
    one = selected(name, {**of, **pod, "reason": "CrashLoopBackOff"})
    other = selected(name, {**of, **pod, "pod": "another-1", "reason": "CrashLoopBackOff"})
    return Alert(
        "PodCrashLooping",
        # A container that is tried again is not waiting for a moment.
        f"max by (namespace, pod, container) (max_over_time({looping}[5m])) >= 1",
        minutes(15),
        "critical",
        "A container ends again and again",
        "{{ $labels.container }} of the pod {{ $labels.pod }} in {{ $labels.namespace }} ends soon after each start.",
        "`kubectl logs --previous` of it has its last words. Does it lack a secret or a migration (`roadworthy "
        "migrate`)? Was it killed for memory (`kubectl describe pod`: OOMKilled)? After a deploy, `kubectl rollout "
        "undo` first.",
        example=AlertExample(
            {one: "1x100"},
            {other: "1x100"},
            timedelta(0),
            pod,
            {f"{{{{ $labels.{label} }}}}": value for label, value in pod.items()},
        ),
    )
