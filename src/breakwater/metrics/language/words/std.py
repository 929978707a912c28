"""Words that move items around the stack, run lists, and keep variables."""

import re
from typing import Any

from breakwater.metrics.errors import QueryValueError
from breakwater.metrics.language.kinds import Item
from breakwater.metrics.language.machine import Machine
from breakwater.metrics.language.registry import word
from breakwater.metrics.language.size import MAX_LITERAL
from breakwater.metrics.selection.escapes import unescape

_PLACEHOLDER = re.compile(
    r"%(?P<plain>[%n])|%(?:(?P<place>[1-9][0-9]?)\$)?(?P<flags>[-+ 0#]*)"
    r"(?P<width>[0-9]*)(?:\.(?P<digits>[0-9]+))?(?P<kind>[sSdfeExX])"
)
_WIDEST = 1000


@word("call", "program:List -- *", needs_machine=True)
def call(machine: Machine, program: list[Item]) -> None:
    """Run a list."""
    machine.run_list(program)


@word("clear", " --", needs_machine=True)
def clear(machine: Machine) -> None:
    """Remove everything from the stack."""
    machine.stack.clear()


@word("depth", " -- n:Int", needs_machine=True)
def depth(machine: Machine) -> str:
    """Push how many items the stack holds."""
    return str(len(machine.stack))


@word("drop", "a:Any --")
def drop(_item: Item) -> None:
    """Remove the top item."""


@word("dup", "a:Any -- a:Any a:Any")
def dup(item: Item) -> Item:
    """Copy the top item."""
    return item, item


@word("each", "items:List program:List -- *", needs_machine=True)
def each(machine: Machine, items: list[Item], program: list[Item]) -> None:
    """For each item, last to first, push it and run the program: the first ends on top."""
    for item in reversed(items):
        machine.push(_literal(item))
        machine.run_list(program)


@word("fcall", "name:String -- *", needs_machine=True)
def fcall(machine: Machine, name: str) -> None:
    """Run the list kept in a variable."""
    program = _variable(machine, name)
    if not isinstance(program, list):
        raise QueryValueError(f"variable '{name}' holds no list that could be run")
    machine.run_list(program)


@word("format", "pattern:String values:StringList -- String")
def format_(pattern: str, values: list[str]) -> str:
    """Fill `%s`, `%d`, `%f` and `%x` in a pattern with the values of a list; `%2$s` is the 2nd."""
    left = iter(values)
    size = len(pattern)

    def fill(found: re.Match[str]) -> str:
        nonlocal size
        if found["plain"]:
            return "%" if found["plain"] == "%" else "\n"
        if any(len(part or "") > 4 or int(part or 0) > _WIDEST for part in found.group(4, 5)):
            raise QueryValueError(
                f"placeholder '{found[0][:40]}' is too wide; at most {_WIDEST} characters"
            )
        place = found["place"]
        value = next(left, None) if place is None else next(iter(values[int(place) - 1 :]), None)
        text = _filled(found, value)
        size += len(text)
        if size > MAX_LITERAL:
            raise QueryValueError(f"the text grows beyond {MAX_LITERAL} characters")
        return text

    return _PLACEHOLDER.sub(fill, pattern)


@word("freeze", " --", needs_machine=True)
def freeze(machine: Machine) -> None:
    """Put everything out of reach of later words; it returns when the program has ended."""
    machine.frozen.extend(machine.stack)
    machine.stack.clear()


@word("get", "name:String -- value:Any", needs_machine=True)
def get(machine: Machine, name: str) -> Item:
    """Push the value of a variable."""
    return _variable(machine, name)


@word("list", " -- items:List", needs_machine=True)
def list_(machine: Machine) -> list[Item]:
    """Make the whole stack one list, its top first."""
    items = machine.stack[::-1]
    machine.stack.clear()
    return items


@word("map", "items:List program:List -- List", needs_machine=True)
def map_(machine: Machine, items: list[Item], program: list[Item]) -> list[Item]:
    """Run the program on each item and collect what it leaves on top."""
    results = []
    for item in items:
        machine.push(_literal(item))
        machine.run_list(program)
        if not machine.stack:
            raise QueryValueError("the program of :map left no item to collect")
        results.append(machine.stack.pop())
    return results


