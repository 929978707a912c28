"""What a name of the zone stands for, and how an answer is put into bytes."""

from random import Random

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakwater.model import Health, Instance, InstanceView
from breakwater.registry.dns.answering import Answerer
from breakwater.registry.dns.kept import MAX_KEPT_BYTES, KeptAnswers, question_of
from breakwater.registry.dns.zone import Names, Standing, instance_label
from breakwater.registry.errors import DnsPortError

RANKER = Instance(service="ranker", instance_id="ranker-a-1", host="10.0.0.1", port=9_001, zone="a")


def one(number: int, **given: object) -> Instance:
    """An instance of ranker, but for what is said otherwise."""
    fields: dict[str, object] = {
        "instance_id": f"ranker-a-{number}",
        "host": f"10.0.0.{number}",
        "port": 9_000 + number,
    }
    return msgspec.structs.replace(RANKER, **{**fields, **given})


def answerer(*instances: Instance) -> Answerer:
    """Answers about these instances under `breakwater`."""
    view = InstanceView(revision=7, instances=list(instances))
    return Answerer(lambda: view, domain="breakwater.", ttl_s=1)


def asked(about: Answerer, name: str, kind: str = "A", rdclass: str = "IN") -> dns.message.Message:
    """The answer to one question over UDP."""
    wire = dns.message.make_query(name, kind, rdclass).to_wire()
    answer = about.answer(wire, over_udp=True)
    assert answer is not None
    return dns.message.from_wire(answer)


def records(answer: dns.message.Message) -> set[str]:
    """The records of an answer, as text."""
    return {record.to_text() for held in answer.answer for record in held}


FLEET = (
    one(1),
    one(2),
    one(3, zone="b"),
    one(4, status="OUT_OF_SERVICE"),
    one(5, health=Health.LOST),
    one(6, service="api.edge", instance_id="host:api:80", host="edge.example", zone=""),
    one(7, service="six", instance_id="six-1", host="2001:db8::7"),
)


@pytest.mark.parametrize(
    ("name", "kind", "found"),
    [
        ("ranker.breakwater.", "A", {"10.0.0.1", "10.0.0.2", "10.0.0.3"}),
        ("RANKER.Breakwater.", "A", {"10.0.0.1", "10.0.0.2", "10.0.0.3"}),
        ("ranker.a.zone.breakwater.", "A", {"10.0.0.1", "10.0.0.2"}),
        ("ranker.b.zone.breakwater.", "SRV", {"0 1 9003 ranker-a-3.ranker.breakwater."}),
        ("_ranker._tcp.b.zone.breakwater.", "SRV", {"0 1 9003 ranker-a-3.ranker.breakwater."}),
        ("ranker-a-2.ranker.breakwater.", "A", {"10.0.0.2"}),
        ("ranker-a-2.ranker.breakwater.", "SRV", {"0 1 9002 ranker-a-2.ranker.breakwater."}),
        ("api.edge.breakwater.", "A", {"edge.example."}),
        ("api.edge.breakwater.", "SRV", {"0 1 9006 edge.example."}),
        ("six.breakwater.", "AAAA", {"2001:db8::7"}),
        ("six.breakwater.", "A", set()),
        ("_ranker._tcp.breakwater.", "A", set()),
        ("zone.breakwater.", "A", set()),
        ("a.zone.breakwater.", "A", set()),
        ("breakwater.", "A", set()),
    ],
)
def test_a_name_has_the_records_of_its_instances(name: str, kind: str, found: set[str]) -> None:
    """Only instances that are UP and not lost; a name without such records has none, no error."""
    answer = asked(answerer(*FLEET), name, kind)
    assert answer.rcode() == dns.rcode.NOERROR
    assert answer.flags & dns.flags.AA
    assert records(answer) == found
    assert bool(found) != bool(answer.authority)


