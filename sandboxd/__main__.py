"""`python -m sandboxd` is the command `sandboxd`."""

import sys

from sandboxd.cli import main

sys.exit(main())
