"""/api/v1/expr and /api/v1/words: what a program means, without running it on datapoints.

    /api/v1/expr, /debug   the stack at every step     /normalize  the form equal programs share
    /complete  words that could come next              /queries    which series are read
    /rewrite   lists of offsets written out            /strip      without some keys or words
    /explain   in words, step by step                  /infix      as a formula

All take `q`, most `vocab`, the family of words that may be used. Short programs are answered at
once, long ones in a thread.
"""

from collections.abc import Callable
from typing import Final, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from breakwater.metrics.api.queue import QueryQueue
from breakwater.metrics.cost import selections
from breakwater.metrics.engine import MetricsEngine
from breakwater.metrics.errors import QueryValueError
from breakwater.metrics.language.completion import candidates, entries
from breakwater.metrics.language.explain import Explanation, explain
from breakwater.metrics.language.infix import infix
from breakwater.metrics.language.normalize import normalize
from breakwater.metrics.language.program import parse
from breakwater.metrics.language.strip import strip
from breakwater.metrics.language.trace import trace
from breakwater.metrics.language.vocabulary import Vocabulary
from breakwater.web import Endpoint, error_answer, json_answer

_SHORT: Final = 512
"""Characters of a program that is worked on in the event loop."""

_T = TypeVar("_T")


class Explained(msgspec.Struct, frozen=True):
    """Every expression of a program in words."""

    expressions: list[Explanation]


class ExpressionEndpoints:
    """One endpoint for each thing that can be said of a program."""

    def __init__(self, engine: MetricsEngine, queue: QueryQueue) -> None:
        self._vocabulary = engine.vocabulary
        self._queue = queue
        self.table: dict[str, Endpoint] = {
            "": self.debug,
            "/debug": self.debug,
            "/normalize": self._saying(normalize),
            "/complete": self.complete,
            "/queries": self._saying(_queries),
            "/rewrite": self._saying(_rewritten),
            "/strip": self.strip,
            "/explain": self._saying(_explained),
            "/infix": self._saying(_formulas),
        }

    async def debug(self, request: Request) -> Response:
        """The stack and the words left at every step; where a word fails, the steps before it."""
        program = _program(request)
        found = await self._work(request, program, trace)
        if found.error is not None:
            return error_answer(400, str(found.error), steps=found.steps)
        return json_answer(found.steps)

    async def strip(self, request: Request) -> Response:
        """The program without conditions on the keys `k` and words of the families `r`."""
        keys = request.query_params.getlist("k")
        families = request.query_params.getlist("r")

        def stripped(program: str, vocabulary: Vocabulary) -> list[str]:
            return [strip(each, keys, families).text() for each in parse(program, vocabulary)]

        return json_answer(await self._work(request, _program(request), stripped))

    async def words(self, request: Request) -> Response:
        """Every word of the language and of the site, for editors."""
        return json_answer(entries(self._allowed(request)))

    async def complete(self, request: Request) -> Response:
        """The words that could come next; a program that has not begun is one, too."""
        program = request.query_params.get("q", "")
        return json_answer(await self._work(request, program, candidates))

    def _saying(self, work: Callable[[str, Vocabulary], object]) -> Endpoint:
        async def answer(request: Request) -> Response:
            return json_answer(await self._work(request, _program(request), work))

        return answer

    async def _work(
        self, request: Request, program: str, work: Callable[[str, Vocabulary], _T]
    ) -> _T:
        vocabulary = self._allowed(request)
        if len(program) <= _SHORT:
            return work(program, vocabulary)
        return await self._queue.run(lambda _: work(program, vocabulary), request=request)

    def _allowed(self, request: Request) -> Vocabulary:
        family = request.query_params.get("vocab")
        return self._vocabulary if family is None else self._vocabulary.limited(family)


def _program(request: Request) -> str:
    program = request.query_params.get("q", "").strip()
    if not program:
        raise QueryValueError("parameter 'q' is missing; expected a program of the stack language")
    return program


def _queries(program: str, vocabulary: Vocabulary) -> list[str]:
    """The queries of all that a program reads, each once."""
    found = selections(parse(program, vocabulary))
    return list(dict.fromkeys(selection.query.text() for selection in found))


def _rewritten(program: str, vocabulary: Vocabulary) -> list[str]:
    """The expressions of a program, those with a list of offsets once for each of them."""
    return [styled.text() for styled in parse(program, vocabulary)]


def _explained(program: str, vocabulary: Vocabulary) -> Explained:
    return Explained([explain(styled) for styled in parse(program, vocabulary)])


def _formulas(program: str, vocabulary: Vocabulary) -> list[str]:
    return [infix(styled) for styled in parse(program, vocabulary)]
