"""Redis and Valkey: one connection that many callers share, and what is said over it."""
