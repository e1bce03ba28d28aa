"""PostgreSQL: pools whose transactions the caller owns, named SQL from files, and migrations."""
