"""Rules about what an alert says and when it first says it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

from roadworthy.check.labels import carried
from roadworthy.check.nearest import suggestion
from roadworthy.check.promql import Call, walk
from roadworthy.check.rule import Problem, Rule
from roadworthy.check.subject import Subject

USED_LABEL = re.compile(r"\$labels\.(\w+)|index \$labels \"(\w+)\"")


def dropped_label(subject: Subject) -> Iterator[Problem]:
    """Find alerts whose texts use a label that their expression's result does not carry: there is a gap instead."""
    for alert, rule, tree in subject.alerts():
        labels = carried(tree, subject.catalogue)
        if labels is None:
            continue
        texts = {**rule.annotations, **{f"label {name}": text for name, text in rule.labels.items()}}
        missing = {
            first or second: name
            for name, text in texts.items()
            for first, second in USED_LABEL.findall(text)
            if (first or second) not in labels
        }
        for label, name in missing.items():
            yield Problem.of(
                alert,
                f"says {{{{ $labels.{label} }}}} in its {name}, which its expression drops",
                f"keep it, as in by ({label}), or {suggestion(label, labels, 'label')}",
            )


def absent_at_once(subject: Subject) -> Iterator[Problem]:
    """Find alerts on absence that do not wait: each restart and each lost scrape sets them off."""
    for alert, rule, tree in subject.alerts():
        absent = any(isinstance(node, Call) and node.function == "absent" for node in walk(tree))
        if absent and rule.duration == timedelta(0):
            yield Problem.of(
                alert,
                "tells of what is absent without waiting, so a restart or a lost scrape sets it off",
                "wait with for_=minutes(5), or look at absent_over_time(...[5m])",
            )


RULES = (
    Rule("RW048", "An alert's text uses a label that its expression drops", "error", dropped_label),
    Rule("RW049", "An alert on absence does not wait", "warning", absent_at_once),
)
