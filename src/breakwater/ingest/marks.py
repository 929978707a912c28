"""What may be marked about a pair of a key and a value; marks are joined by `|`."""

from typing import Final

USER: Final = 1
"""It counts among the tags that only so many are allowed of."""
NAME: Final = 2
"""Its key is `name`."""
ODD: Final = 4
"""It is not to be taken as it is: somebody must look closer."""
CHANGED: Final = 8
"""It is not what was sent."""
TOTAL: Final = 16
"""It is the name of a running total."""
