"""Varnish before a service: VCL 4.1 for Varnish 6.6 to 7, with `vmod_std` alone.

Lifetimes and times of staleness are those of `CDN-Cache-Control` (RFC 9213), for each object. What is purged by tag is
banned by the `Cache-Tag` that each object bears; bans look at objects alone, so that the lurker can clear them away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from roadworthy.edge.policy import fronts_of
from roadworthy.emit.routes import EdgeRoute, edge_routes, listed
from roadworthy.service import ServiceSpec


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the service answers: a host and a port."""

    host: str = "127.0.0.1"
    port: int = 8000


def varnish_vcl(spec: ServiceSpec, *, origin: Origin, purgers: Sequence[str] = ("127.0.0.1", "::1")) -> str:
    """Return the whole VCL. `purgers` are the addresses that may purge."""
    fronts = {front.name for front in fronts_of(spec.fronts, spec.cdns)}
    # What stands further out has its own use for them.
    hidden = "" if fronts & _FURTHER_OUT else _HIDDEN
    return _VCL.format(
        service=spec.name,
        host=origin.host,
        port=origin.port,
        purgers="\n".join(f'    "{address}";' for address in purgers),
        routes=_routes(edge_routes(spec.edges)),
        hidden=hidden,
    )


def _routes(routes: tuple[EdgeRoute, ...]) -> str:
    if not routes:
        return ""
    lines = ["    # What of a request does not count, by its route, is taken from it."]
    for number, route in enumerate(routes):
        keyword = "if" if number == 0 else "} elsif"
        lines.append(f'    {keyword} (req.method ~ "^(GET|HEAD|PURGE)$" && req.url ~ "^{route.raw}(\\?|$)") {{')
        lines += (
            [f"        {line}" for line in _treatment(route)]
            if route.policy.is_treated
            else ["        # Nothing to do."]
        )
    return "\n".join([*lines, "    }", ""])


def _treatment(route: EdgeRoute) -> list[str]:
    policy = route.policy
    lines: list[str] = []
    if policy.query is not None:
        if policy.query:
            others = f"(?!(?:{listed(policy.query)})(?:=|&|$))"
            lines += [
                f'set req.url = regsuball(req.url, "([?&]){others}[^&]*", "\\1");',
                'set req.url = regsuball(req.url, "&&+", "&");',
                'set req.url = regsub(regsub(req.url, "\\?&", "?"), "[?&]$", "");',
                "set req.url = std.querysort(req.url);",
            ]
        else:
            lines.append('set req.url = regsub(req.url, "\\?.*$", "");')
    for vary in policy.vary:
        if vary.values is not None:
            header, item = f"req.http.{vary.header}", f"\\s*({listed(vary.values)})(?:-[^,;]*)?\\s*"
            first = f'regsub({header}, "(?i)^(?:.*?,)??{item}(?:[;,].*)?$", "\\1")'
            lines += [
                f'if ({header} ~ "(?i)(?:^|,){item}(?:[;,]|$)") {{',
                f"    set {header} = std.tolower({first});",
                "} else {",
                f"    unset {header};",
                "}",
            ]
    if policy.cookies == "ignored":
        lines.append("unset req.http.Cookie;")
    if policy.authorization == "ignored":
        lines += [
            "set req.http.X-Edge-Authorization = req.http.Authorization;",
            "unset req.http.Authorization;",
        ]
    return lines


_FURTHER_OUT = {"cloudflare", "fastly", "cloudfront"}
_HIDDEN = """\
    unset resp.http.Cache-Tag;
    unset resp.http.Surrogate-Key;
    unset resp.http.CDN-Cache-Control;
    unset resp.http.Surrogate-Control;
"""

