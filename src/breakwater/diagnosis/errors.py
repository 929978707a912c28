"""What can go wrong before a judgement is reached.

DiagnosisError
├── UnknownServiceError     an edge names a service that has no row
└── RecordedIncidentError   a recorded incident cannot be read; names file and field
"""

from breakwater.model import InvalidInputError


class DiagnosisError(InvalidInputError):
    """The input of a diagnosis does not fit together."""


class UnknownServiceError(DiagnosisError):
    """An edge names a service that has no row in the arrays."""


class RecordedIncidentError(DiagnosisError):
    """A recorded incident is missing a file or a field, or holds what is not a number."""
