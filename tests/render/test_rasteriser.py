"""Pictures drawn by a child process."""

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from breakwater.model import UnavailableError
from breakwater.render import PictureSizeError, RenderError, png
from breakwater.render.rasteriser import Rasteriser

SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="{0}" height="20"><text y="15">{1}</text></svg>'
)
SMALL = SVG.format(60, "hello")


@pytest.fixture
def rasteriser() -> Iterator[Rasteriser]:
    """One that is closed after the test."""
    made = Rasteriser()
    yield made
    made.close()


def test_a_child_draws_what_this_process_would(rasteriser: Rasteriser) -> None:
    """The same bytes, and one child for all pictures."""
    assert rasteriser.png(SMALL) == png(SMALL, scale=1.0)
    assert rasteriser.png(SMALL, scale=2.0) == png(SMALL, scale=2.0)
    stats = rasteriser.stats()
    assert (stats.drawn, stats.started, stats.given_up) == (2, 1, 0)


def test_many_threads_share_it(rasteriser: Rasteriser) -> None:
    """Each gets its own picture."""
    texts = [f"number {count}" for count in range(20)]
    pictures = [SVG.format(100 + count, text) for count, text in enumerate(texts)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(rasteriser.png, pictures)) == [png(each, 1.0) for each in pictures]
    assert rasteriser.stats().started == 1


def test_a_dead_child_is_replaced(rasteriser: Rasteriser) -> None:
    """Whoever asks next notices nothing."""
    rasteriser.png(SMALL)
    child = rasteriser._child
    assert child is not None
    os.kill(child.pid, signal.SIGKILL)
    assert rasteriser.png(SMALL) == png(SMALL, scale=1.0)
    assert rasteriser.stats().started == 2


def test_what_is_no_picture_is_refused(rasteriser: Rasteriser) -> None:
    """With the reasons of `png`, and the child lives on."""
    with pytest.raises(RenderError, match="no width and height"):
        rasteriser.png("<svg/>")
    with pytest.raises(PictureSizeError):
        rasteriser.png(SMALL, scale=1e4)
    with pytest.raises(RenderError, match="could not be drawn"):
        rasteriser.png('<svg width="10" height="10"><')
    rasteriser.png(SMALL)
    assert rasteriser.stats().started == 1


def test_a_child_that_hangs_is_given_up(rasteriser: Rasteriser) -> None:
    """Its picture is refused for now; the next one has a new child."""
    rasteriser.png(SMALL)
    child = rasteriser._child
    assert child is not None
    rasteriser._patience_s = 0.01
    os.kill(child.pid, signal.SIGSTOP)
    with pytest.raises(UnavailableError, match="not drawn in"):
        rasteriser.png(SMALL)
    rasteriser._patience_s = 20.0
    assert rasteriser.png(SMALL) == png(SMALL, scale=1.0)
    assert rasteriser.stats().given_up == 1


def test_other_threads_run_while_it_draws(rasteriser: Rasteriser) -> None:
    """The reason it exists: this interpreter is free meanwhile."""
    rasteriser.png(SMALL)
    child = rasteriser._child
    assert child is not None
    os.kill(child.pid, signal.SIGSTOP)
    drawing = threading.Thread(target=rasteriser.png, args=(SMALL,))
    drawing.start()
    assert drawing.is_alive()
    os.kill(child.pid, signal.SIGCONT)
    drawing.join(20)
    assert not drawing.is_alive()


def test_closing_twice_is_closing(rasteriser: Rasteriser) -> None:
    """And it can be used again."""
    rasteriser.close()
    rasteriser.close()
    assert rasteriser.png(SMALL)
