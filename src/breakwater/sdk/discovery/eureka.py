"""Our instance in the words of the Eureka REST protocol: pure functions."""

from typing import Final

import msgspec

from breakwater.sdk.settings import ServiceSettings

_DATA_CENTER: Final = {
    "@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo",
    "name": "MyOwn",
}


def registration(
    settings: ServiceSettings, *, status: str, metadata: dict[str, str], now_ms: int
) -> bytes:
    """The JSON body that registers this process as an instance with `status`.

    `vipAddress` holds the service name as it is; `app` is upper case, as the protocol wants.
    """
    base = f"http://{settings.host}:{settings.port}"
    instance = {
        "instanceId": settings.instance,
        "hostName": settings.host,
        "app": settings.service.upper(),
        "ipAddr": settings.host,
        "status": status,
        "overriddenStatus": "UNKNOWN",
        "port": {"$": settings.port, "@enabled": "true"},
        "securePort": {"$": 443, "@enabled": "false"},
        "countryId": 1,
        "dataCenterInfo": _DATA_CENTER,
        "leaseInfo": {
            "renewalIntervalInSecs": max(1, round(settings.renewal_s)),
            "durationInSecs": settings.lease_s,
        },
        "metadata": {**metadata, "zone": settings.zone} if settings.zone else metadata,
        "homePageUrl": f"{base}/",
        "statusPageUrl": f"{base}/",
        "healthCheckUrl": f"{base}/healthcheck",
        "vipAddress": settings.service,
        "secureVipAddress": settings.service,
        "isCoordinatingDiscoveryServer": "false",
        "lastUpdatedTimestamp": str(now_ms),
        "lastDirtyTimestamp": str(now_ms),
        "actionType": "ADDED",
    }
    return msgspec.json.encode({"instance": instance})


def app_path(settings: ServiceSettings) -> str:
    """Where instances of this service are registered."""
    return f"/eureka/apps/{_segment(settings.service.upper())}"


def instance_path(settings: ServiceSettings) -> str:
    """Where the lease of this process is renewed and cancelled."""
    return f"{app_path(settings)}/{_segment(settings.instance)}"


def _segment(text: str) -> str:
    from urllib.parse import quote  # noqa: PLC0415 - called from the lease thread only

    return quote(text, safe="")
