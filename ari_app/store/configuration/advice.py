"""What is allowed but seldom meant: warnings, for files without errors."""

from ari_app.store.configuration.faults import quoted
from ari_app.store.configuration.models import NumberEntry
from ari_app.store.configuration.reading import Reading
from ari_app.store.configuration.ways import reachable


def advise(reading: Reading) -> None:
    warned: set[str] = set()
    for name, number in reading.document.numbers.items():
        stations = reachable(reading.document, name)
        _somebody_there(reading, name, number)
        _sip_targets(reading, name, number, stations)
        if number.phone_number_id is not None:
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
