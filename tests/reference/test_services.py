"""The services over real sockets: what they answer, and what they do when others do not."""

import asyncio
from collections.abc import Callable
from typing import Any

import anyio
import m3u8
import pytest
from tests.reference.local_fleet import LocalFleet, account_on, bearer, local_fleet

from breakwater.reference.segments import SegmentName, payload
from breakwater.reference.titles import Library, generate_titles
from breakwater.sdk import CallFailedError, Service

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
LIBRARY = Library(generate_titles(1))
EUROPEAN = next(t for t in generate_titles(1) if "eu" in t.regions)
ELSEWHERE = next(t for t in generate_titles(1) if "eu" not in t.regions)
PLAYBACK = ("playback", "session", "licence", "account", "manifest", "catalogue", "steering")


async def _refused(fleet: LocalFleet, service: str, method: str, path: str, **options: Any) -> int:
    with pytest.raises(CallFailedError) as failed:
        await fleet.client(service).request(method, path, **options)
    return failed.value.code or 0


async def _stats(fleet: LocalFleet, service: str) -> Any:
    return (await fleet.client(service).get("/stats")).json()["part"]


def _wish(account: str, **changes: Any) -> dict[str, Any]:
    wish = {
        "account": account, "title": EUROPEAN.id, "device": "tv", "zone": "a",
        "title_regions": EUROPEAN.regions, "format": "hls",
    }  # fmt: skip
    return {**wish, **changes}


async def test_every_service_answers_its_health_check() -> None:
    """All but the player, which needs people: 200 at /healthcheck, statistics at /stats."""
    names = ("gateway", "personalization", "features", "ranker", "origin", "cdn", *PLAYBACK)
    async with local_fleet(*names) as fleet:
        for name in names:
            assert (await fleet.client(name).get("/healthcheck")).body == b"OK"
            assert await _stats(fleet, name)


async def test_account_knows_devices_by_their_token() -> None:
    """A genuine token gives the account; a forged, missing or unknown one does not."""
    async with local_fleet("account") as fleet:
        reply = await fleet.client("account").get("/v1/identity", headers=bearer("a3", "phone"))
        assert (reply.json()["account"]["id"], reply.json()["device"]) == ("a3", "phone")
        forged = {"authorization": "Bearer a3.phone.00"}
        assert await _refused(fleet, "account", "GET", "/v1/identity", headers=forged) == 401
        assert await _refused(fleet, "account", "GET", "/v1/identity") == 401
        assert await _refused(fleet, "account", "GET", "/v1/accounts/a999999") == 404


async def test_catalogue_answers_for_titles() -> None:
    """One title, several cards in order, and candidates; bad questions are refused by name."""
    async with local_fleet("catalogue") as fleet:
        client = fleet.client("catalogue")
        assert (await client.get("/v1/titles/t0007")).json()["id"] == "t0007"
        cards = (await client.get("/v1/titles?ids=t0009,t0002,nope")).json()
        assert [card["id"] for card in cards] == ["t0009", "t0002"]
        found = (await client.get("/v1/candidates?region=eu&rating=teen&limit=3")).json()
        assert found == [t.id for t in LIBRARY.candidates(region="eu", rating="teen", limit=3)]
        assert await _refused(fleet, "catalogue", "GET", "/v1/titles/zzz") == 404
        assert await _refused(fleet, "catalogue", "GET", "/v1/titles?ids=") == 400
        assert await _refused(fleet, "catalogue", "GET", "/v1/candidates?limit=0") == 400


async def test_an_appliance_fills_from_the_origin_once() -> None:
    """Ten players at once cost the origin one request, and all get the title's bytes."""
    name = SegmentName("t0001", "v240", 3)
    async with local_fleet("cdn", "origin") as fleet:
        cdn = fleet.client("cdn")
        replies = await asyncio.gather(*(cdn.get(name.path) for _ in range(10)))
        assert {reply.body for reply in replies} == {payload(LIBRARY, name)}
        assert (await _stats(fleet, "origin"))["segments"] == 1
        again = await cdn.get(name.path)
        assert again.headers["x-cache"] == "hit"
        load = (await cdn.get("/v1/load")).json()
        assert load["cache"]["items"] == 1
        assert await _refused(fleet, "cdn", "GET", "/v1/segments/t0001/v240/999999.m4s") == 404
        assert await _refused(fleet, "cdn", "GET", "/v1/segments/t0001/../1.m4s") == 404


