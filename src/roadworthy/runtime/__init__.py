"""Binds a service to what is really there: settings, an embedded PostgreSQL, and the processes that do its work."""
