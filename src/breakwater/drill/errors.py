"""What can go wrong when a drill is played.

DrillError
├── UnknownScenarioError   no such fault or target; carries those that exist
├── StageError             platform or fleet did not come up or went away; carries their last words
└── NotNamedError          the culprit was not named, or another one was
"""

from breakwater.model import BreakwaterError, InvalidInputError, UnavailableError


class DrillError(BreakwaterError):
    """A drill that could not be played or was lost."""


class UnknownScenarioError(DrillError, InvalidInputError):
    """A fault or target that cannot be played."""


class StageError(DrillError, UnavailableError):
    """Platform or fleet could not be brought up or did not keep running."""


class NotNamedError(DrillError):
    """The culprit was not named in time, or an innocent was."""
