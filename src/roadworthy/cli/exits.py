"""What the command's exit codes mean."""

DONE = 0
NO = 1
BAD_USAGE = 2
INTERRUPTED = 130
