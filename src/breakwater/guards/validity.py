"""Whether a command could go by a setting: asked of the SDK that would have to."""

from typing import Final

import msgspec

from breakwater.guards.errors import InvalidSettingError
from breakwater.model import GuardValue
from breakwater.sdk import SettingsError, checked_setting

_MAX_VALUE_BYTES: Final = 2_000


def checked(key: str, value: GuardValue) -> GuardValue:
    """`value` as it is to be handed out; raises InvalidSettingError that says what is allowed.

    Whether it fits the other numbers of a command (the limit of one attempt must not be longer
    than that of the whole call) only that command can tell; it refuses such a setting and says so.
    """
    if len(msgspec.json.encode(value)) > _MAX_VALUE_BYTES:
        raise InvalidSettingError(f"the value of {key} is longer than {_MAX_VALUE_BYTES} bytes")
    try:
        return checked_setting(key, value)
    except SettingsError as error:
        raise InvalidSettingError(str(error)) from error
