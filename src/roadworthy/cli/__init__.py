"""The `roadworthy` command: one thin file for each of its commands."""