async def test_an_appliance_without_its_origin_says_so() -> None:
    """There is no fallback for bytes; the error keeps its class and nothing bad is kept."""
    path = SegmentName("t0001", "v240", 3).path
    async with local_fleet("cdn", absent=["origin"]) as fleet:
        assert await _refused(fleet, "cdn", "GET", path) == 502
        assert (await _stats(fleet, "cdn"))["cache"]["items"] == 0


async def test_features_take_events_and_give_features() -> None:
    """Events change the account's features; too many or unreadable ones are refused whole."""
    event = {"account": "a1", "title": "t0001", "kind": "start"}
    async with local_fleet("features") as fleet:
        client = fleet.client("features")
        assert (await client.post("/v1/events", json=[event, event])).json() == {"events": 2}
        assert (await client.get("/v1/features/a1")).json()["affinity"]["t0001"] > 1.9
        hot = (await client.get("/v1/trending")).json()
        assert hot == {"trending": {"t0001": 1.0}, "starts": {"t0001": 2}}
        post = ("features", "POST", "/v1/events")
        assert await _refused(fleet, *post, json=[event] * 501) == 400
        assert await _refused(fleet, *post, json=[{**event, "kind": "dance"}]) == 400
        assert await _refused(fleet, *post, data=b"{") == 400
        assert (await _stats(fleet, "features"))["events"] == 2


async def test_both_cells_of_the_experiment_are_served() -> None:
    """Accounts are split between two models, each account always by the same one."""
    async with local_fleet("ranker") as fleet:
        client = fleet.client("ranker")
        answers = [(await client.get(f"/v1/rank/a{n}?limit=5")).json() for n in range(1, 21)]
        assert {answer["cell"] for answer in answers} == {"control", "damped"}
        assert len({tuple(answer["scores"]) for answer in answers}) > 5
        assert (await client.get("/v1/rank/a1?limit=5")).json() == answers[0]
        assert len((await client.get("/v1/rank/stranger?limit=5")).json()["scores"]) == 5


async def test_sessions_count_streams_and_keep_places() -> None:
    """Opening counts, stopping frees, and the place is there for the next time."""
    opening = {"session": "s1", "account": "a1", "title": "t0001", "device": "tv"}
    report = {"account": "a1", "title": "t0001", "device": "tv", "position_s": 90.0}
    async with local_fleet("session", "features") as fleet:
        client = fleet.client("session")
        await client.post("/v1/sessions", json=opening)
        await client.post("/v1/sessions", json={**opening, "session": "s2"})
        assert (await client.get("/v1/accounts/a1/streams?session=s2")).json() == {"earlier": 1}
        await client.post("/v1/sessions/s1/report", json={**report, "kind": "start"})
        await client.post("/v1/sessions/s1/report", json={**report, "kind": "stop"})
        assert (await client.get("/v1/accounts/a1/streams?session=s2")).json() == {"earlier": 0}
        assert (await client.get("/v1/accounts/a1/resume")).json() == {"t0001": 90.0}
        assert (await _stats(fleet, "features"))["events"] == 2


async def test_sessions_do_not_need_features() -> None:
    """An event nobody takes is lost; the report is not."""
    report = {"account": "a1", "title": "t0001", "device": "tv", "position_s": 5.0}
    async with local_fleet("session", absent=["features"]) as fleet:
        reply = await fleet.client("session").post("/v1/sessions/s1/report", json=report)
        assert reply.json() == {"session": "s1"}


async def test_manifests_describe_the_title_and_outlive_the_catalogue() -> None:
    """HLS and DASH both say what the catalogue's title is, while it is away as last described."""
    async with local_fleet("manifest", "catalogue", absent=["cdn"]) as fleet:
        client = fleet.client("manifest")
        path = f"/v1/titles/{EUROPEAN.id}/manifest?device=phone&format="
        told = (await client.get(f"{path}hls")).json()
        playlist = m3u8.loads(told["text"])
        assert max(p.stream_info.resolution[1] for p in playlist.playlists) <= 720
        assert playlist.content_steering.pathway_id == "a"
        assert "<MPD" in (await client.get(f"{path}dash")).json()["text"]
        media = await client.get(f"/v1/titles/{EUROPEAN.id}/hls/v240.m3u8?pathway=a")
        assert m3u8.loads(media.body.decode()).segments[0].uri.startswith("http://127.0.0.1:")
        assert (await client.get(f"/v1/titles/{EUROPEAN.id}/dash.mpd")).body[:5] == b"<?xml"
        assert await _refused(fleet, "manifest", "GET", f"{path}smooth") == 400
        assert await _refused(fleet, "manifest", "GET", "/v1/titles/zzz/manifest") == 404
        _lose(fleet.services["manifest"], "catalogue")
        assert (await client.get(f"{path}hls")).json() == told
        other = LIBRARY.candidates(region="na", rating="all", limit=1)[0].id
        shipped = (await client.get(f"/v1/titles/{other}/manifest?format=hls")).json()
        assert m3u8.loads(shipped["text"]).playlists
        assert await _refused(fleet, "manifest", "GET", "/v1/titles/zzz/manifest") == 503


