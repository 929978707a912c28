"""The platform in one process: settings, wiring, who may do what, the HTTP application.

This is the only place that knows every room. Settings come from defaults, a TOML file, the
environment and flags, in that order, and each remembers its source. The platform listens on this
machine alone unless told otherwise, and refuses to listen further without a token. It answers
until it is told to stop, then stops within two seconds and leaves nothing behind.
"""

from breakwater.server.errors import (
    AddressInUseError,
    DataFolderError,
    InvalidSettingError,
    SettingsError,
    SettingsFileError,
    UnknownSettingError,
    UnsafeBindError,
)

__all__ = [
    "AddressInUseError",
    "DataFolderError",
    "InvalidSettingError",
    "SettingsError",
    "SettingsFileError",
    "UnknownSettingError",
    "UnsafeBindError",
]
