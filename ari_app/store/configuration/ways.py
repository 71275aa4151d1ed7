"""Where callers can get to: loops without a way out, and agents and groups that a number reaches."""

from collections.abc import Iterator

from ari_app.store.configuration.faults import quoted
from ari_app.store.configuration.models import Document
from ari_app.store.configuration.reading import Reading

#: A group or a menu, as a destination names it.
Station = str


def check_loops(reading: Reading) -> None:
    """A caller who does nothing must arrive somewhere: tried with every schedule open, and with each one closed."""
    document = reading.document
    schedules = sorted({menu.schedule for menu in document.menus.values() if menu.schedule is not None})
    everything = frozenset(schedules)
    found: set[frozenset[Station]] = set()
    for closed in (frozenset[str](), *(frozenset([name]) for name in schedules), everything):
        ways = dict(_silent_ways(reading, closed))
        for loop in _loops({station: target for station, (_, target) in ways.items()}):
            if frozenset(loop) in found:
                continue
            found.add(frozenset(loop))
            # Schedules that are never closed at the same time may send callers to each other.
            doubtful = closed == everything and len(closed) > 1
            _complain(reading, loop, {station: setting for station, (setting, _) in ways.items()}, doubtful)


def _complain(reading: Reading, loop: list[Station], settings: dict[Station, str], doubtful: bool) -> None:
    start = min(range(len(loop)), key=lambda index: reading.root.at(*_path(loop[index])))
    loop = loop[start:] + loop[:start]
    way = " → ".join([*loop, loop[0]])
    message = (
        f"while all schedules are closed, callers go round in circles: {quoted(way)}"
        if doubtful
        else f"callers who press nothing never get out of this circle: {quoted(way)}"
    )
    entry, setting = _path(loop[0]), settings[loop[0]]
    if reading.root.child(*entry, setting) is None:
        reading.complain(message, *entry, key=True, warning=doubtful)
    else:
        reading.complain(message, *entry, setting, warning=doubtful)


def _path(station: Station) -> tuple[str, str]:
    kind, _, name = station.partition(":")
    return f"{kind}s", name


def _silent_ways(reading: Reading, closed: frozenset[str]) -> Iterator[tuple[Station, tuple[str, Station]]]:
    """For each group and menu the setting that sends on a caller who presses nothing and is not answered, and whither.

    What could not be read counts as a way out: it has its own fault already.
    """
    for name, group in reading.document.groups.items():
        if ("groups", name) not in reading.faulty:
            yield f"group:{name}", ("no_agent", group.no_agent)
    for name, menu in reading.document.menus.items():
        if ("menus", name) in reading.faulty:
            continue
        if menu.schedule in closed and menu.closed is not None:
            yield f"menu:{name}", ("closed", menu.closed)
        else:
            yield f"menu:{name}", ("no_input", menu.no_input)


def _loops(next_of: dict[Station, Station]) -> Iterator[list[Station]]:
    """Every circle, once; each station has one successor at most."""
    done: set[Station] = set()
    for start in next_of:
        way: dict[Station, None] = {}
        here: Station | None = start
        while here is not None and here not in done and here not in way:
            way[here] = None
            here = next_of.get(here)
        if here is not None and here in way:
            stations = list(way)
            yield stations[stations.index(here) :]
        done |= way.keys()


def reachable(document: Document, number: str) -> set[Station]:
    """Every group and menu that a caller of the number can get to, and `sip` where a SIP target is on the way."""
    entry = document.numbers[number]
    ahead: list[Station] = []
    if entry.incoming == "ivr" and entry.menu is not None:
        ahead.append(f"menu:{entry.menu}")
    elif entry.incoming == "agent_group":
        ahead += [f"group:{name}" for name in entry.groups]
    if entry.handled_by_sip:
        ahead = ["sip"]
    found: set[Station] = set()
    while ahead:
        station = ahead.pop()
        if station in found:
            continue
        found.add(station)
        kind, _, name = station.partition(":")
        if kind == "group" and (group := document.groups.get(name)):
            ahead += [group.no_agent, *([group.exit_to] if group.exit_to else [])]
        elif kind == "menu" and (menu := document.menus.get(name)):
            ahead += [menu.no_input, *menu.options.values(), *([menu.closed] if menu.closed else [])]
    return {station for station in found if station == "sip" or station.startswith(("group:", "menu:"))}
