"""`python -m roadworthy` is the `roadworthy` command."""

import sys

from roadworthy.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
