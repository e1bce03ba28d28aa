"""What stands in a directory of emitted and hand-written files, read as expressions with their places."""
