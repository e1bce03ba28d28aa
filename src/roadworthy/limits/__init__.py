"""Rate limits: how often something may happen, decided in memory where possible, by a shared store where needed."""
