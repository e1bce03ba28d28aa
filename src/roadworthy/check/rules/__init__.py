"""The rules, in the order of their ids."""

from roadworthy.check.rule import Rule
from roadworthy.check.rules import (
    alerting,
    declarations,
    deployment,
    edges,
    keys,
    labels,
    numbers,
    objectives,
    presence,
    probes,
    promises,
    ranges,
    requests,
    series,
    texts,
)

RULES: tuple[Rule, ...] = (
    *declarations.RULES,
    *probes.RULES,
    *series.RULES,
    *labels.RULES,
    *presence.RULES,
    *alerting.RULES,
    *ranges.RULES,
    *texts.RULES,
    *objectives.RULES,
    *numbers.RULES,
    *edges.RULES,
    *keys.RULES,
    *requests.RULES,
    *deployment.RULES,
    *promises.RULES,
)

__all__ = ["RULES"]
