"""Instances for tests: one that is plain, and any that the registry could hold."""

import msgspec
from hypothesis import strategies as st

from breakwater.registry import Action, DataCenter, InstanceInfo, InstanceStatus, LeaseInfo, Port


def instance(
    instance_id: str = "ranker-a-1", app: str = "RANKER", **fields: object
) -> InstanceInfo:
    """A small valid instance, with `fields` changed."""
    info = InstanceInfo(
        instance_id=instance_id,
        host_name="127.0.0.1",
        app=app,
        ip_addr="127.0.0.1",
        port=Port(number=9101, is_enabled=True),
        vip_address=app.lower(),
        lease=LeaseInfo(renewal_interval_s=5, duration_s=15),
        last_dirty_ms=1_000,
    )
    return msgspec.structs.replace(info, **fields)


_XML_TEXT = st.text(
    st.characters(
        codec="utf-8",
        exclude_categories=["Cs"],
        exclude_characters="".join(
            chr(code) for code in (*range(9), 11, 12, *range(14, 32), 0xFFFE, 0xFFFF)
        ),
    ),
    max_size=12,
)
_KEY = _XML_TEXT.filter(lambda key: key not in {"", "@class"})
_NUMBER = st.integers(0, 2**63 - 1)
_PORT = st.builds(Port, number=st.integers(0, 65_535), is_enabled=st.booleans())
_MAP = st.dictionaries(_KEY, _XML_TEXT, max_size=4)

any_instance = st.builds(
    InstanceInfo,
    instance_id=_XML_TEXT.filter(bool),
    host_name=_XML_TEXT,
    app=_XML_TEXT.map(str.upper).filter(lambda app: app == app.upper()),
    ip_addr=_XML_TEXT,
    status=st.sampled_from(InstanceStatus),
    overridden_status=st.sampled_from(InstanceStatus),
    port=_PORT,
    secure_port=_PORT,
    country_id=_NUMBER,
    data_center=st.builds(
        DataCenter, name=_XML_TEXT.filter(bool), class_name=_XML_TEXT.filter(bool), metadata=_MAP
    ),
    lease=st.builds(
        LeaseInfo,
        renewal_interval_s=st.integers(1, 10_000),
        duration_s=st.integers(1, 10_000),
        registration_ms=_NUMBER,
        last_renewal_ms=_NUMBER,
        eviction_ms=_NUMBER,
        service_up_ms=_NUMBER,
    ),
    metadata=_MAP,
    sid=_XML_TEXT,
    app_group_name=_XML_TEXT,
    asg_name=_XML_TEXT,
    home_page_url=_XML_TEXT,
    status_page_url=_XML_TEXT,
    health_check_url=_XML_TEXT,
    secure_health_check_url=_XML_TEXT,
    vip_address=_XML_TEXT,
    secure_vip_address=_XML_TEXT,
    is_coordinating_discovery_server=st.booleans(),
    last_updated_ms=_NUMBER,
    last_dirty_ms=_NUMBER,
    action=st.sampled_from(Action),
)
