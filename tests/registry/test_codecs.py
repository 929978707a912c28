"""The two spellings of an instance."""

import json
import xml.etree.ElementTree as ET
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.registry.instances import any_instance, instance

from breakwater.registry import (
    DataCenter,
    InstanceInfo,
    InstanceStatus,
    InvalidInstanceError,
    Port,
)
from breakwater.registry.eureka.forms import JSON, XML
from breakwater.registry.spelling.json_codec import JsonCodec
from breakwater.registry.spelling.xml_codec import XmlCodec
from breakwater.registry.spelling.xstream import element_name, map_key

CODECS = [pytest.param(JSON, id="json"), pytest.param(XML, id="xml")]


@pytest.mark.parametrize("codec", CODECS)
@given(info=any_instance)
def test_what_is_written_reads_the_same(codec: JsonCodec | XmlCodec, info: InstanceInfo) -> None:
    """Every instance survives being written and read in either spelling."""
    body = codec.instance(codec.fragment(info, is_compact=False))
    assert codec.read_instance(body) == info


@given(info=any_instance)
def test_both_spellings_say_the_same(info: InstanceInfo) -> None:
    """An instance that travels as JSON and then as XML arrives as it left."""
    body = JSON.instance(JSON.fragment(info, is_compact=False))
    again = XML.instance(XML.fragment(JSON.read_instance(body), is_compact=False))
    assert XML.read_instance(again) == info


@given(info=any_instance)
def test_other_parsers_agree(info: InstanceInfo) -> None:
    """The standard XML parser and XStream's naming read the metadata that we wrote."""
    root = ET.fromstring(XML.instance(XML.fragment(info, is_compact=False)))
    found = root.find("metadata")
    assert found is not None
    assert {map_key(child.tag): child.text or "" for child in found} == info.metadata


@pytest.mark.parametrize("codec", CODECS)
@settings(max_examples=25)
@given(infos=st.lists(any_instance, max_size=3))
def test_lists_keep_every_instance(codec: JsonCodec | XmlCodec, infos: list[InstanceInfo]) -> None:
    """A list of applications carries version, hash and all instances."""
    fragments = [codec.fragment(info, is_compact=False) for info in infos]
    body = codec.applications("7", "UP_2_", [("A", fragments)])
    read = codec.read_applications(body)
    assert (read.version, read.hash_code, read.instances) == ("7", "UP_2_", infos)


@given(key=st.text(min_size=1))
def test_every_key_has_an_element_name(key: str) -> None:
    """A map key comes back from its element name, and the name is legal XML."""
    name = element_name(key)
    assert ET.fromstring(f"<{name}/>").tag == name
    assert map_key(name) == key


def test_underscores_are_doubled() -> None:
    """XStream's spelling of the metadata key a_b is a__b."""
    body = XML.fragment(instance(metadata={"a_b": "1", "c$d": "2"}), is_compact=False)
    assert b"<a__b>1</a__b><c_-d>2</c_-d>" in body


def test_json_has_the_classic_form() -> None:
    """Ports are objects, timestamps are text, and empty metadata names Java's empty map."""
    read = json.loads(JSON.instance(JSON.fragment(instance(), is_compact=False)))["instance"]
    assert read["port"] == {"$": 9101, "@enabled": "true"}
    assert read["securePort"] == {"$": 7002, "@enabled": "false"}
    assert read["lastDirtyTimestamp"] == "1000"
    assert read["overriddenStatus"] == "UNKNOWN"
    assert read["metadata"] == {"@class": "java.util.Collections$EmptyMap"}
    assert read["dataCenterInfo"]["@class"].endswith("$DefaultDataCenterInfo")
    assert read["leaseInfo"]["durationInSecs"] == 15
    assert "homePageUrl" not in read


def test_xml_has_the_classic_form() -> None:
    """The overridden status is lower case, ports and data centre carry attributes."""
    body = XML.fragment(instance(), is_compact=False).decode()
    assert "<overriddenstatus>UNKNOWN</overriddenstatus>" in body
    assert '<port enabled="true">9101</port>' in body
    assert '<dataCenterInfo class="com.netflix.appinfo.InstanceInfo$Default' in body
    assert '<metadata class="java.util.Collections$EmptyMap"/>' in body


