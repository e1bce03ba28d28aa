"""nginx before a service: what goes within `http`, and what goes within a location.

nginx knows no targeted fields. The service, told that it is behind nginx, says lifetime and staleness in
`Cache-Control` as well; nginx honours them for each response, and hides them from the client.
"""

from __future__ import annotations

from datetime import timedelta

from roadworthy.edge.policy import escaped, fronts_of
from roadworthy.emit.routes import EdgeRoute, edge_routes
from roadworthy.service import ServiceSpec

_LEAST_INACTIVE = timedelta(minutes=10)
_MOST_INACTIVE = timedelta(days=30)
_FURTHER_OUT = {"cloudflare", "fastly", "cloudfront"}
_FOR_OTHERS = ("Cache-Tag", "Surrogate-Key", "CDN-Cache-Control", "Surrogate-Control")


def nginx_http(spec: ServiceSpec, *, cache: str | None = None) -> str:
    """Return what is to be included within `http`. `cache` is the directory of what is kept."""
    name = _variable(spec.name)
    directory = cache or f"/var/cache/nginx/{spec.name}"
    fronts = {front.name for front in fronts_of(spec.fronts, spec.cdns)}
    hidden = "stale-(?:while-revalidate|if-error)=" if "cloudfront" in fronts else "(?:s-maxage|stale-[a-z-]+)="
    lines = [
        f"# Written by `roadworthy emit` from the declaration of {spec.name}: change that, and not this.",
        "# Include it within http { }.",
        "",
        f"proxy_cache_path {directory} levels=1:2 keys_zone={name}_edge:10m max_size=1g",
        f"                 inactive={_inactive(spec)}s use_temp_path=off;",
        "",
        *_requests(name, edge_routes(spec.edges)),
        "# The path as it was sent: decoded, it could be taken for one with a query.",
        f"map $request_uri ${name}_edge_path {{",
        f'    "~^(?<{name}_edge_sent>[^?]*)" ${name}_edge_sent;',
        "}",
        "",
        "# What a request with credentials is answered is never kept, nor taken from what is.",
        *_personal(name, "cookie"),
        *_personal(name, "authorization"),
        f'map "${name}_edge_cookie${name}_edge_authorization" ${name}_edge_bypass {{',
        '    "" "";',
        "    default 1;",
        "}",
        "",
        "# Where nothing is kept, the client's own conditions are for the service to answer.",
        *_condition(name, "etag", "$http_if_none_match", "$upstream_cache_etag"),
        *_condition(name, "modified", "$http_if_modified_since", "$upstream_cache_last_modified"),
        "# For how long this nginx may keep it, fresh and stale, is not for browsers.",
        f"map $upstream_http_cache_control ${name}_edge_cache_control {{",
        "    default $upstream_http_cache_control;",
        f'    "~^(?<{name}_edge_kept>.*?), {hidden}" ${name}_edge_kept;',
        "}",
        "",
        "# RFC 9211.",
        f"map $upstream_cache_status ${name}_edge_status {{",
        '    default "";',
        *(f'    {status} "nginx; {said}";' for status, said in _STATUSES.items()),
        "}",
    ]
    return "\n".join(lines) + "\n"


def nginx_location(spec: ServiceSpec) -> str:
    """Return what is to be included within the location that passes requests on to the service."""
    name = _variable(spec.name)
    fronts = {front.name for front in fronts_of(spec.fronts, spec.cdns)}
    # What stands further out has its own use for them.
    hidden = () if fronts & _FURTHER_OUT else _FOR_OTHERS
    query: list[str] = []
    if any(route.policy.query is not None for route in edge_routes(spec.edges)):
        query = [
            "# Query parameters that do not count reach nobody.",
            f"if (${name}_edge_query) {{",
            f"    set $args ${name}_edge_args;",
            "}",
            "",
        ]
    lines = [
        f"# Written by `roadworthy emit` from the declaration of {spec.name}: change that, and not this.",
        "# Include it beside the proxy_pass of a location. Headers added outside of it must be added there again.",
        "",
        *query,
        "proxy_http_version 1.1;",
        'proxy_set_header Connection "";',
        "proxy_set_header Host $host;",
        "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
        "proxy_set_header X-Forwarded-Proto $scheme;",
        f"proxy_set_header Cookie ${name}_edge_cookie_sent;",
        f"proxy_set_header If-None-Match ${name}_edge_etag;",
        f"proxy_set_header If-Modified-Since ${name}_edge_modified;",
        "",
        f"proxy_cache {name}_edge;",
        f'proxy_cache_key "$scheme://$host${name}_edge_path$is_args$args";',
        f"proxy_cache_bypass ${name}_edge_bypass;",
        f"proxy_no_cache ${name}_edge_bypass;",
        "proxy_cache_lock on;",
        "proxy_cache_lock_timeout 5s;",
        "proxy_cache_revalidate on;",
        "proxy_cache_background_update on;",
        "# Each response says for how long it may be stale: while it is fetched anew, and where the service cannot be",
        "# reached. An error that the service answers is passed on.",
        "proxy_cache_use_stale off;",
        "",
        "proxy_buffer_size 32k;",
        "proxy_buffers 8 32k;",
        "proxy_busy_buffers_size 64k;",
        "",
        *(f"proxy_hide_header {header};" for header in hidden),
        "proxy_hide_header Cache-Control;",
        f"add_header Cache-Control ${name}_edge_cache_control always;",
        f"add_header Cache-Status ${name}_edge_status always;",
    ]
    return "\n".join(lines) + "\n"


