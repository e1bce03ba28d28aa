"""How often Prometheus looks, and for how long it remembers: what rules, dashboards and checks go by."""

from __future__ import annotations

from datetime import timedelta

from roadworthy.duration import days, seconds
from roadworthy.objectives.burn import PERIOD

SCRAPE_INTERVAL = seconds(30)
"""The time between two scrapes, and between two evaluations of rules."""

RETENTION: timedelta = PERIOD + days(5)
"""How long samples must be kept: a budget is counted over thirty days, and Prometheus keeps fifteen by itself."""
