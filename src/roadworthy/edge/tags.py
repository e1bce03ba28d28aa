"""Tags at the edge: their one spelling, their templates, and the header of each CDN that carries them.

Limits as the CDNs document them. What does not fit is not cut: a response without one of its tags could not be purged
by it, so it must not be kept at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from roadworthy.errors import DeclarationError

Front = Literal["cloudflare", "fastly", "cloudfront", "varnish", "nginx"]

_LONGEST_TEMPLATE = 256

_SAFE = "!#$%&'()*+-./:;<=>?@[]^_`{|}~"
_FIELD = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class TagForm:
    """How a CDN wants tags: the header, what stands between them, and how much of it is taken.

    `most_bytes` is of the whole value, `longest` of one tag in characters, `most` their number.
    """

    header: str
    separator: str
    most_bytes: int
    longest: int
    most: int


CDNS: Mapping[str, TagForm | None] = {
    "cloudflare": TagForm("Cache-Tag", ",", 16 * 1024, 1024, 1000),
    "fastly": TagForm("Surrogate-Key", " ", 16_384, 1024, 16_384),
    "cloudfront": TagForm("Cache-Tag", ",", 16_384, 256, 50),
    # Half of what a header line and all headers may have by default (http_resp_hdr_len, http_resp_size).
    "varnish": TagForm("Cache-Tag", ",", 4_096, 1024, 1000),
    "nginx": None,
}
"""The forms by what stands in front; None for what knows no tags."""

WITHIN = TagForm("Cache-Tag", ",", 1024 * 1024, 1024, 100_000)
"""How the service's own HTTP cache is told."""

TAG_HEADERS = frozenset({b"cache-tag", b"surrogate-key"})
"""Where an application may have put tags itself, separated by commas or spaces."""


def canonical_tag(text: str) -> str:
    """Return the one spelling of a tag at every edge: lowercase visible ASCII, everything else percent-encoded.

    Cloudflare and CloudFront take capitals and small letters for the same, and separators differ; to purge a tag, ask
    for this spelling.
    """
    return quote(text.lower(), safe=_SAFE).lower()


def parameters(template: str) -> list[str]:
    """Return the names of a template's parameters, in order."""
    return _FIELD.findall(template)


def check_template(edge: str, template: str) -> None:
    """Refuse a template that is empty, too long, or has braces that are no parameter.

    Raises:
        DeclarationError: the template breaks a rule; `edge` names its place.
    """
    if not template.strip() or len(template) > _LONGEST_TEMPLATE or not template.isprintable():
        raise DeclarationError(
            f"edge {edge!r} has the tag {template!r}; a tag is 1 to {_LONGEST_TEMPLATE} printable characters"
        )
    rest = _FIELD.sub("", template)
    if "{" in rest or "}" in rest or not all(name.isidentifier() for name in parameters(template)):
        raise DeclarationError(f"edge {edge!r} has the tag {template!r}; name a parameter, as in 'site:{{site}}'")


def rendered(template: str, value: Callable[[str], str | None]) -> str | None:
    """Return the tag of a template, canonical; None where a parameter has no value. `value` gives those by name."""
    found = {name: value(name) for name in parameters(template)}
    if any(text is None or not text for text in found.values()):
        return None
    return canonical_tag(_FIELD.sub(lambda match: found[match[1]] or "", template))


def header_value(form: TagForm, tags: Sequence[str]) -> bytes | None:
    """Return the header's value for canonical tags, None where they do not fit."""
    if len(tags) > form.most or any(len(tag) > form.longest for tag in tags):
        return None
    value = form.separator.join(tags).encode("ascii")
    return value if len(value) <= form.most_bytes else None


CURRENT_TAGS: ContextVar[list[str] | None] = ContextVar("roadworthy_edge_tags", default=None)
"""The tags that the handler of the current request has added."""


def edge_tags(*tags: str) -> None:
    """Add tags to the response of the current request, so that purging one of them takes it from the CDN.

    Without effect where the response is not kept by a shared cache, or where there is no request.
    """
    current = CURRENT_TAGS.get()
    if current is not None:
        current.extend(tags)


def united(tags: Iterable[str]) -> tuple[str, ...]:
    """Return tags in their one spelling, each once, in the order of their first mention."""
    return tuple(dict.fromkeys(canonical_tag(tag) for tag in tags if tag))