@word("ndrop", "n:Int --", needs_machine=True)
def ndrop(machine: Machine, count: int) -> None:
    """Remove the top n items."""
    _taken(machine, count)


@word("nip", "a:Any b:Any -- b:Any")
def nip(_first: Item, second: Item) -> Item:
    """Remove the item below the top."""
    return second


@word("nlist", "n:Int -- items:List", needs_machine=True)
def nlist(machine: Machine, count: int) -> list[Item]:
    """Make the top n items one list, the top last."""
    return _taken(machine, count)


@word("over", "a:Any b:Any -- a:Any b:Any a:Any")
def over(first: Item, second: Item) -> Item:
    """Copy the item below the top to the top."""
    return first, second, first


@word("2over", "a:Any b:Any -- a:Any b:Any a:Any b:Any")
def two_over(first: Item, second: Item) -> Item:
    """Copy the top two items."""
    return first, second, first, second


@word("pick", "n:Int -- item:Any", needs_machine=True)
def pick(machine: Machine, depth_: int) -> Item:
    """Copy the item n places below the top; 0 is the top."""
    return machine.stack[_position(machine, depth_)]


@word("roll", "n:Int -- item:Any", needs_machine=True)
def roll(machine: Machine, depth_: int) -> Item:
    """Move the item n places below the top to the top."""
    return machine.stack.pop(_position(machine, depth_))


@word("rot", "top:Any -- *", needs_machine=True)
def rot(machine: Machine, top: Item) -> Item:
    """Move the bottom of the stack to its top."""
    machine.stack.append(top)
    return machine.stack.pop(0)


@word("-rot", "top:Any -- *", needs_machine=True)
def unrot(machine: Machine, top: Item) -> None:
    """Move the top of the stack to its bottom."""
    machine.stack.insert(0, top)


@word("set", "name:String value:Any --", needs_machine=True)
def set_(machine: Machine, name: str, value: Item) -> None:
    """Keep a value under a name."""
    machine.variables[name] = value


@word("sset", "value:Any name:String --", needs_machine=True)
def sset(machine: Machine, value: Item, name: str) -> None:
    """Keep a value under a name that follows it."""
    machine.variables[name] = value


@word("swap", "a:Any b:Any -- b:Any a:Any")
def swap(first: Item, second: Item) -> Item:
    """Exchange the two top items."""
    return second, first


@word("tuck", "a:Any b:Any -- b:Any a:Any b:Any")
def tuck(first: Item, second: Item) -> Item:
    """Copy the top below the item under it."""
    return second, first, second


def _literal(item: Any) -> Item:
    return unescape(item) if isinstance(item, str) else item


def _variable(machine: Machine, name: str) -> Item:
    if name not in machine.variables:
        known = ", ".join(sorted(machine.variables)) or "none"
        raise QueryValueError(f"variable '{name}' is not set; set are: {known}")
    return machine.variables[name]


def _taken(machine: Machine, count: int) -> list[Item]:
    if count < 0:
        raise QueryValueError(f"count must not be negative, is {count}")
    start = max(len(machine.stack) - count, 0)
    taken = machine.stack[start:]
    del machine.stack[start:]
    return taken


def _position(machine: Machine, depth_: int) -> int:
    if not 0 <= depth_ < len(machine.stack):
        raise QueryValueError(f"position {depth_} is outside the stack of {len(machine.stack)}")
    return len(machine.stack) - 1 - depth_


def _filled(found: re.Match[str], value: str | None) -> str:
    if value is None:
        raise QueryValueError("the pattern has more placeholders than there are values")
    kind, digits = found["kind"], found["digits"]
    bare = f"%{found['flags']}{found['width']}{'' if digits is None else f'.{digits}'}"
    try:
        if kind in "dxX":
            return f"{bare}{kind}" % int(value)
        if kind in "sS":
            text = f"{bare}s" % value
            return text.upper() if kind == "S" else text
        return f"{bare}{kind}" % float(value)
    except (ValueError, OverflowError) as error:
        raise QueryValueError(f"'{value[:40]}' does not fit placeholder '{found[0]}'") from error
