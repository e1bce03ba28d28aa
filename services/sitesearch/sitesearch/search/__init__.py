"""Searching a site's pages: the query, its correction, its ranking in PostgreSQL, and the excerpts shown."""
