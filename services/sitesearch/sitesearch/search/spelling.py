"""Which word was meant: of the words a site has that look alike, the likeliest."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import groupby
from string import ascii_lowercase

SHORT = 6
"""Up to this length, all that is one mistake away is looked for."""
RARE = 20
"""A known word is doubted only where a neighbour is on this many times as many pages."""


def distance(left: str, right: str) -> int:
    """Return how many letters must be added, left out, changed or swapped with the next to get from one to the other.

    The optimal string alignment distance, a restricted Damerau-Levenshtein (Boytsov 2011, section 2.1).
    """
    before: list[int] = []
    previous = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        current = [i]
        for j, b in enumerate(right, 1):
            cost = min(previous[j] + 1, current[j - 1] + 1, previous[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                cost = min(cost, before[j - 2] + 1)
            current.append(cost)
        before, previous = previous, current
    return previous[-1]


def tolerance(word: str) -> int:
    """Return how many mistakes a word of its length may hold: none below 3 letters, one below 6, else two."""
    if len(word) < 3:
        return 0
    return 1 if len(word) < 6 else 2


def edits(word: str) -> list[str]:
    """Return all that is one mistake away from `word` in Latin letters and its own.

    Of a short word so few three-letter sequences survive a mistake that similarity by them misses what was meant.
    """
    letters = sorted({*ascii_lowercase, *word})
    splits = [(word[:at], word[at:]) for at in range(len(word) + 1)]
    found = {left + right[1:] for left, right in splits if right}
    found |= {left + right[1] + right[0] + right[2:] for left, right in splits if len(right) > 1}
    found |= {left + letter + right[1:] for left, right in splits if right for letter in letters}
    found |= {left + letter + right for left, right in splits for letter in letters}
    return sorted(found - {word, ""})


def correct(word: str, pages: int, neighbours: Iterable[tuple[str, int]]) -> str | None:
    """Return the word that `word`, found on `pages` pages, was likely meant to be, or None.

    `neighbours` are words that the site has with their number of pages. A mistake weighs as much as a factor of 20 in
    pages, another first letter a factor of 5: people rarely mistype the first. A letter once instead of twice, or twice
    instead of once, is no more than half a mistake.
    """
    most = tolerance(word)
    best: tuple[float, str] | None = None
    for neighbour, on_pages in neighbours:
        if neighbour == word or on_pages < max(1, RARE * pages) or any(c.isdigit() for c in neighbour):
            continue
        mistakes = distance(word, neighbour)
        if mistakes > most:
            continue
        weight = mistakes / 2 if _squeezed(neighbour) == _squeezed(word) else mistakes
        score = math.log(on_pages) - weight * math.log(20) - (neighbour[0] != word[0]) * math.log(5)
        if best is None or (score, neighbour) > best:
            best = (score, neighbour)
    return best[1] if best else None


def _squeezed(word: str) -> str:
    """Return `word` with each letter that is doubled once."""
    return "".join(letter for letter, _ in groupby(word))
