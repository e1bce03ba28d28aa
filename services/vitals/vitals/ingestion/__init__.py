"""From stored events to observations, by jobs."""
