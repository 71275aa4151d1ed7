"""What is allowed but seldom meant: warnings, for files without errors."""

from datetime import UTC, date, datetime

from ari_app.store.configuration.faults import quoted
from ari_app.store.configuration.models import NumberEntry
from ari_app.store.configuration.reading import Reading
from ari_app.store.configuration.ways import reachable

#: So many holidays Meta keeps for a number; the bridge sends those that come next.
HOLIDAYS_AT_META = 20


def advise(reading: Reading, today: date | None = None) -> None:
    """`today` is the day from which on holidays count; UTC's if it is not given."""
    warned: set[str] = set()
    seen: set[str] = set()
    for name, number in reading.document.numbers.items():
        stations = reachable(reading.document, name)
        _somebody_there(reading, name, number)
        _sip_targets(reading, name, number, stations)
        if number.phone_number_id is not None:
            _hours_at_meta(reading, number, today or datetime.now(UTC).date(), seen)
            groups = sorted(station.partition(":")[2] for station in stations if station.startswith("group:"))
            for group in groups:
                _voip_only(reading, name, group, warned)


def _somebody_there(reading: Reading, name: str, number: NumberEntry) -> None:
    if number.incoming != "agent_group" or number.handled_by_sip:
        return
    document = reading.document
    members = {endpoint for group in number.groups for endpoint in document.groups[group].members}
    if not number.groups:
        reading.complain(f"the number {name} has no group", "numbers", name, key=True, warning=True)
    elif not any(document.agents[endpoint].enabled for endpoint in members):
        groups = ", ".join(quoted(group) for group in number.groups)
        message = f"nobody takes calls to {name}: there is no enabled agent in {groups}"
        reading.complain(message, "numbers", name, "groups", warning=True)


def _hours_at_meta(reading: Reading, number: NumberEntry, today: date, warned: set[str]) -> None:
    """Meta has the hours of a WhatsApp number too: to the minute, some in every week, and few holidays."""
    name = number.schedule
    if name is None or name in warned:
        return
    schedule = reading.document.schedules[name]
    warned.add(name)
    if not any(schedule.hours.values()):
        message = (
            f"the schedule {quoted(name)} is never open in the week, so WhatsApp does not take it; a number that "
            "takes no calls has calling_enabled: false"
        )
        reading.complain(message, "schedules", name, key=True, warning=True)
    for section, days in (("hours", schedule.hours), ("holidays", schedule.holidays)):
        for day, intervals in days.items():
            for opens, closes in intervals:
                if opens[:5] == closes[:5]:
                    message = f"{opens}-{closes} is less than a minute, so WhatsApp does not take it"
                    reading.complain(message, "schedules", name, section, day, warning=True)
    coming = sum(day >= today.isoformat() for day in schedule.holidays)
    if coming > HOLIDAYS_AT_META:
        message = (
            f"{coming} holidays are to come, and WhatsApp knows {HOLIDAYS_AT_META} of a number at once: "
            "the later ones follow as the others pass"
        )
        reading.complain(message, "schedules", name, "holidays", key=True, warning=True)


def _voip_only(reading: Reading, number: str, group: str, warned: set[str]) -> None:
    for endpoint in reading.document.groups[group].members:
        agent = reading.document.agents[endpoint]
        if agent.enabled and not agent.voip_only and endpoint not in warned:
            warned.add(endpoint)
            message = (
                f"the agent {quoted(endpoint)} is not voip_only, so no WhatsApp call is offered to them, "
                f"though the WhatsApp number {number} leads to their group {quoted(group)}"
            )
            reading.complain(message, "agents", endpoint, key=True, warning=True)


def _sip_targets(reading: Reading, name: str, number: NumberEntry, stations: set[str]) -> None:
    own = [target for target in number.sip_targets if target.incoming == number.incoming]
    if "sip" in stations and not own:
        message = f"calls to {name} go to SIP targets, but there is none for incoming {number.incoming}"
        reading.complain(message, "numbers", name, key=True, warning=True)
    for index, target in enumerate(number.sip_targets):
        if number.phone_number_id is not None and not target.voip_only:
            message = f"the SIP target {target.host} is not voip_only, so no WhatsApp call goes there"
            reading.complain(message, "numbers", name, "sip_targets", index, warning=True)