@pytest.mark.parametrize(
    "name",
    ["nobody.breakwater.", "ranker-a-4.ranker.breakwater.", "ranker.z.zone.breakwater.",
     "_nobody._tcp.breakwater.", "ranker._tcp.breakwater."],
)  # fmt: skip
def test_an_unknown_name_does_not_exist(name: str) -> None:
    """NXDOMAIN, with the time for which that may be remembered."""
    answer = asked(answerer(*FLEET), name)
    assert answer.rcode() == dns.rcode.NXDOMAIN
    assert dns.rdatatype.SOA in {held.rdtype for held in answer.authority}


def test_other_zones_are_refused() -> None:
    """A name outside the zone, or another class, is not ours to answer."""
    assert asked(answerer(), "example.com.").rcode() == dns.rcode.REFUSED
    chaos = asked(answerer(), "breakwater.", "TXT", rdclass="CH")
    assert chaos.rcode() == dns.rcode.REFUSED


def test_ports_come_with_the_addresses_they_need() -> None:
    """An SRV answer carries the A records of its targets."""
    answer = asked(answerer(*FLEET), "ranker.breakwater.", "SRV")
    targets = {record.target.to_text() for record in answer.answer[0]}
    assert targets == {held.name.to_text() for held in answer.additional}


def test_an_instance_in_doubt_is_asked_last() -> None:
    """LATE and DOUBTFUL instances have a higher priority number in SRV."""
    about = answerer(one(1), one(2, health=Health.DOUBTFUL))
    found = {record.to_text().split()[0] for record in
             asked(about, "ranker.breakwater.", "SRV").answer[0]}  # fmt: skip
    assert found == {"0", "10"}


def test_what_does_not_fit_is_marked() -> None:
    """Over UDP an answer stays within what the asker takes, and says that there is more."""
    about = answerer(*(one(1, instance_id=f"i-{n}", host=f"10.1.{n // 250}.{n % 250}")
                       for n in range(400)))  # fmt: skip
    wire = dns.message.make_query("ranker.breakwater.", "A").to_wire()
    short = about.answer(wire, over_udp=True)
    assert short is not None
    assert len(short) <= 512
    cut = dns.message.from_wire(short)
    assert cut.flags & dns.flags.TC
    assert 0 < len(cut.answer[0]) < 400
    longer = about.answer(
        dns.message.make_query("ranker.breakwater.", "A", use_edns=0, payload=1_232).to_wire(),
        over_udp=True,
    )
    assert longer is not None
    assert 512 < len(longer) <= 1_232
    whole = about.answer(wire, over_udp=False)
    assert whole is not None
    assert len(dns.message.from_wire(whole).answer[0]) == 400


HUGE = tuple(
    one(1, instance_id=f"ranker-{n}", host=f"10.{n // 62_500}.{n // 250 % 250}.{n % 250}")
    for n in range(10_000)
)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "least"), [("A", 4_000), ("SRV", 1_000)])
def test_a_fleet_that_fits_nowhere_is_given_as_far_as_there_is_room(kind: str, least: int) -> None:
    """Over TCP there is nothing left to fall back to: as many as fit, and not marked."""
    wire = dns.message.make_query("ranker.breakwater.", kind).to_wire()
    answer = answerer(*HUGE).answer(wire, over_udp=False)
    assert answer is not None
    assert len(answer) <= 65_535
    told = dns.message.from_wire(answer)
    assert len(told.answer[0]) >= least
    assert not told.flags & dns.flags.TC


@pytest.mark.slow
def test_all_of_a_large_fleet_are_told_in_turn() -> None:
    """What is cut is cut elsewhere each time, so that nobody is left out for good."""
    about = answerer(*HUGE[:800])
    wire = dns.message.make_query("ranker.breakwater.", "A", use_edns=0, payload=1_232).to_wire()
    found = set()
    for _ in range(200):
        answer = about.answer(wire, over_udp=True)
        assert answer is not None
        found |= records(dns.message.from_wire(answer))
    assert len(found) == 800
    assert asked(about, "ranker.breakwater.", "AAAA").flags & dns.flags.TC == 0


