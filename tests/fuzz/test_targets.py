"""Every way in under a fuzzer: for a while at random, and guided by coverage where that can run."""

import asyncio
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]
SEEDS = {
    "guard-streams": [
        b'data: {"type":"HystrixCommand","name":"A","deleteData":[],"reportingHosts":1e300}\n\n',
        (
            b'data: {"type":"HystrixCommand","name":"A","requestCount":18446744073709551615,\x01'
            b'"latencyExecute":{"99":1e308},"isCircuitBreakerOpen":{"true":9e99}}\r\n\r\nping: \n\n'
        ),
        b'data: {"type":"HystrixThreadPool","name":"P","currentActiveCount":true}\n\n',
        b'data: {"type":"HystrixCollapser","name":"C","batchSize":{"25":-1}}\n\n',
    ],
    "lines": [b"c:requests,nf.app=a:1\nT:lat,k=v:0.5\nA:age:0", b"g,5:x:1e9"],
    "programs": [b"\x00name,calls,:eq,:sum,(,nf.app,),:by", b"\x7f\x00\x01\x00\x99\x00\x10"],
    "publish": [
        b'{"tags":{"nf.app":"a"},"metrics":[{"tags":{"name":"n"},"timestamp":1,"value":2.5}]}',
        b":)\n\x01\xfa\xfb",
        b'\x1f{"metrics":[]}',
    ],
    "remote-write": [
        b"\x00\x0a\x24\x0a\x10\x0a\x08__name__\x12\x04cpu_\x12\x10\x09\0\0\0\0\0\0\xf0\x3f\x10\x81\x01",
        b"\x05\x10hello",
    ],
}


@pytest.mark.parametrize("name", sorted(TARGETS))
@pytest.mark.slow
def test_random_bytes_give_a_promised_error_or_an_answer(name: str) -> None:
    """Whatever the bytes, what comes back is an answer within limits or an error that explains."""
    with asyncio.Runner() as loop:
        target = TARGETS[name](loop)
        for seed in SEEDS[name]:
            target(seed)

        @settings(max_examples=300, deadline=None)
        @given(st.binary(max_size=400) | st.sampled_from(SEEDS[name]).flatmap(_mutated))
        def check(data: bytes) -> None:
            target(data)

        check()


def _mutated(seed: bytes) -> st.SearchStrategy[bytes]:
    """A seed with a few bytes changed, cut or repeated."""

    def changed(edits: list[tuple[int, int]]) -> bytes:
        data = bytearray(seed)
        for place, byte in edits:
            data[place % len(data)] = byte
        return bytes(data)

    edit = st.tuples(st.integers(0, 1 << 16), st.integers(0, 255))
    return st.lists(edit, max_size=6).map(changed)


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="atheris has no wheel for this platform"
)
@pytest.mark.parametrize("name", sorted(TARGETS))
def test_guided_bytes_give_a_promised_error_or_an_answer(name: str, tmp_path: Path) -> None:
    """A fuzzer that follows coverage finds no crash, no endless loop and no leak."""
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(SEEDS[name]):
        (corpus / f"seed{number}").write_bytes(seed)
    flags = ["-runs=4000", "-seed=1", "-max_len=600", "-timeout=20", "-rss_limit_mb=4096"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", name, str(corpus), *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
