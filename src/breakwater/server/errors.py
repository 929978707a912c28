"""What can go wrong when the platform is set up.

SettingsError(InvalidInputError)
├── UnknownSettingError     no setting has this name; the message lists those that exist
├── InvalidSettingError     a setting's value cannot be used; the message says what is allowed
└── SettingsFileError       the settings file cannot be read
UnsafeBindError(InvalidInputError)   the platform would be open to the network without a token
AddressInUseError(UnavailableError)  the port is taken
DataFolderError(UnavailableError)    a folder to write to cannot be made or written
"""

from breakwater.model import InvalidInputError, UnavailableError


class SettingsError(InvalidInputError):
    """The settings given cannot be used; nothing was started."""


class UnknownSettingError(SettingsError):
    """A setting that does not exist."""


class InvalidSettingError(SettingsError):
    """A value that a setting cannot take."""


class SettingsFileError(SettingsError):
    """A settings file that cannot be read or is not TOML."""


class UnsafeBindError(InvalidInputError):
    """Listening beyond this machine without any token."""


class AddressInUseError(UnavailableError):
    """The address to listen on cannot be had."""


class DataFolderError(UnavailableError):
    """The folder for the platform's files cannot be used."""
