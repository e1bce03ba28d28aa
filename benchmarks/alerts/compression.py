"""Time compressed: what is emitted with every duration that Prometheus and Alertmanager obey divided by one factor.

Nothing else changes: thresholds, labels, names and texts stay as emitted, though some of them name a duration.
"""

from __future__ import annotations

import re
from datetime import timedelta

from roadworthy.emit.durations import written

_DURATION = r"(?:\d+(?:ms|[smhdwy]))+"
_FIELD = re.compile(
    r"^(?P<head>\s*(?:- )?(?:for|interval|keep_firing_for|evaluation_interval|group_wait|group_interval|"
    rf"repeat_interval|scrape_interval|scrape_timeout): )(?P<duration>{_DURATION})$"
)
_EXPRESSION = re.compile(r"^(?P<indent>\s*)(?P<item>- )?expr: ?(?P<text>.*)$")
_RANGE = re.compile(rf"(?<=[\w)}}])(?P<open>\[)(?P<range>{_DURATION})(?P<step>:(?:{_DURATION})?)?\]")
_OFFSET = re.compile(rf"(?<=\boffset )(?P<sign>-?)(?P<duration>{_DURATION})\b")
_PART = re.compile(r"(\d+)(ms|[smhdwy])")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}


def compressed(text: str, factor: float) -> str:
    """Return one of the emitted YAML files, of rules or a configuration, with each duration divided by `factor`.

    The time-out of a scrape is that of something real: it stays, though never above the interval, as Prometheus wants.
    """
    if factor == 1:
        return text
    lines = []
    inside: int | None = None
    interval: timedelta | None = None
    for line in text.split("\n"):
        indent = len(line) - len(line.lstrip())
        if inside is not None and line.strip() and indent <= inside:
            inside = None
        if inside is not None:
            lines.append(expression(line, factor))
        elif (field := _FIELD.fullmatch(line)) is not None:
            shorter = _divided(field["duration"], factor)
            if field["head"].strip().endswith("scrape_interval:"):
                interval = shorter
            elif field["head"].strip().endswith("scrape_timeout:"):
                timeout = _divided(field["duration"], 1)
                shorter = timeout if interval is None else min(timeout, interval)
            lines.append(field["head"] + written(shorter))
        elif (found := _EXPRESSION.fullmatch(line)) is not None:
            # The text of a block stands below, deeper than its key.
            inside = indent + len(found["item"] or "")
            lines.append(expression(line, factor))
        else:
            lines.append(line)
    return "\n".join(lines)


def expression(text: str, factor: float) -> str:
    """Return a PromQL expression with its ranges, steps and offsets divided by `factor`."""

    def shorter(duration: str) -> str:
        return written(_divided(duration, factor))

    def of_range(match: re.Match[str]) -> str:
        step = match["step"] or ""
        return f"[{shorter(match['range'])}{':' + shorter(step[1:]) if len(step) > 1 else step}]"

    ranged = _RANGE.sub(of_range, text)
    return _OFFSET.sub(lambda match: match["sign"] + shorter(match["duration"]), ranged)


def _divided(duration: str, factor: float) -> timedelta:
    seconds = sum(int(count) * _SECONDS[unit] for count, unit in _PART.findall(duration))
    # Prometheus counts milliseconds, and takes no duration of none for a range.
    return timedelta(milliseconds=max(round(seconds * 1000 / factor), 1 if seconds else 0))