async def test_a_licence_is_refused_for_cause_and_never_guessed() -> None:
    """No plan and too many streams are 403; a dead account service is an error, not a yes."""
    lapsed, basic = account_on("lapsed"), account_on("basic")
    async with local_fleet("licence", "account", "session", absent=["features"]) as fleet:
        asked = ("licence", "POST", "/v1/licences")
        assert await _refused(fleet, *asked, json=_licence(lapsed, "s1")) == 403
        opening = {"account": basic, "title": EUROPEAN.id, "device": "tv"}
        for session in ("s1", "s2"):
            await fleet.client("session").post("/v1/sessions", json={**opening, "session": session})
        granted = await fleet.client("licence").post("/v1/licences", json=_licence(basic, "s1"))
        assert granted.json()["max_height"] == 720
        assert await _refused(fleet, *asked, json=_licence(basic, "s2")) == 403
        assert (await _stats(fleet, "licence"))["refused"] == {
            "no_entitlement": 1, "too_many_streams": 1,
        }  # fmt: skip
        assert (await fleet.client("licence").get("/v1/keys")).json()["keys"][0]["kty"] == "EC"
        _lose(fleet.services["licence"], "account")
        assert await _refused(fleet, *asked, json=_licence(basic, "s1")) == 503


async def test_a_forged_licence_is_refused_where_it_is_shown() -> None:
    """Only a token signed for this very session passes."""
    premium = account_on("premium")
    async with local_fleet("licence", "account", "session") as fleet:
        granted = await fleet.client("licence").post("/v1/licences", json=_licence(premium, "s1"))
        token = granted.json()["token"]
        shown = ("licence", "POST", "/v1/licences/verify")
        good = await fleet.client("licence").post(shown[2], json={"token": token, "session": "s1"})
        assert good.json()["sub"] == premium
        for forged, session in ((token[:-4] + "AAAA", "s1"), (token, "s2"), ("x", "s1")):
            told = {"token": forged, "session": session}
            assert await _refused(fleet, *shown, json=told) == 403


def _licence(account: str, session: str) -> dict[str, Any]:
    return {
        "account": account, "session": session, "title": EUROPEAN.id, "device": "tv",
        "title_regions": EUROPEAN.regions,
    }  # fmt: skip


async def test_playback_prepares_a_stream_and_follows_it() -> None:
    """Play, started with the licence, heartbeat with steering, stop."""
    premium = account_on("premium")
    report = {"account": premium, "title": EUROPEAN.id, "device": "tv", "zone": "a"}
    async with local_fleet(*PLAYBACK, "cdn", absent=["features", "origin"]) as fleet:
        client = fleet.client("playback")
        answer = (await client.post("/v1/plays", json=_wish(premium))).json()
        plays = f"/v1/plays/{answer['session']}"
        shown = {**report, "licence": answer["licence"]["token"]}
        await client.post(f"{plays}/started", json=shown)
        beat = await client.post(f"{plays}/heartbeat", json={**report, "position_s": 60.0})
        assert [line["instance"] for line in beat.json()["APPLIANCES"]] == ["cdn-a-1"]
        await client.post(f"{plays}/stop", json={**report, "position_s": 61.0})
        again = (await client.post("/v1/plays", json=_wish(premium))).json()
        assert again["resume_s"] == 61.0
        assert await _refused(
            fleet, "playback", "POST", f"{plays}/started", json={**shown, "licence": "x.y.z"}
        ) == 403  # fmt: skip


