"""From a DNS query to its answer, as bytes; no socket here."""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from random import Random
from typing import Final

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.CNAME
import dns.rdtypes.ANY.SOA
import dns.rdtypes.IN.A
import dns.rdtypes.IN.AAAA
import dns.rdtypes.IN.SRV
import dns.rrset
import msgspec

from breakwater.model import Instance, InstanceView
from breakwater.registry.dns.kept import LARGEST_BYTES, KeptAnswers, question_of, room_for
from breakwater.registry.dns.zone import (
    MAX_LABEL,
    Found,
    Names,
    Standing,
    address_of,
    instance_label,
    priority_of,
)
from breakwater.registry.errors import DnsPortError

_TURNS: Final = 12
"""Places at which an answer may begin; divisible by the sizes of small fleets."""
_ADDRESS_BYTES: Final = 16
_PORT_BYTES: Final = 32
"""The least that A and SRV take in an answer: nothing is put into it that could not fit."""
_MOST_HELPED: Final = 500
"""Addresses come with the ports of so many instances at most."""
_RECORD_BYTES: Final = 12
"""A record beside its data, its name being that of the question."""
_IN: Final = dns.rdataclass.IN
_NAME_BYTES: Final = 255
_MAKERS: Final = {
    4: (dns.rdtypes.IN.A.A, dns.rdatatype.A),
    6: (dns.rdtypes.IN.AAAA.AAAA, dns.rdatatype.AAAA),
}
_VERSIONS: Final = {
    dns.rdatatype.A: (4,),
    dns.rdatatype.AAAA: (6,),
    dns.rdatatype.ANY: (4, 6),
}


