"""Durable background work: queues and jobs on an engine that loses nothing."""