async def test_playback_does_without_steering_and_manifest_but_not_without_licence() -> None:
    """Static order and the last good manifest stand in; a refused start leaves no stream."""
    premium, lapsed = account_on("premium"), account_on("lapsed")
    async with local_fleet(*PLAYBACK, absent=["features", "cdn"]) as fleet:
        client = fleet.client("playback")
        first = (await client.post("/v1/plays", json=_wish(premium))).json()
        playback = fleet.services["playback"]
        for lost in ("steering", "manifest"):
            _lose(playback, lost)
        second = (await client.post("/v1/plays", json=_wish(premium))).json()
        assert second["manifest"] == first["manifest"]
        assert [line["instance"] for line in second["steering"]["APPLIANCES"]] == ["cdn-a-1"]
        before = (await _stats(fleet, "session"))["sessions"]
        refused = await _refused(fleet, "playback", "POST", "/v1/plays", json=_wish(lapsed))
        assert refused == 403
        _lose(playback, "licence")
        refused = await _refused(fleet, "playback", "POST", "/v1/plays", json=_wish(premium))
        assert refused == 503
        assert (await _stats(fleet, "session"))["sessions"] == before


async def test_steering_learns_which_appliances_are_there() -> None:
    """A dead appliance misses its polls; players' reports are taken."""
    async with local_fleet("steering", absent=["cdn"]) as fleet:
        client = fleet.client("steering")
        with_failed = "/v1/steering?zone=a&viewer=v&failed=cdn-a-1"
        await client.get(with_failed)
        told = (await client.get("/v1/steering?zone=a&viewer=v")).json()
        assert told["PATHWAY-PRIORITY"] == ["a"]
        assert (await _stats(fleet, "steering"))["appliances"][0]["missed_polls"] >= 1


async def test_personalization_does_without_any_of_its_callees() -> None:
    """With nobody to ask the page is popularity, and nothing fails."""
    path = "/v1/rows/a5?region=eu&rating=adult"
    async with local_fleet("personalization", absent=["ranker", "features"]) as fleet:
        told = (await fleet.client("personalization").get(path)).json()
        popular = [t.id for t in LIBRARY.candidates(region="eu", rating="adult", limit=12)]
        assert told["cell"] == "none"
        assert told["rows"][0]["titles"] == popular
        assert (await _stats(fleet, "personalization")) == {"pages": 1, "unranked": 1}


async def test_personalization_follows_the_ranker() -> None:
    """With all callees up, the first shelf is not the charts, and the cell is said."""
    names = ("personalization", "ranker", "features", "catalogue")
    async with local_fleet(*names) as fleet:
        told = (await fleet.client("personalization").get("/v1/rows/a5?region=eu")).json()
        rows = {row["name"]: row["titles"] for row in told["rows"]}
        assert told["cell"] in {"control", "damped"}
        assert rows["Top picks"] != rows["Popular"]


async def test_the_edge_degrades_a_page_but_never_invents_a_viewer() -> None:
    """With everything down a page still comes, for a guest; playing is refused."""
    down = ["account", "session", "personalization", "catalogue", "features", "playback"]
    async with local_fleet("gateway", absent=down) as fleet:
        client = fleet.client("gateway")
        home = (await client.get("/v1/home", headers=bearer("a3"))).json()
        assert home["account"] == "guest"
        assert len(home["shelves"][0]["titles"]) == 12
        assert await _refused(fleet, "gateway", "GET", "/v1/home") == 401
        order = {"title": EUROPEAN.id}
        assert await _refused(
            fleet, "gateway", "POST", "/v1/play", json=order, headers=bearer("a3")
        ) == 502  # fmt: skip
        stats = await _stats(fleet, "gateway")
        assert (stats["started"], stats["failed"], stats["pages"]) == (0, 1, 1)


async def test_a_forged_token_is_refused_even_if_it_was_seen_before() -> None:
    """A refusal by account is final; the last good identity is for silence only."""
    async with local_fleet("gateway", "account", absent=["playback", "catalogue"]) as fleet:
        forged = {"authorization": "Bearer a3.tv.00"}
        assert await _refused(fleet, "gateway", "GET", "/v1/home", headers=forged) == 401