def test_who_asks_for_both_families_sees_all_take_turns() -> None:
    """Queries in pairs, as every resolver sends them, do not always find the same one first."""
    about = answerer(one(1), one(2))
    firsts = set()
    for _ in range(100):
        firsts.add(asked(about, "ranker.breakwater.", "A").answer[0][0].to_text())
        asked(about, "ranker.breakwater.", "AAAA")
    assert firsts == {"10.0.0.1", "10.0.0.2"}


def test_however_a_query_is_spelled_it_is_answered_from_what_is_kept() -> None:
    """Mixed case comes back as it was sent, options do not matter, and neither takes room."""
    about = answerer(one(1), one(2))
    for number in range(300):
        spelled = "".join(
            letter.upper() if number >> bit & 1 else letter for bit, letter in enumerate("ranker")
        )
        cookie = dns.edns.GenericOption(dns.edns.OptionType.COOKIE, number.to_bytes(8, "big"))
        query = dns.message.make_query(
            f"{spelled}.breakwater.", "SRV", use_edns=0, options=[cookie]
        )
        wire = about.answer(query.to_wire(), over_udp=True)
        assert wire is not None
        answer = dns.message.from_wire(wire)
        assert answer.id == query.id
        assert answer.question[0].name.to_text() == f"{spelled}.breakwater."
        assert {record.port for record in answer.answer[0]} == {9_001, 9_002}
        assert len(answer.additional) == 2
    assert about.stats().kept > 250


@pytest.mark.slow
@given(
    first=st.tuples(
        st.sampled_from(["A", "SRV", "AAAA"]), st.sampled_from([0, 0x0100, 0x0130]),
        st.sampled_from([None, 512, 700, 4096]), st.booleans(),
    ),
    second=st.tuples(
        st.sampled_from(["A", "SRV", "AAAA", "TYPE65", "TYPE97"]),
        st.sampled_from([0, 0x0100, 0x0130]), st.sampled_from([None, 512, 700, 4096]),
        st.booleans(),
    ),
)  # fmt: skip
def test_what_is_kept_is_what_would_be_made(
    first: tuple[str, int, int | None, bool], second: tuple[str, int, int | None, bool]
) -> None:
    """No query, whatever its flags and options, is given the answer to another."""
    fleet = tuple(one(1, instance_id=f"r-{n}", host=f"10.2.0.{n}") for n in range(60))
    view = InstanceView(revision=7, instances=list(fleet))

    def fresh() -> Answerer:
        return Answerer(lambda: view, domain="breakwater.", ttl_s=1, random=SameTurn())

    def wire(kind: str, flags: int, payload: int | None, dnssec: bool) -> bytes:  # noqa: FBT001 - as above
        query = dns.message.make_query("ranker.breakwater.", kind, flags=flags, id=9)
        if payload is not None:
            query.use_edns(0, ednsflags=dns.flags.DO if dnssec else 0, payload=payload)
        return bytes(query.to_wire())

    for over_udp in (True, False):
        used = fresh()
        used.answer(wire(*first), over_udp=over_udp)
        expected = fresh().answer(wire(*second), over_udp=over_udp)
        assert used.answer(wire(*second), over_udp=over_udp) == expected


class SameTurn(Random):
    """Always the first turn."""

    def randrange(self, *_: object) -> int:
        """The first."""
        return 0


@pytest.mark.slow
def test_a_flood_of_names_leaves_nothing_behind() -> None:
    """Names that do not exist are not kept, nor more than some megabytes of those that do."""
    about = answerer(one(1))
    for number in range(500):
        asked(about, f"n{number}.breakwater.")
    assert asked(about, "ranker.breakwater.").answer
    kept = KeptAnswers()
    for number in range(300):
        query = dns.message.make_query(f"n{number}.breakwater.", "A").to_wire()
        question = question_of(query, over_udp=False)
        assert question is not None
        kept.keep(question, 0, query[:3] + b"\0" + query[4:] + bytes(60_000))
        assert kept.find(query, question, 0) is not None
    assert 0 < kept.kept_bytes <= MAX_KEPT_BYTES
    kept.clear()
    assert kept.kept_bytes == 0


