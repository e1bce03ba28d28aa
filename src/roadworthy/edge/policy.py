"""Which policy a response falls under, and the header fields that say it.

Pure: from a request's method, path and headers to a rule, and from a rule and a response's status to header fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, unquote_plus

from roadworthy.edge.cdn import Cdn, Cloudflare, CloudFront, Fastly, Varnish
from roadworthy.edge.spec import ANYTHING, EdgeSpec, FrontSpec, Policy
from roadworthy.edge.tags import Front, TagForm, header_value, rendered

Fields = list[tuple[bytes, bytes]]

CACHE_CONTROL = b"cache-control"
CDN_CACHE_CONTROL = b"cdn-cache-control"
SURROGATE_CONTROL = b"surrogate-control"
UNCACHEABLE = (b"x-edge-uncacheable", b"tags")
"""Says at a response that the edge must not keep it, since its tags do not fit."""

NO_STORE: Fields = [(CACHE_CONTROL, b"no-store")]
ONE_PERSONS: Fields = [(CACHE_CONTROL, b"private, no-cache")]
_MISSING = frozenset({404, 410})
# Those that a cache keeps by its own judgement (RFC 9110, 15.1), and 304, which renews what is kept.
_KEPT = frozenset({200, 203, 204, 206, 300, 301, 304, 308})

_SEGMENT = re.compile(r"\{(?P<name>[A-Za-z_]\w*)(?::(?P<kind>\w+))?\}")
_NAMES: Mapping[type[Cdn], Front] = {
    Cloudflare: "cloudflare",
    CloudFront: "cloudfront",
    Fastly: "fastly",
    Varnish: "varnish",
}
_KINDS = {"path": ".*", "int": "[0-9]+", "float": r"[0-9.]+", "uuid": "[0-9a-fA-F-]+"}


@dataclass(frozen=True, slots=True)
class Rule:
    """A policy as it is applied. `kept`, `missing` and `personal` are the fields by what the response is."""

    spec: EdgeSpec
    kept: Fields
    missing: Fields
    personal: Fields
    pattern: re.Pattern[str] | None = None

    @property
    def policy(self) -> Policy:
        """What may be kept, and for how long."""
        return self.spec.policy

    @property
    def path(self) -> str:
        """The path template, as the application declares it; the name of what is no route."""
        return self.spec.name if self.spec.route is None else self.spec.route[1]

    def fields(self, status: int) -> Fields:
        """Return the fields of a response with this status that nothing keeps from being shared."""
        if status in _KEPT:
            return self.kept
        if status in _MISSING:
            return self.missing
        if status >= 400 or self.policy.is_shared:
            return NO_STORE
        return self.kept

    def tags(self, path: str, query: bytes) -> list[str]:
        """Return the tags of a request's response; a template whose parameter the request lacks gives none."""
        if not self.spec.tags:
            return []
        found = self.pattern.fullmatch(path) if self.pattern is not None else None
        values: dict[str, str] = dict(reversed(parse_qsl(query.decode("latin-1"), max_num_fields=None)))
        if found is not None:
            values |= found.groupdict()
        tags = (rendered(template, values.get) for template in self.spec.tags)
        return [tag for tag in tags if tag is not None]


@dataclass(slots=True)
class Match:
    """What a request is taken for, before the application has dispatched it, and then what it was.

    `tags` are those of the response, once it has begun.
    """

    rule: Rule
    tags: tuple[str, ...] = ()


