"""From a payload as it came to observations of metrics. Pure: no clock, no database."""