def test_a_later_version_of_edns_is_named_as_unknown() -> None:
    """The asker then tries the version that there is (RFC 6891)."""
    wire = dns.message.make_query("ranker.breakwater.", "A", use_edns=1).to_wire()
    answer = answerer(one(1)).answer(wire, over_udp=True)
    assert answer is not None
    assert dns.message.from_wire(answer).rcode() == dns.rcode.BADVERS


@pytest.mark.parametrize(
    "odd",
    [
        {"host": "a\\"},
        {"host": "a b"},
        {"host": "a" * 64},
        {"service": ".".join(["a" * 60, "b" * 60, "c" * 57]), "instance_id": "i" * 63},
    ],
)
def test_an_instance_that_dns_cannot_spell_harms_nobody(odd: dict[str, object]) -> None:
    """It has no name there; the others of its service are answered for."""
    about = answerer(one(1), one(2, **odd))
    for kind in ("A", "SRV", "ANY"):
        assert len(asked(about, "ranker.breakwater.", kind).answer[0]) == 1
        if "service" in odd:
            asked(about, f"{odd['service']}.breakwater.", kind)


def test_an_address_with_an_interface_is_told_without_it() -> None:
    """DNS has room for the address only, and for no brackets."""
    about = answerer(one(1, host="fe80::1%eth0"), one(2, host="[2001:db8::2]"))
    assert records(asked(about, "ranker.breakwater.", "AAAA")) == {"fe80::1", "2001:db8::2"}


def test_answers_follow_the_view() -> None:
    """What was made for one revision is not given for the next."""
    views = [InstanceView(revision=1, instances=[one(1)])]
    about = Answerer(lambda: views[-1], domain="breakwater", ttl_s=1)
    for _ in range(20):
        assert records(asked(about, "ranker.breakwater.")) == {"10.0.0.1"}
    views.append(InstanceView(revision=2, instances=[one(2)]))
    assert records(asked(about, "ranker.breakwater.")) == {"10.0.0.2"}


NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=80)


@given(service=NAMES, instance=NAMES, host=NAMES, zone=NAMES)
def test_no_name_breaks_an_answer(service: str, instance: str, host: str, zone: str) -> None:
    """Whatever instances are called, others are answered for and nothing raises."""
    odd = one(9, service=service, instance_id=instance, host=host, zone=zone)
    about = answerer(odd, one(1))
    assert records(asked(about, "ranker-a-1.ranker.breakwater.")) == {"10.0.0.1"}
    asked(about, "ranker.breakwater.", "SRV")
    Names([odd]).find(tuple(f"{instance}.{service}".lower().split(".")))


@given(instance=NAMES)
def test_every_instance_has_a_label_of_its_own(instance: str) -> None:
    """A label is 1 to 63 letters, digits and hyphens, and finds its instance again."""
    odd = one(1, instance_id=instance)
    label = instance_label(odd)
    assert 0 < len(label) <= 63
    assert label.strip("abcdefghijklmnopqrstuvwxyz0123456789-") == ""
    found = Names([odd]).find((label, "ranker"))
    assert (found.standing, found.instances) == (Standing.INSTANCE, (odd,))


@given(junk=st.binary(max_size=600))
def test_junk_is_complained_of(junk: bytes) -> None:
    """What is no query gets a format error under its own id, or nothing at all."""
    answer = answerer(*FLEET).answer(junk, over_udp=True)
    if answer is not None:
        assert answer[:2] == junk[:2]
        assert answer[2] & 0x80


def test_an_answer_is_not_answered() -> None:
    """Two servers cannot be made to talk to each other for ever."""
    reply = dns.message.make_response(dns.message.make_query("ranker.breakwater.", "A"))
    assert answerer().answer(reply.to_wire(), over_udp=True) is None


def test_a_domain_that_is_no_name_is_named() -> None:
    """The setting and its value stand in the error."""
    with pytest.raises(DnsPortError, match=r"registry\.dns_domain is 'a\.\.b'"):
        Answerer(lambda: InstanceView(revision=1, instances=[]), domain="a..b", ttl_s=1)
