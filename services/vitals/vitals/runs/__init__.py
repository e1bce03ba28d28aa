"""Work over everything that is kept, in chunks whose progress can be watched."""