_VCL = """\
# Written by `roadworthy emit` from the declaration of {service}: change that, and not this.
vcl 4.1;

import std;

backend default {{
    .host = "{host}";
    .port = "{port}";
    .probe = {{
        .url = "/readyz";
        .interval = 5s;
        .timeout = 2s;
        .window = 3;
        .threshold = 2;
        .initial = 2;
    }}
}}

acl purgers {{
{purgers}
}}

sub edge_ban {{
    if (req.http.Cache-Tag-Pattern ~ "\\s" || req.http.Url-Pattern ~ "\\s" || req.http.Host ~ "\\s") {{
        return (synth(400, "A pattern has no spaces"));
    }}
    if (req.http.Cache-Tag-Pattern) {{
        if (!std.ban("obj.http.Cache-Tag ~ " + req.http.Cache-Tag-Pattern)) {{
            return (synth(400, std.ban_error()));
        }}
    }} elsif (req.http.Url-Pattern == ".") {{
        if (!std.ban("obj.status != 0")) {{
            return (synth(400, std.ban_error()));
        }}
    }} elsif (req.http.Url-Pattern) {{
        if (!std.ban("obj.http.X-Edge-Host == " + std.tolower(req.http.Host) +
                     " && obj.http.X-Edge-Url ~ " + req.http.Url-Pattern)) {{
            return (synth(400, std.ban_error()));
        }}
    }} else {{
        return (synth(400, "Say what: Cache-Tag-Pattern or Url-Pattern"));
    }}
    return (synth(200, "Banned"));
}}

sub vcl_recv {{
    if (req.restarts == 0) {{
        # Neither is a client's to set.
        unset req.http.X-Edge-State;
        unset req.http.X-Edge-Authorization;
        unset req.http.X-Edge-Forward;
    }} elsif (req.http.X-Edge-State == "fetch") {{
        set req.grace = 0s;
    }} else {{
        set req.grace = 366d;
    }}
    if (req.http.Host) {{
        set req.http.Host = std.tolower(req.http.Host);
    }}
{routes}    if (req.method == "PURGE" || req.method == "BAN") {{
        if (client.ip !~ purgers) {{
            return (synth(403, "Not from here"));
        }}
        if (req.method == "PURGE") {{
            return (purge);
        }}
        call edge_ban;
    }}
}}

sub vcl_pass {{
    set req.http.X-Edge-Forward = "bypass";
}}

sub vcl_miss {{
    if (!req.http.X-Edge-Forward) {{
        set req.http.X-Edge-Forward = "uri-miss";
    }}
}}

sub vcl_hit {{
    if (obj.ttl >= 0s) {{
        return (deliver);
    }}
    if (req.http.X-Edge-State == "error") {{
        if (obj.ttl + std.duration(regsub(obj.http.CDN-Cache-Control,
                "(?i)^(?:.*,)?\\s*stale-if-error=(\\d+)\\s*(?:[;,].*)?$", "\\1s"), 0s) > 0s) {{
            return (deliver);
        }}
        return (synth(503, "Service Unavailable"));
    }}
    if (obj.ttl + std.duration(regsub(obj.http.CDN-Cache-Control,
            "(?i)^(?:.*,)?\\s*stale-while-revalidate=(\\d+)\\s*(?:[;,].*)?$", "\\1s"), 0s) > 0s) {{
        return (deliver);
    }}
    # Too old to be served unasked: fetched first, and served only where that fails.
    set req.http.X-Edge-State = "fetch";
    set req.http.X-Edge-Forward = "stale";
    return (restart);
}}

sub vcl_backend_fetch {{
    if (bereq.http.X-Edge-Authorization) {{
        set bereq.http.Authorization = bereq.http.X-Edge-Authorization;
    }}
    unset bereq.http.X-Edge-Authorization;
    unset bereq.http.X-Edge-Forward;
}}

sub vcl_backend_response {{
    set beresp.http.X-Edge-Url = bereq.url;
    set beresp.http.X-Edge-Host = std.tolower(bereq.http.Host);
    set beresp.grace = 0s;
    set beresp.keep = 0s;
    if (beresp.status >= 500) {{
        # No object of a failure may stand before the stale one.
        if (bereq.is_bgfetch || bereq.http.X-Edge-State == "fetch") {{
            return (abandon);
        }}
        set beresp.ttl = 0s;
        set beresp.uncacheable = true;
        return (deliver);
    }}
    if (bereq.uncacheable) {{
        return (deliver);
    }}
    if (beresp.http.CDN-Cache-Control ~ "(?i)(?:^|,)\\s*(?:no-store|no-cache|private)\\s*(?:[=;,]|$)") {{
        set beresp.ttl = 0s;
    }} elsif (beresp.http.CDN-Cache-Control ~ "(?i)(?:^|,)\\s*max-age=\\d+\\s*(?:[;,]|$)") {{
        set beresp.ttl = std.duration(regsub(beresp.http.CDN-Cache-Control,
            "(?i)^(?:.*,)?\\s*max-age=(\\d+)\\s*(?:[;,].*)?$", "\\1s"), 0s) - beresp.age;
        set beresp.grace = std.duration(regsub(beresp.http.CDN-Cache-Control,
            "(?i)^(?:.*,)?\\s*stale-while-revalidate=(\\d+)\\s*(?:[;,].*)?$", "\\1s"), 0s);
        if (beresp.grace < std.duration(regsub(beresp.http.CDN-Cache-Control,
                "(?i)^(?:.*,)?\\s*stale-if-error=(\\d+)\\s*(?:[;,].*)?$", "\\1s"), 0s)) {{
            set beresp.grace = std.duration(regsub(beresp.http.CDN-Cache-Control,
                "(?i)^(?:.*,)?\\s*stale-if-error=(\\d+)\\s*(?:[;,].*)?$", "\\1s"), 0s);
        }}
    }} elsif (beresp.http.Cache-Control ~ "(?i)(?:no-cache|no-store|private)"
            || (!beresp.http.Cache-Control && !beresp.http.Expires)) {{
        set beresp.ttl = 0s;
    }}
    if (beresp.http.Set-Cookie || beresp.http.Vary ~ "\\*" || beresp.ttl <= 0s) {{
        # For two minutes nobody waits for another's answer to learn that it is not for all.
        set beresp.ttl = 120s;
        set beresp.grace = 0s;
        set beresp.uncacheable = true;
    }}
    return (deliver);
}}

sub vcl_backend_error {{
    if (bereq.is_bgfetch || bereq.http.X-Edge-State == "fetch") {{
        return (abandon);
    }}
    set beresp.ttl = 0s;
    set beresp.grace = 0s;
    set beresp.uncacheable = true;
    set beresp.http.Cache-Control = "no-store";
}}

sub vcl_synth {{
    if (resp.status == 503 && req.http.X-Edge-State == "fetch") {{
        set req.http.X-Edge-State = "error";
        return (restart);
    }}
    set resp.http.Cache-Control = "no-store";
}}

sub vcl_deliver {{
    if (resp.http.Cache-Status) {{
        set resp.http.Cache-Status = resp.http.Cache-Status + ", ";
    }}
    if (obj.hits > 0 && req.http.X-Edge-State == "error") {{
        set resp.http.Cache-Status = resp.http.Cache-Status + "varnish; hit; detail=stale-if-error";
    }} elsif (obj.hits > 0) {{
        set resp.http.Cache-Status = resp.http.Cache-Status + "varnish; hit";
    }} else {{
        set resp.http.Cache-Status = resp.http.Cache-Status + "varnish; fwd=" + req.http.X-Edge-Forward;
    }}
    unset resp.http.X-Edge-Url;
    unset resp.http.X-Edge-Host;
{hidden}}}
"""
