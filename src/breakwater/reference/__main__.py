"""`python -m breakwater.reference SERVICE`: one process of the fleet."""

import sys

from breakwater.reference.process import main

sys.exit(main())
