"""The rules, in the order of their ids."""

from roadworthy.check.rule import Rule
from roadworthy.check.rules import alerting, declarations, edges, keys, labels, objectives, probes, requests, series

RULES: tuple[Rule, ...] = (
    *declarations.RULES,
    *probes.RULES,
    *series.RULES,
    *labels.RULES,
    *alerting.RULES,
    *objectives.RULES,
    *edges.RULES,
    *keys.RULES,
    *requests.RULES,
)

__all__ = ["RULES"]
