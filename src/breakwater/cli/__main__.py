"""`python -m breakwater.cli`, for where the script is not on the path."""

import sys

from breakwater.cli import main

sys.exit(main())
