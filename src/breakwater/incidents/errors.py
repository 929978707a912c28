"""What can go wrong when an incident is asked for.

IncidentError
└── UnknownIncidentError   no incident of that id is kept; carries the ids that are
"""

from breakwater.model import InvalidInputError


class IncidentError(InvalidInputError):
    """A question about incidents that cannot be answered."""


class UnknownIncidentError(IncidentError):
    """No incident of that id is kept."""
