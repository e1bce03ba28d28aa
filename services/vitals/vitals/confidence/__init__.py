"""How far each source of a metric can be trusted, and which of them counts."""
