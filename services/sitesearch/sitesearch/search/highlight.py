"""The excerpt of a page that shows why it was found, with the found words marked.

`ts_headline` parses a whole text again for every result. Here the forms of a searched word are known beforehand from
the site's vocabulary, so finding them is a plain search in the text, and PostgreSQL is not asked at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

EXCERPT_LENGTH = 260
_MOST_PLACES = 40
_JOINED_BY = ("", " ", ".", "_", "-")


@dataclass(frozen=True, slots=True)
class Form:
    """A way in which a searched word is written, in lower case. A `prefix` also begins longer words."""

    text: str
    term: int = 0
    prefix: bool = False


def fold(text: str) -> str:
    """Return `text` in lower case, character for character, so that positions stay."""
    lower = text.lower()
    if len(lower) == len(text):
        return lower
    return "".join(char.lower() if len(char.lower()) == 1 else char for char in text)


def find(folded: str, forms: Iterable[Form]) -> list[tuple[int, int, int]]:
    """Return (start, end, term) of where a form stands as a word in `folded`, in order, none overlapping."""
    places: list[tuple[int, int, int]] = []
    for form in forms:
        wanted = fold(form.text)
        if not wanted:
            continue
        start = folded.find(wanted)
        found = 0
        while start >= 0 and found < _MOST_PLACES:
            end = start + len(wanted)
            if not (start and folded[start - 1].isalnum()):
                if form.prefix:
                    while end < len(folded) and folded[end].isalnum():
                        end += 1
                if end == len(folded) or not folded[end].isalnum():
                    places.append((start, end, form.term))
                    found += 1
            start = folded.find(wanted, end)
    places.sort(key=lambda place: (place[0], -place[1]))
    kept: list[tuple[int, int, int]] = []
    for place in places:
        if not kept or place[0] >= kept[-1][1]:
            kept.append(place)
    return kept


def mark(text: str, forms: Sequence[Form]) -> Markup:
    """Return `text` as HTML with every form in a `<mark>`; all else is escaped."""
    return _marked(text, [(start, end) for start, end, _ in find(fold(text), forms)])


def excerpt(text: str, forms: Sequence[Form], *, length: int = EXCERPT_LENGTH) -> Markup:
    """Return about `length` characters of `text` as HTML: where most of the searched words stand close together."""
    places = find(fold(text), forms)
    start = _best_start(places, length)
    start, end = _whole_words(text, start, length)
    inside = [(max(a, start) - start, min(b, end) - start) for a, b, _ in places if a < end and b > start]
    body = _marked(text[start:end], inside)
    return Markup("{}{}{}").format("… " if start else "", _collapsed(body), " …" if end < len(text) else "")


def _collapsed(html: Markup) -> Markup:
    # Splitting and joining at white space leaves the escaping as it is: the marks contain none.
    return Markup(" ").join(html.split())


def _best_start(places: Sequence[tuple[int, int, int]], length: int) -> int:
    """Return where the window begins that holds most terms, then most words; the first of equals."""
    best, best_start = (0, 0), 0
    last = 0
    for first, (start, _, _) in enumerate(places):
        last = max(last, first)
        while last < len(places) and places[last][1] <= start + length * 3 // 4:
            last += 1
        window = places[first:last]
        score = (len({term for _, _, term in window}), min(len(window), 6))
        if score > best:
            best, best_start = score, start
    return best_start


def _whole_words(text: str, start: int, length: int) -> tuple[int, int]:
    """Widen to the beginning of a sentence if one is near, else of a word; end with a word."""
    if len(text) <= length:
        return 0, len(text)
    sentence = text.rfind(". ", max(0, start - length // 4), start)
    if sentence >= 0:
        start = sentence + 2
    elif start > 0:
        start = text.find(" ", max(0, start - length // 6)) + 1
    start = min(start, max(0, len(text) - length))
    while 0 < start < len(text) and text[start - 1] != " ":
        start += 1
    end = min(len(text), start + length)
    if end < len(text):
        cut = text.rfind(" ", start + length // 2, end)
        end = cut if cut > 0 else end
    return start, end


def _marked(text: str, places: Iterable[tuple[int, int]]) -> Markup:
    joined: list[tuple[int, int]] = []
    for start, end in places:
        if joined and text[joined[-1][1] : start] in _JOINED_BY:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    parts: list[str] = []
    at = 0
    for start, end in joined:
        parts += [escape(text[at:start]), Markup("<mark>{}</mark>").format(text[start:end])]
        at = end
    parts.append(escape(text[at:]))
    return Markup("").join(parts)
