"""`python -m modersmal`."""

import sys

from modersmal.cli import main

sys.exit(main())