@pytest.mark.parametrize("codec", CODECS)
def test_compact_form_leaves_out_what_people_read(codec: JsonCodec | XmlCodec) -> None:
    """The compact form has address, status and port, but no lease, metadata or URL."""
    full = instance(metadata={"zone": "a"}, home_page_url="http://x/", sid="na")
    body = codec.fragment(full, is_compact=True)
    for left_out in (b"leaseInfo", b"metadata", b"homePageUrl", b"sid", b"countryId", b"verridden"):
        assert left_out not in body
    for kept in (b"instanceId", b"ipAddr", b"status", b"vipAddress", b"actionType"):
        assert kept in body


def test_loose_json_is_understood() -> None:
    """Text numbers, old field names, a lone object and a missing wrapper all mean the same."""
    loose: dict[str, Any] = {
        "hostName": "h",
        "app": "a",
        "ipAddr": "1.2.3.4",
        "status": "up",
        "overriddenstatus": "DOWN",
        "port": "8080",
        "securePort": {"$": "443", "@enabled": True},
        "countryId": "2",
        "dataCenterInfo": {"name": "Amazon", "metadata": {"instance-id": "i-1"}},
        "leaseInfo": {"durationInSecs": "15", "renewalTimestamp": 7.0},
        "metadata": {"@class": "java.util.Collections$EmptyMap", "n": 1, "yes": True, "no": None},
        "lastDirtyTimestamp": 12,
        "isCoordinatingDiscoveryServer": "TRUE",
        "nobodyKnows": [{}],
    }
    for document in (loose, {"instance": loose}, {"instance": [loose]}, [{"instance": loose}]):
        info = JSON.read_instance(json.dumps(document).encode())
        assert info.instance_id == "i-1"
        assert info.app == "A"
        assert info.status is InstanceStatus.UP
        assert info.overridden_status is InstanceStatus.DOWN
        assert (info.port.number, info.secure_port) == (8080, Port(number=443, is_enabled=True))
        assert (info.lease.duration_s, info.lease.last_renewal_ms) == (15, 7)
        assert info.metadata == {"n": "1", "yes": "true", "no": ""}
        assert info.last_dirty_ms == 12
        assert info.is_coordinating_discovery_server
        assert info.data_center.class_name == "com.netflix.appinfo.AmazonInfo"


def test_lone_objects_stand_for_lists() -> None:
    """One application or one instance may be written without the brackets of a list."""
    body = b'{"applications":{"application":{"name":"A","instance":{"hostName":"h","app":"A"}}}}'
    assert [info.host_name for info in JSON.read_applications(body).instances] == ["h"]
    lone = b'{"application":{"name":"A","instance":{"hostName":"h","app":"A"}}}'
    assert [info.host_name for info in JSON.read_application(lone)] == ["h"]


def test_pretty_printed_xml_is_understood() -> None:
    """White space between elements, a declaration and CDATA change nothing."""
    body = b"""<?xml version="1.0" encoding="UTF-8"?>
    <instance>
      <hostName>h</hostName>
      <app>A</app>
      <port enabled="false"> 80 </port>
      <countryId class="int">4</countryId>
      <!-- a remark --><?an instruction?>
      <metadata class="java.util.HashMap"><k__1><![CDATA[a & <b>]]></k__1></metadata>
    </instance>"""
    info = XML.read_instance(body)
    assert (info.host_name, info.port, info.country_id) == ("h", Port(number=80), 4)
    assert info.metadata == {"k_1": "a & <b>"}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 50_000, "not JSON"),
        (b"7", "must be an object"),
        (b'{"instance":[{},{}]}', "one instance is expected, got 2"),
        (b'{"instance":{"status":"HERE"}}', "UP, DOWN, STARTING, OUT_OF_SERVICE, UNKNOWN"),
        (b'{"instance":{"port":{"$":70000}}}', "port.$ must be a whole number from 0 to 65535"),
        (b'{"instance":{"port":{"$":true}}}', "port.$ must be a whole number"),
        (b'{"instance":{"port":{"$":1.5}}}', "port.$ must be a whole number"),
        (b'{"instance":{"countryId":1e400}}', "not JSON"),
        (b'{"instance":{"leaseInfo":[]}}', "leaseInfo must be an object"),
        (b'{"instance":{"leaseInfo":{"durationInSecs":-1}}}', "leaseInfo.durationInSecs"),
        (b'{"instance":{"metadata":{"":"x"}}}', "metadata has the key ''"),
        (b'{"instance":{"metadata":{"a":["x"]}}}', "metadata.a must be text"),
        (b'{"instance":{"metadata":{"a":"\\u0000"}}}', "metadata.a has the character"),
        (b'{"instance":{"isCoordinatingDiscoveryServer":"maybe"}}', "true or false"),
    ],
)
def test_bad_json_is_told_apart(body: bytes, told: str) -> None:
    """What cannot be understood is refused with the field and what is allowed there."""
    with pytest.raises(InvalidInstanceError) as caught:
        JSON.read_instance(body)
    assert told in str(caught.value)


