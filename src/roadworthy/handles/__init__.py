"""The handles that a declaration returns: usable while the service runs, refusing to work otherwise."""
