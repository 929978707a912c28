"""One running copy of a service: how it is started, and where it is found."""

import msgspec


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """Where one copy of a service listens; `status` is UP, DOWN, STARTING or OUT_OF_SERVICE."""

    service: str
    instance_id: str
    host: str
    port: int
    zone: str = ""
    status: str = "UP"
    metadata: dict[str, str] = {}


class InstanceView(msgspec.Struct, frozen=True, kw_only=True):
    """Every registered instance at one revision of the registry."""

    revision: int
    instances: list[Instance]


class ProcessSpec(msgspec.Struct, frozen=True, kw_only=True):
    """How to start one process: `argv` (argv[0] is an executable), added environment, readiness.

    `ready_url` answers HTTP 200 once the process can take traffic; None means no such check.
    """

    name: str
    service: str
    argv: list[str]
    env: dict[str, str] = {}
    zone: str = ""
    port: int = 0
    ready_url: str | None = None
