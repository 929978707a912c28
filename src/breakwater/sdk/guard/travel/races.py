"""Attempts side by side: the first result wins, and nobody who lost is left behind unnoticed.

`Standing` decides and is the same for both; `AsyncRace` has a task for each copy, `race_sync` a
thread of a small pool for each attempt.
"""

import threading
from collections.abc import Awaitable, Callable, Iterable
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final

from breakwater.sdk.guard.travel.pipeline import Finish, Race, Road
from breakwater.sdk.guard.verdict import Verdict

if TYPE_CHECKING:
    import asyncio

GRACE_S: Final = 0.01
"""How long an answer waits for the cancelled losers to be gone, which takes one turn of the loop
unless one of them resists."""

_LEFT_BEHIND: Final[set["asyncio.Task[Finish]"]] = set()


class Standing:
    """How a race stands; asked after each event what is to be done next.

    An error for good (the caller's own fault) ends the race at once. A refusal by this process's
    own guard says that no further copy would be let through, but not that those under way are
    lost. Any other error makes room for the next copy at once.
    """

    def __init__(self, race: Race) -> None:
        self._race = race
        self._most = race.most
        self._worst: Finish | None = None
        self.started = 0
        self.running = 0

    def start(self) -> Road:
        """The next attempt."""
        self.started += 1
        self.running += 1
        return self._race.start(self.started)

    @property
    def wait_s(self) -> float | None:
        """How long to wait for an end before `may_start` is asked; None: until there is one."""
        return self._race.delay_s if self.started < self._most else None

    def may_start(self) -> bool:
        """Whether another attempt starts now; asked when one failed or `wait_s` went by."""
        if self.started >= self._most:
            return False
        if not self._race.may_start():
            self._most = self.started
            return False
        return True

    def lost(self) -> Finish | None:
        """The error that stands once nobody runs any more, None before."""
        return None if self.running else self._worst

    def forget(self) -> None:
        """It is over: hold on to no error."""
        self._worst = None

    def give_up(self) -> None:
        """The attempt just started found no thread; there will be no further one."""
        self.running -= 1
        self._most = self.started

    def first_of(self, ends: Iterable[Finish]) -> Finish | None:
        """How the race ends after these ends of attempts, None while it goes on."""
        for finish in ends:
            self.running -= 1
            verdict = self._race.verdicts.get(finish.number)
            if finish.error is None or verdict is Verdict.IGNORED:
                return finish
            if not isinstance(finish.error, Exception):
                return finish
            if verdict is Verdict.NOT_TRIED:
                self._most = self.started
                self._worst = self._worst or finish
            else:
                self._worst = finish
        return None


class AsyncRace:
    """The first attempt in the caller's own task, each copy in a task of its own.

    So a call that needs no copy costs a timer and no task. If a copy wins, the caller's task is
    cancelled out of the first attempt; a cancellation from outside at the same time goes first.
    """

    def __init__(self, race: Race, drive: Callable[[Road], Awaitable[Any]]) -> None:
        import asyncio  # noqa: PLC0415 - a sync service never pays for it

        self._standing = Standing(race)
        self._drive = drive
        self._loop = asyncio.get_running_loop()
        self._caller = asyncio.current_task()
        self._tasks: set[asyncio.Task[Finish]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._decided: Finish | None = None
        self._is_first_on = False

    async def run(self) -> Finish:
        """How it ends; the losers are cancelled by then."""
        import asyncio  # noqa: PLC0415 - as above

        try:
            finish = await self._first()
            while finish is None:
                if self._standing.may_start():
                    self._start()
                elif (finish := self._standing.lost()) is not None:
                    break
                done, self._tasks = await asyncio.wait(
                    self._tasks,
                    timeout=self._standing.wait_s,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                finish = self._standing.first_of(task.result() for task in done)
            return finish
        finally:
            self._standing.forget()
            self._decided = None
            if self._tasks:
                for task in self._tasks:
                    task.cancel()
                    _LEFT_BEHIND.add(task)
                    task.add_done_callback(_LEFT_BEHIND.discard)
                await asyncio.wait(self._tasks, timeout=GRACE_S)

    async def _first(self) -> Finish | None:
        """The first attempt, with the timer for copies running beside it."""
        from asyncio import CancelledError  # noqa: PLC0415 - as above

        caller = self._caller
        assert caller is not None, "an await outside any task"
        before = caller.cancelling()
        self._is_first_on = True
        self._arm()
        finish: Finish | None = None
        try:
            finish = Finish(1, await self._drive(self._standing.start()), None)
        except CancelledError:
            if self._decided is None or caller.uncancel() > before:
                raise
            return self._decided
        except Exception as error:  # noqa: BLE001 - judged by the race
            finish = Finish(1, None, error)
        finally:
            self._is_first_on = False
            self._disarm()
        try:
            if self._decided is not None:  # it ended in its own way although it was cancelled
                caller.uncancel()
                return self._decided
            return self._standing.first_of((finish,))
        finally:
            del finish  # an error does not hold the frame that holds it

    def _arm(self) -> None:
        wait_s = self._standing.wait_s
        if wait_s is not None:
            self._timer = self._loop.call_later(wait_s, self._waited)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _waited(self) -> None:
        if self._standing.may_start():
            self._start()
            self._arm()

    def _start(self) -> None:
        road = self._standing.start()
        task = self._loop.create_task(_go(self._standing.started, self._drive, road))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[Finish]") -> None:
        """A copy ended; while the first attempt is on, nobody else looks."""
        if not self._is_first_on or self._decided is not None or task.cancelled():
            return
        self._tasks.discard(task)
        self._decided = self._standing.first_of((task.result(),))
        if self._decided is not None:
            assert self._caller is not None, "an await outside any task"
            self._caller.cancel()
        elif self._standing.may_start():
            self._start()


async def _go(number: int, drive: Callable[[Road], Awaitable[Any]], road: Road) -> Finish:
    """One attempt; whatever error it ends in is for the race to judge, but its own cancellation."""
    try:
        return Finish(number, await drive(road), None)
    except Exception as error:  # noqa: BLE001 - handed to the caller by the race
        return Finish(number, None, error)


def race_sync(race: Race, drive: Callable[[Road], Any]) -> Finish:
    """A thread for each attempt, as far as there are free ones; without any, the caller's own.

    Losers cannot be stopped: they end in the background and are booked when they do.
    """
    standing = Standing(race)
    changed = threading.Condition()
    ends: list[Finish] = []

    def start() -> bool:
        road = standing.start()
        number, context = standing.started, copy_context()

        def run() -> None:
            finish = context.run(_end, number, drive, road)
            with changed:
                ends.append(finish)
                changed.notify()

        return race.threads is not None and race.threads.try_run(run)

    if not start():
        return Finish(1, drive(race.start(1)), None)
    while True:
        with changed:
            if not ends:
                changed.wait(standing.wait_s)
            news = ends[:]
            ends.clear()
        finish = standing.first_of(news)
        if finish is not None:
            return finish
        if standing.may_start() and not start():
            standing.give_up()
        if (finish := standing.lost()) is not None:
            return finish


def _end(number: int, drive: Callable[[Road], Any], road: Road) -> Finish:
    try:
        return Finish(number, drive(road), None)
    except BaseException as error:  # noqa: BLE001 - raised on the thread that waits for it
        return Finish(number, None, error)