class Rules:
    """The policies of a service, ready to be asked."""

    def __init__(self, specs: Sequence[EdgeSpec], fronts: Sequence[FrontSpec] = ()) -> None:
        """Compile `specs`; `fronts` stand before the service.

        `cached` says whether the service's own HTTP cache is to keep anything, `forms` how tags are carried further,
        `has_kinds` whether a response of no declared route can have a policy.
        """
        self.forms = tag_forms(fronts)
        rules = [_rule(spec, fronts) for spec in specs]
        self._by_route = {rule.spec.route: rule for rule in rules if rule.spec.route is not None}
        self.cached = any(rule.spec.cached for rule in rules)
        self._kinds = {rule.spec.name: rule for rule in rules if rule.spec.route is None}
        self._anything = self._kinds.pop(ANYTHING, None)
        self.has_kinds = bool(self._kinds) or self._anything is not None
        self._exact: dict[tuple[str, str], Rule] = {}
        self._templated: dict[str, list[Rule]] = {}
        for (method, path), rule in self._by_route.items():
            if "{" in path:
                self._templated.setdefault(method, []).append(rule)
            else:
                self._exact[method, path] = rule
        self._alternatives = {
            method: re.compile("|".join(f"({pattern_of(rule.path, named=False)})" for rule in templated))
            for method, templated in self._templated.items()
        }

    def __bool__(self) -> bool:
        """Whether anything is declared."""
        return bool(self._by_route or self._kinds or self._anything)

    @property
    def has_routes(self) -> bool:
        """Whether a policy is declared for a route, so that matching can find one."""
        return bool(self._by_route)

    def match(self, method: str, path: str) -> Rule | None:
        """Return the rule whose route a request looks like; HEAD counts as GET. One without parameters goes first."""
        if method == "HEAD":
            method = "GET"
        exact = self._exact.get((method, path))
        if exact is not None:
            return exact
        alternatives = self._alternatives.get(method)
        if alternatives is None:
            return None
        found = alternatives.fullmatch(path)
        return None if found is None or found.lastindex is None else self._templated[method][found.lastindex - 1]

    def of_route(self, method: str, template: str) -> Rule | None:
        """Return the rule of exactly this route."""
        return self._by_route.get(("GET" if method == "HEAD" else method, template))

    def of_kind(self, content_type: bytes) -> Rule | None:
        """Return the rule of a response of no declared route, by its Content-Type."""
        if not self._kinds:
            return self._anything
        kind = content_type.partition(b";")[0].strip().lower().decode("latin-1")
        whole = kind.partition("/")[0] + "/*"
        return self._kinds.get(kind) or self._kinds.get(whole) or self._anything


def pattern_of(template: str, *, named: bool = True) -> str:
    """Return the regular expression of the paths that a template takes, in a form that PCRE has too.

    A parameter is one segment; with `:path`, or as the last one and called `path` as below a mount, all that is left.
    """
    parts, end = [], 0
    for found in _SEGMENT.finditer(template):
        parts.append(escaped(template[end : found.start()]))
        end = found.end()
        rest = found["name"] == "path" and end == len(template) and found["kind"] is None
        kind = ".*" if rest else _KINDS.get(found["kind"] or "", "[^/]+")
        parts.append(f"(?P<{found['name']}>{kind})" if named else f"(?:{kind})")
    return "".join([*parts, escaped(template[end:])])


def escaped(literal: str) -> str:
    """Return a regular expression, of Python's or PCRE's, that matches a text alone."""
    return re.sub(r"([.^$*+?()\[\]{}|\\])", r"\\\1", literal)


def fronts_of(declared: Iterable[FrontSpec], purged: Iterable[Cdn]) -> tuple[FrontSpec, ...]:
    """Return what stands before a service: what it says so itself, and the CDNs that it purges."""
    fronts = {front.name: front for front in declared}
    for cdn in purged:
        name = _NAMES[type(cdn)]
        fronts.setdefault(name, FrontSpec(name))
    return tuple(fronts.values())


def tag_forms(fronts: Iterable[FrontSpec]) -> tuple[TagForm, ...]:
    """Return the headers that carry tags to these, each once, with the tightest limits of all that read it."""
    forms: dict[str, TagForm] = {}
    for form in (front.form for front in fronts):
        if form is None:
            continue
        known = forms.get(form.header.lower(), form)
        forms[form.header.lower()] = replace(
            form,
            most_bytes=min(form.most_bytes, known.most_bytes),
            longest=min(form.longest, known.longest),
            most=min(form.most, known.most),
        )
    return tuple(forms.values())


def tag_fields(forms: Sequence[TagForm], tags: Sequence[str]) -> Fields | None:
    """Return the fields that carry canonical tags, None where they do not fit into one of them."""
    fields: Fields = []
    for form in forms if tags else ():
        value = header_value(form, tags)
        if value is None:
            return None
        fields.append((form.header.lower().encode("ascii"), value))
    return fields


def unkept(policy: Policy) -> Fields:
    """Return the fields of a response that its browser may keep as declared, and no shared cache at all."""
    browser = _seconds(policy.browser)
    value = f"private, max-age={browser}" if browser else "private, no-cache"
    return [(CACHE_CONTROL, value.encode()), (CDN_CACHE_CONTROL, b"no-store"), UNCACHEABLE]


def privatised(cache_control: bytes) -> bytes:
    """Return a Cache-Control of the application's that lets no shared cache keep the response."""
    directives = [part.strip() for part in _outside_quotes(cache_control.decode("latin-1"))]
    names = {part.partition("=")[0].lower() if "=" not in part else part.lower() for part in directives}
    if names & {"private", "no-store"}:
        return cache_control
    shared = ("public", "s-maxage", "proxy-revalidate", "private")
    kept = [part for part in directives if part and part.partition("=")[0].strip().lower() not in shared]
    return ", ".join(["private", *kept]).encode("latin-1")


