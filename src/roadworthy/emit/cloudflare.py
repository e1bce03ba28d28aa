"""A Cloudflare worker, for services whose routes have keys of their own: elsewhere, none is needed.

Cloudflare keeps what the headers say by the whole URL, and goes by no `Vary` but Accept-Encoding. The worker asks for
a URL that has what counts and nothing else; a listed header's value becomes a parameter of it, which the service is not
to mind.
"""

from __future__ import annotations

import json

from roadworthy.emit.routes import EdgeRoute, edge_routes
from roadworthy.service import ServiceSpec

VARIANT = "edge-variant"
"""The query parameter that tells variants apart."""


def cloudflare_worker(spec: ServiceSpec) -> str | None:
    """Return the worker as a JavaScript module, None where no route needs it."""
    routes = edge_routes(spec.edges)
    if not any(_has_key(route) for route in routes):
        return None
    rules = ",\n".join(f"  {json.dumps(_rule(route), sort_keys=True)}" for route in routes)
    return _WORKER.format(service=spec.name, rules=rules, variant=json.dumps(VARIANT))


def _has_key(route: EdgeRoute) -> bool:
    policy = route.policy
    return policy.is_shared and (policy.query is not None or any(vary.values is not None for vary in policy.vary))


def _rule(route: EdgeRoute) -> dict[str, object]:
    policy = route.policy
    return {
        "path": f"^{route.raw}$",
        "shared": policy.is_shared,
        "query": None if policy.query is None else list(policy.query),
        "vary": [[vary.header.lower(), list(vary.values)] for vary in policy.vary if vary.values is not None],
        "cookies": policy.cookies,
        "authorization": policy.authorization,
    }


_WORKER = """\
// Written by `roadworthy emit` from the declaration of {service}: change that, and not this.
const RULES = [
{rules}
];
const VARIANT = {variant};

function firstNamed(given, values) {{
  for (const item of (given || "").toLowerCase().split(",")) {{
    const name = item.split(";")[0].trim();
    for (const value of values) {{
      const wanted = value.toLowerCase();
      if (name === wanted || name.startsWith(wanted + "-")) return value;
    }}
  }}
  return null;
}}

export function keyed(request) {{
  const url = new URL(request.url);
  url.searchParams.delete(VARIANT);
  const rule = RULES.find((one) => new RegExp(one.path).test(url.pathname));
  const headers = new Headers(request.headers);
  if (!rule || !rule.shared || !["GET", "HEAD"].includes(request.method)) return null;
  if (rule.cookies === "ignored") headers.delete("cookie");
  if (headers.has("cookie") || (rule.authorization !== "ignored" && headers.has("authorization"))) return null;
  if (rule.query !== null) {{
    const kept = new URLSearchParams();
    for (const name of rule.query) {{
      for (const value of url.searchParams.getAll(name)) kept.append(name, value);
    }}
    url.search = kept.toString();
  }}
  const variants = [];
  for (const [name, values] of rule.vary) {{
    const value = firstNamed(headers.get(name), values);
    if (value === null) headers.delete(name);
    else headers.set(name, value);
    variants.push(value || "");
  }}
  if (variants.length > 0) url.searchParams.set(VARIANT, variants.join("."));
  return {{ url: url.toString(), headers }};
}}

export default {{
  async fetch(request) {{
    const key = keyed(request);
    if (key === null) return fetch(request);
    const asked = new Request(key.url, {{ method: request.method, headers: key.headers, redirect: "manual" }});
    return fetch(asked, {{ cf: {{ cacheEverything: true }} }});
  }},
}};
"""