FIELDS = st.sampled_from(
    "instanceId hostName app status overriddenStatus port securePort countryId dataCenterInfo "
    "leaseInfo metadata lastDirtyTimestamp isCoordinatingDiscoveryServer actionType $ @class "
    "@enabled name durationInSecs instance".split()
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=6),
    max_leaves=12,
)


@given(value=JSON_VALUES)
def test_any_json_is_read_or_refused(value: object) -> None:
    """Whatever shape JSON has, it is an instance or is refused, never anything else."""
    with suppress(InvalidInstanceError):
        assert isinstance(JSON.read_instance(json.dumps(value).encode()), InstanceInfo)


@pytest.mark.parametrize("codec", CODECS)
@given(body=st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(codec: JsonCodec | XmlCodec, body: bytes) -> None:
    """Bytes that are no document at all are refused in words."""
    with suppress(InvalidInstanceError):
        codec.read_instance(body)


def test_deep_nesting_is_refused() -> None:
    """Values inside values inside values end in an error, not in the interpreter's."""
    for depth in (5, 500, 980, 5_000):
        body = b'{"instance":{"app":' + b'{"$":' * depth + b"1" + b"}" * depth + b"}}"
        with pytest.raises(InvalidInstanceError):
            JSON.read_instance(body)


LAUGHS = b"""<!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<instance><app>&b;</app></instance>"""
FETCH = (
    b"""<!DOCTYPE i [<!ENTITY x SYSTEM "file:///etc/passwd">]><instance><app>&x;</app></instance>"""
)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "not XML"),
        (b"<instance>", "not XML"),
        (b"<application/>", "must be one <instance> element, found <application>"),
        (LAUGHS, "document type declaration"),
        (FETCH, "document type declaration"),
        (b'<!DOCTYPE i SYSTEM "http://127.0.0.1/x.dtd"><instance/>', "document type declaration"),
        (b"<instance>" + b"<a>" * 20 + b"</a>" * 20 + b"</instance>", "nested deeper than 8"),
        (b"<instance><app>&nosuch;</app></instance>", "not XML"),
        (b'<?xml version="1.0" encoding="no-such"?><instance/>', "XML"),
        (b"<instance><status>HERE</status></instance>", "must be one of UP"),
        (b'<instance><port enabled="perhaps">1</port></instance>', "true or false"),
    ],
)
def test_bad_xml_is_told_apart(body: bytes, told: str) -> None:
    """Entities are never declared, nesting is bounded, and errors say what was wrong."""
    with pytest.raises(InvalidInstanceError) as caught:
        XML.read_instance(body)
    assert told in str(caught.value)


def test_amazon_placement_gives_the_zone() -> None:
    """The zone comes from the instance's metadata, or else from its Amazon placement."""
    amazon = DataCenter(name="Amazon", metadata={"availability-zone": "us-east-1c"})
    assert instance(data_center=amazon).zone == "us-east-1c"
    assert instance(data_center=amazon, metadata={"zone": "a"}).zone == "a"