def _outside_quotes(value: str) -> list[str]:
    return re.findall(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+', value)


def _rule(spec: EdgeSpec, fronts: Sequence[FrontSpec]) -> Rule:
    policy = spec.policy
    pattern = re.compile(pattern_of(spec.route[1])) if spec.route is not None else None
    names: set[str] = {front.name for front in fronts}
    kept = _kept(policy, names)
    personal = ONE_PERSONS if policy.is_shared else kept
    return Rule(spec, kept, _missing(policy, names), personal, pattern)


def _kept(policy: Policy, fronts: set[str]) -> Fields:
    browser = _seconds(policy.browser)
    match policy.kind:
        case "secret":
            return NO_STORE
        case "private":
            return [(CACHE_CONTROL, f"private, max-age={browser}".encode())] if browser else ONE_PERSONS
        case "immutable":
            return [(CACHE_CONTROL, f"public, max-age={browser}, immutable".encode())]
    edge = _seconds(policy.edge)
    value = f"public, max-age={browser}" + ("" if browser else ", must-revalidate")
    stale = _stale(policy)
    if fronts & {"cloudfront", "nginx"} and edge != browser:
        # They read no targeted field.
        value += f", s-maxage={edge}"
    if "nginx" in fronts or ("cloudfront" in fronts and edge == browser):
        # Beside s-maxage it would forbid others to serve stale (RFC 9111, 5.2.2.10): nginx does not mind, and by its
        # emitted configuration hides both from those others.
        value += stale
    return _shared(value, edge, stale, policy, fronts)


def _missing(policy: Policy, fronts: set[str]) -> Fields:
    if not policy.is_shared:
        return _kept(policy, fronts)
    seconds = _seconds(policy.missing)
    return _shared(f"public, max-age={seconds}", seconds, "", policy, fronts) if seconds else NO_STORE


def _shared(cache_control: str, edge: int, stale: str, policy: Policy, fronts: set[str]) -> Fields:
    # What reads the targeted field reads no other, and keeps an answer to Authorization only where that field says so.
    public = "public, " if policy.authorization == "ignored" else ""
    targeted = f"{public}max-age={edge}{stale}".encode()
    fields = [(CACHE_CONTROL, cache_control.encode()), (CDN_CACHE_CONTROL, targeted)]
    if "fastly" in fronts:
        fields.append((SURROGATE_CONTROL, targeted))
    return fields


def _stale(policy: Policy) -> str:
    stale, on_error = _seconds(policy.stale), _seconds(policy.stale_if_error)
    return (f", stale-while-revalidate={stale}" if stale else "") + (f", stale-if-error={on_error}" if on_error else "")


def _seconds(lifetime: object) -> int:
    total = getattr(lifetime, "total_seconds", None)
    return 0 if total is None else int(total())


def normalised(headers: Fields, rule: Rule) -> Fields:
    """Return request headers in which each that varies by listed values has the first of those, or is not there."""
    listed: Mapping[bytes, tuple[str, ...]] = {
        vary.header.lower().encode(): vary.values for vary in rule.policy.vary if vary.values is not None
    }
    if not listed:
        return headers
    kept = [header for header in headers if header[0] not in listed]
    for name, values in listed.items():
        given = b",".join(value for header, value in headers if header == name).decode("latin-1").lower()
        chosen = first_named(given, values)
        if chosen is not None:
            kept.append((name, chosen.encode()))
    return kept


def counting(query: bytes, rule: Rule) -> bytes:
    """Return what of a query counts, in the order of the declaration; all of it where nothing is declared."""
    names = rule.policy.query
    if names is None or not query:
        return query
    order = {name: place for place, name in enumerate(names)}
    pairs = [(unquote_plus(pair.partition(b"=")[0].decode("latin-1")), pair) for pair in query.split(b"&")]
    kept = sorted((pair for pair in pairs if pair[0] in order), key=lambda pair: order[pair[0]])
    return b"&".join(pair for _, pair in kept)


def first_named(given: str, values: Sequence[str]) -> str | None:
    """Return the value that a header names first, as "de" in "de-AT,de;q=0.9,en"; "de-AT" names "de" too."""
    for item in given.split(","):
        name = item.partition(";")[0].strip()
        for value in values:
            if name == value.lower() or name.startswith(f"{value.lower()}-"):
                return value
    return None
