"""The configuration of what stands before a service, by file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from roadworthy.edge.policy import fronts_of
from roadworthy.emit.cloudflare import cloudflare_worker
from roadworthy.emit.nginx import nginx_http, nginx_location
from roadworthy.emit.varnish import Origin, varnish_vcl
from roadworthy.service import ServiceSpec


def edge_files(
    spec: ServiceSpec, *, origin: Origin | None = None, purgers: Sequence[str] = ("127.0.0.1", "::1")
) -> Mapping[str, str]:
    """Return the text of each file, by its path below where they are emitted.

    There are those of what the service says it is behind. `origin` is where it answers, `purgers` are the addresses
    from which Varnish lets itself be purged.
    """
    fronts = {front.name for front in fronts_of(spec.fronts, spec.cdns)}
    files: dict[str, str] = {}
    if "nginx" in fronts:
        files["nginx/http.conf"] = nginx_http(spec)
        files["nginx/location.conf"] = nginx_location(spec)
    if "varnish" in fronts:
        files["varnish/default.vcl"] = varnish_vcl(spec, origin=origin or Origin(), purgers=purgers)
    if "cloudflare" in fronts and (worker := cloudflare_worker(spec)) is not None:
        files["cloudflare/worker.js"] = worker
    return files