async def test_a_stream_start_is_counted_at_the_edge() -> None:
    """Success when the first segment is reported, failure when the start breaks anywhere."""
    premium, lapsed = account_on("premium"), account_on("lapsed")
    async with local_fleet("gateway", *PLAYBACK, absent=["features", "cdn"]) as fleet:
        client, headers = fleet.client("gateway"), bearer(premium)
        answer = (
            await client.post("/v1/play", json={"title": EUROPEAN.id}, headers=headers)
        ).json()
        path = f"/v1/sessions/{answer['session']}"
        report = {"title": EUROPEAN.id, "licence": answer["licence"]["token"]}
        await client.post(f"{path}/started", json=report, headers=headers)
        await client.post(f"{path}/heartbeat", json=report, headers=headers)
        await client.post(f"{path}/stop", json=report, headers=headers)
        assert (await _stats(fleet, "gateway"))["started"] == 1
        await client.post(f"{path}/started", json={**report, "result": "failure"}, headers=headers)
        edge = ("gateway", "POST")
        forged = {**report, "licence": "x.y.z"}
        assert await _refused(fleet, *edge, f"{path}/started", json=forged, headers=headers) == 403
        order = {"title": EUROPEAN.id}
        assert await _refused(fleet, *edge, "/v1/play", json=order, headers=bearer(lapsed)) == 403
        order = {"title": ELSEWHERE.id}
        european = bearer(account_on("premium", "eu"))
        assert await _refused(fleet, *edge, "/v1/play", json=order, headers=european) == 403
        stats = await _stats(fleet, "gateway")
        assert (stats["started"], stats["failed"]) == (1, 4)


async def test_links_inside_a_manifest_resolve_at_the_edge() -> None:
    """What a multivariant playlist links to is served, down to segments that exist."""
    premium = account_on("premium")
    async with local_fleet("gateway", *PLAYBACK, absent=["features", "cdn"]) as fleet:
        client = fleet.client("gateway")
        order = {"title": EUROPEAN.id}
        answer = (await client.post("/v1/play", json=order, headers=bearer(premium))).json()
        for entry in m3u8.loads(answer["manifest"]["text"]).playlists:
            document = await client.get(entry.uri)
            media = m3u8.loads(document.body.decode())
            assert len(media.segments) == answer["manifest"]["segments"]
            assert document.headers["content-type"].startswith("application/vnd.apple.mpegurl")


async def test_the_player_takes_a_new_load_at_run_time() -> None:
    """The target changes by POST, impossible targets are refused, the report says what holds."""
    async with local_fleet("player") as fleet:
        client = fleet.client("player")
        assert (await client.get("/load")).json()["target_rps"] == 0.0
        assert (await client.post("/load", json={"rps": 90})).json()["target_rps"] == 90.0
        assert await _refused(fleet, "player", "POST", "/load", json={"rps": -1}) == 400
        assert await _refused(fleet, "player", "POST", "/load", data=b"fast") == 400
        assert (await client.get("/load")).json()["target_rps"] == 90.0


async def test_people_live_against_the_fleet() -> None:
    """The player's people browse, start, fetch and report; every start is counted at both ends."""
    names = ("player", "gateway", "personalization", "features", "ranker", "cdn", "origin")
    async with local_fleet(*names, *PLAYBACK) as fleet:
        player = fleet.client("player")
        await player.post("/load", json={"rps": 15})  # few enough for a busy machine to serve
        report = await _until(fleet, lambda told: told["starts"] >= 3)
        assert report["requests"] > report["starts"] + report["errors"]
        assert report["people"] > 0
        await player.post("/load", json={"rps": 0})
        await _until(fleet, lambda told: told["people"] == 0)
        told, gateway = await _stats(fleet, "player"), await _stats(fleet, "gateway")
        assert gateway["started"] >= told["starts"]  # more only where an answer came too late
        assert (await _stats(fleet, "cdn"))["cache"]["items"] > 0
        assert (await _stats(fleet, "session"))["sessions"] == 0


async def test_people_without_an_edge_are_counted_and_go_home() -> None:
    """Every request fails, nobody starts, nobody stays, and the arrivals go on."""
    async with local_fleet("player", absent=["gateway", "cdn"]) as fleet:
        player = fleet.client("player")
        await player.post("/load", json={"rps": 200})
        report = await _until(fleet, lambda told: told["errors"] >= 10)
        assert report["starts"] == 0
        assert report["errors"] == report["requests"]


async def _until(fleet: LocalFleet, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The player's report once it is as wanted; looks again when something has happened."""
    player = fleet.client("player")
    with anyio.fail_after(60):
        while True:
            report: dict[str, Any] = (await player.get("/load")).json()
            if is_so(report):
                return report
            await fleet.until_answered()


def _lose(service: Service, callee: str) -> None:
    """From now on `service` knows no instance of `callee`."""
    service.client(callee, instances=[])
