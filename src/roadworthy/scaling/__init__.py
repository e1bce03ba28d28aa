"""How many processes a service should have: the HorizontalPodAutoscaler's algorithm, and the demand of a queue."""