_STATUSES = {
    "HIT": "hit",
    "MISS": "fwd=uri-miss",
    "EXPIRED": "fwd=stale",
    "REVALIDATED": "fwd=stale; fwd-status=304",
    "STALE": "hit; detail=stale",
    "UPDATING": "hit; detail=stale",
    "BYPASS": "fwd=bypass",
}


def _requests(name: str, routes: tuple[EdgeRoute, ...]) -> list[str]:
    """Return the maps from a request to what does not count in it, and to what is left of its query."""
    lines = ["# What of a request does not count, by its route.", f'map "$request_method $uri" ${name}_edge_ignored {{']
    lines.append('    default "";')
    for route in routes:
        policy = route.policy
        credentials = {"cookie": policy.cookies, "authorization": policy.authorization}
        ignored = " ".join(name for name, fate in credentials.items() if policy.is_shared and fate == "ignored")
        lines.append(f'    {_request(route)} "{ignored}";')
    lines += ["}", ""]
    if any(route.policy.query is not None for route in routes):
        lines += _queries(name, routes)
    return lines


def _queries(name: str, routes: tuple[EdgeRoute, ...]) -> list[str]:
    lines = [f'map "$request_method $uri" ${name}_edge_query {{', '    default "";']
    names: dict[str, str] = {}
    chosen: list[str] = []
    for number, route in enumerate(routes, 1):
        lines.append(f'    {_request(route)} "{"" if route.policy.query is None else number}";')
        if route.policy.query is not None:
            for parameter in route.policy.query:
                names.setdefault(parameter, f"{name}_edge_parameter_{len(names) + 1}")
            parts = "".join(f"${{{names[parameter]}}}" for parameter in route.policy.query)
            chosen.append(f'    {number} "{parts}";')
    lines += ["}", ""]
    for parameter, variable in names.items():
        lines += [
            f"map $args ${variable} {{",
            '    default "";',
            f'    "~(?:^|&){escaped(parameter)}=(?<{variable}_value>[^&]*)" "{parameter}=${{{variable}_value}}&";',
            "}",
            "",
        ]
    return [*lines, f"map ${name}_edge_query ${name}_edge_args {{", "    default $args;", *chosen, "}", ""]


def _request(route: EdgeRoute) -> str:
    return f'"~^(?:GET|HEAD) {route.decoded}$"'


def _personal(name: str, credential: str) -> list[str]:
    lines = [
        f'map "${name}_edge_ignored|$http_{credential}" ${name}_edge_{credential} {{',
        '    "~^[^|]*\\|$" "";',
        f'    "~^[^|]*{credential}[^|]*\\|" "";',
        "    default 1;",
        "}",
    ]
    if credential == "cookie":
        lines += [
            f"map ${name}_edge_ignored ${name}_edge_cookie_sent {{",
            "    default $http_cookie;",
            '    "~cookie" "";',
            "}",
        ]
    return lines


def _condition(name: str, what: str, clients: str, own: str) -> list[str]:
    return [
        f"map ${name}_edge_bypass ${name}_edge_{what} {{",
        f"    default {clients};",
        f'    "" {own};',
        "}",
    ]


def _inactive(spec: ServiceSpec) -> int:
    """Return after how many seconds without a request something is dropped: not before nobody may be served it."""
    used = [
        edge.policy.edge + max(edge.policy.stale, edge.policy.stale_if_error)
        for edge in spec.edges
        if edge.policy.edge is not None
    ]
    return int(min(max([_LEAST_INACTIVE, *used]), _MOST_INACTIVE).total_seconds())


def _variable(service: str) -> str:
    return service.replace("-", "_")