class AnswerStats(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked since the start; kept: answered from bytes made before."""

    queries: int
    kept: int
    unknown_names: int
    refused: int
    malformed: int
    truncated: int


class Answerer:
    """Answers queries about the zone `domain` from what `view` gives at that moment.

    Answers are kept as bytes until the view changes, some turns of each, so that the instances
    take turns at the first place, which is the one that most clients take. The turn is drawn: to
    count them would always give the same one to clients that ask for A and AAAA together.
    """

    def __init__(
        self,
        view: Callable[[], InstanceView],
        *,
        domain: str,
        ttl_s: int,
        random: Random | None = None,
    ) -> None:
        self._view = view
        try:
            self._domain = dns.name.from_text(domain).canonicalize()
        except dns.exception.DNSException as error:
            raise DnsPortError(
                f"registry.dns_domain is {domain!r}, which is no name for DNS: {error}"
            ) from error
        domain_bytes = sum(1 + len(label) for label in self._domain.labels)
        self._longest_service = _NAME_BYTES - domain_bytes - (1 + MAX_LABEL) - 1
        self._ttl_s = ttl_s
        self._random = random or Random()  # noqa: S311 - whose turn it is, no secret
        self._revision: int | None = None
        self._names = Names(())
        self._kept = KeptAnswers()
        self._turn = 0
        self._queries = self._from_kept = self._unknown = 0
        self._refused = self._malformed = self._truncated = 0

    def answer(self, query: bytes, *, over_udp: bool) -> bytes | None:
        """The answer to `query`; None where nothing is to be said, as to an answer."""
        self._queries += 1
        self._follow()
        self._turn = self._random.randrange(_TURNS)
        question = question_of(query, over_udp=over_udp)
        kept = None if question is None else self._kept.find(query, question, self._turn)
        if kept is not None:
            self._from_kept += 1
            return kept
        response = self._respond(query, over_udp=over_udp)
        if response is not None and question is not None:
            self._kept.keep(question, self._turn, response)
        return response

    def _follow(self) -> None:
        view = self._view()
        if view.revision != self._revision:
            self._revision = view.revision
            self._names = Names(view.instances, longest_service=self._longest_service)
            self._kept.clear()

    def _respond(self, query: bytes, *, over_udp: bool) -> bytes | None:
        try:
            asked = dns.message.from_wire(query, ignore_trailing=True)
        except (dns.exception.DNSException, ValueError):
            self._malformed += 1
            return _complaint(query)
        if asked.flags & dns.flags.QR:
            return None
        answer = dns.message.make_response(asked, our_payload=LARGEST_BYTES, pad=0)
        room = room_for(asked.payload if asked.edns >= 0 else None, over_udp=over_udp)
        is_whole = self._fill(asked, answer, room)
        wire, fits = _fitted(answer, room, self._ttl_s)
        if over_udp and not (is_whole and fits):  # over TCP there is nothing left to fall back to
            self._truncated += 1
            wire = _marked(wire)
        return wire

    def _fill(self, asked: dns.message.Message, answer: dns.message.Message, room: int) -> bool:
        """Put the records, or the reason why there are none, into `answer`.

        False if there are more than can fit into `room` bytes.
        """
        if asked.edns > 0:
            answer.set_rcode(dns.rcode.BADVERS)
            return True
        if asked.opcode() != dns.opcode.QUERY or len(asked.question) != 1:
            answer.set_rcode(dns.rcode.NOTIMP)
            return True
        question = asked.question[0]
        inside = question.name.is_subdomain(self._domain)
        if not inside or question.rdclass != _IN:
            self._refused += 1
            answer.set_rcode(dns.rcode.REFUSED)
            return True
        answer.flags |= dns.flags.AA
        found = self._names.find(self._labels(question.name))
        is_whole = True
        if found.standing is Standing.NOTHING:
            self._unknown += 1
            answer.set_rcode(dns.rcode.NXDOMAIN)
        else:
            is_whole = self._records(question, found, answer, room)
        if not answer.answer:
            answer.authority.append(self._authority())
        return is_whole

    def _labels(self, name: dns.name.Name) -> tuple[str, ...]:
        relative = name.relativize(self._domain).labels
        return tuple(label.decode("latin-1").lower() for label in relative)

    def _records(
        self, question: dns.rrset.RRset, found: Found, answer: dns.message.Message, room: int
    ) -> bool:
        """Put the records of `found` into `answer`, as for `room` bytes; whether those are all."""
        name, kind = question.name, question.rdtype
        is_whole = True
        if kind == dns.rdatatype.SOA and name == self._domain:
            answer.answer.append(self._authority())
        if kind in {dns.rdatatype.SRV, dns.rdatatype.ANY} and found.instances:
            turned = self._turned(found.instances, room // _PORT_BYTES)
            is_whole = len(turned) == len(found.instances)
            answer.answer.append(self._set(name, [self._port(one) for one in turned]))
            for one in turned if is_whole and len(turned) <= _MOST_HELPED else ():
                answer.additional.extend(self._addresses(self._target(one), [one]))
        if found.standing is Standing.PORTS or kind not in _VERSIONS:
            return is_whole
        told = [one for one in found.instances if _version_of(one) in _VERSIONS[kind]]
        most = room // _ADDRESS_BYTES
        answer.answer.extend(self._addresses(name, self._turned(told, most)))
        if len(found.instances) == 1 and address_of(found.instances[0]) is None:
            host = _host(found.instances[0])  # of a lone instance that told a host name
            alias = _record(dns.rdtypes.ANY.CNAME.CNAME, dns.rdatatype.CNAME, host)
            answer.answer.append(self._set(name, [alias]))
        return is_whole and len(told) <= most

    def _turned(self, instances: Sequence[Instance], most: int) -> list[Instance]:
        """`most` of `instances`, beginning elsewhere each time."""
        first = self._turn * len(instances) // _TURNS
        return [*instances[first : first + most], *instances[:first]][:most]

    def _addresses(
        self, name: dns.name.Name, instances: Iterable[Instance]
    ) -> list[dns.rrset.RRset]:
        """The A and AAAA records of `instances` under `name`."""
        found: dict[int, list[dns.rdata.Rdata]] = {}
        for address in filter(None, map(address_of, instances)):
            make, kind = _MAKERS[address.version]
            found.setdefault(address.version, []).append(_record(make, kind, str(address)))
        return [self._set(name, records) for records in found.values()]

    def _port(self, instance: Instance) -> dns.rdata.Rdata:
        return _record(
            dns.rdtypes.IN.SRV.SRV,
            dns.rdatatype.SRV,
            priority_of(instance),
            1,
            instance.port,
            self._target(instance),
        )

    def _target(self, instance: Instance) -> dns.name.Name:
        """The name under which one instance is found; its host name, if that is what it told."""
        if address_of(instance) is None:
            return _host(instance)
        labels = (instance_label(instance), *instance.service.split("."))
        return dns.name.Name([*(one.encode() for one in labels), *self._domain.labels])

    def _set(self, name: dns.name.Name, records: list[dns.rdata.Rdata]) -> dns.rrset.RRset:
        made: dns.rrset.RRset = dns.rrset.from_rdata_list(name, self._ttl_s, records)
        return made

    def _authority(self) -> dns.rrset.RRset:
        """Whose zone this is, and for how long a "no" may be remembered (RFC 2308)."""
        host = self._domain
        serial = (self._revision or 0) & 0xFFFFFFFF
        times = (self._ttl_s, self._ttl_s, 86_400, self._ttl_s)
        record = _record(dns.rdtypes.ANY.SOA.SOA, dns.rdatatype.SOA, host, host, serial, *times)
        return self._set(self._domain, [record])

    def stats(self) -> AnswerStats:
        """Counts since start."""
        return AnswerStats(
            queries=self._queries,
            kept=self._from_kept,
            unknown_names=self._unknown,
            refused=self._refused,
            malformed=self._malformed,
            truncated=self._truncated,
        )


def _record(
    make: Callable[..., dns.rdata.Rdata], kind: dns.rdatatype.RdataType, *fields: object
) -> dns.rdata.Rdata:
    """One record; the classes of the library have no types."""
    return make(_IN, kind, *fields)


def _fitted(answer: dns.message.Message, room: int, ttl_s: int) -> tuple[bytes, bool]:
    """`answer` in at most `room` bytes, and whether all of its answers are there.

    The additional part goes first, then as many records as must.
    """
    wire = _wire_within(answer, room)
    if wire is None and answer.additional:
        answer.additional.clear()
        wire = _wire_within(answer, room)
    if wire is not None:
        return wire, True
    records = [(held, record) for held in answer.answer for record in held]
    answer.answer.clear()
    left = room - len(answer.to_wire(max_size=room, want_shuffle=False))
    keep = 0
    for _, record in records:
        left -= _RECORD_BYTES + len(record.to_wire())
        if left < 0:
            break
        keep += 1
    for held, kept in groupby(records[:keep], key=lambda one: one[0]):
        rdata = [record for _, record in kept]
        answer.answer.append(dns.rrset.from_rdata_list(held.name, ttl_s, rdata))
    wire = _wire_within(answer, room)
    if wire is None:
        answer.answer.clear()
        wire = answer.to_wire(max_size=room, want_shuffle=False)
    return wire, False


def _marked(wire: bytes) -> bytes:
    """`wire`, said to be truncated."""
    flags = int.from_bytes(wire[2:4], "big") | dns.flags.TC
    return wire[:2] + flags.to_bytes(2, "big") + wire[4:]


def _version_of(instance: Instance) -> int:
    address = address_of(instance)
    return 0 if address is None else address.version


def _wire_within(answer: dns.message.Message, room: int) -> bytes | None:
    try:
        wire: bytes = answer.to_wire(max_size=room, want_shuffle=False)
    except dns.exception.TooBig:
        return None
    return wire


def _host(instance: Instance) -> dns.name.Name:
    return dns.name.from_text(instance.host)


def _complaint(query: bytes) -> bytes | None:
    """FORMERR under the id of `query`; None for what is too short to have one, or no query."""
    if len(query) < 12 or query[2] & 0x80:
        return None
    flags = (0x8000 | (query[2] & 0x79) << 8 | dns.rcode.FORMERR).to_bytes(2, "big")
    return query[:2] + flags + bytes(8)
