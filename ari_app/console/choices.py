"""What a form offers for a destination or a sound, and both in words. Pure."""

from collections.abc import Sequence

from ari_app.console.fields import DIALPLAN, OTHER
from ari_app.store.configuration.tables import Tree

#: (heading, ((value, label), …)), as <optgroup>s.
Choices = list[tuple[str, list[tuple[str, str]]]]

#: Sounds that every Asterisk has (asterisk-core-sounds), and what is said in them.
SOUNDS = {
    "queue-thankyou": "Thank you for your patience",
    "queue-periodic-announce": "All representatives are busy, please wait",
    "one-moment-please": "One moment please",
    "pls-hold-while-try": "Please hold while I try to locate the person",
    "vm-intro": "Please leave your message after the tone",
    "vm-nobodyavail": "Nobody is available to take your call",
    "vm-goodbye": "Goodbye",
    "ss-noservice": "The number you have dialled is not in service",
    "pbx-invalid": "That is not a valid extension, please try again",
    "im-sorry": "I am sorry",
    "please-try-call-later": "Please try your call again later",
    "hello": "Hello",
    "demo-congrats": "Congratulations … (Asterisk's demonstration, 30 s)",
    "vm-press": "Press …",
    "vm-options": "The mailbox's options (16 s)",
    "beep": "A beep",
}


def places(tree: Tree, current: str | None = None, *, with_back: bool = False, optional: bool = False) -> Choices:
    """All destinations; `current` is among them, whatever it is."""
    groups = list(tree["groups"])
    found: Choices = []
    if optional:
        found.append(("", [("", "nowhere")]))
    found += [
        ("Groups", [(f"group:{name}", name) for name in groups]),
        ("Menus", [(f"menu:{name}", name) for name in tree["menus"]]),
        (
            "Voicemail",
            [("voicemail", "Voicemail"), *((f"voicemail:{name}", f"Voicemail of {name}") for name in groups)],
        ),
        (
            "Elsewhere",
            [
                *([("back", "Back to the menu before")] if with_back else []),
                ("sip", "SIP targets of the number"),
                ("ai_agent", "AI agent"),
                (DIALPLAN, "Dialplan …"),
            ],
        ),
        (
            "Hang up",
            [
                ("hangup", "Hang up at once"),
                *((f"hangup:prompt:{name}", f"Play prompt {name}, hang up") for name in tree["prompts"]),
                *((f"hangup:sound:{name}", f"“{words}”, hang up") for name, words in SOUNDS.items()),
            ],
        ),
    ]
    return _with(found, current, place_label(current) if current else "", DIALPLAN)


def media(tree: Tree, current: str | None = None, *, none: str = "") -> Choices:
    """All prompts of ours, and sounds of Asterisk; `none` is what no sound at all is called, where it may be."""
    found: Choices = []
    if none:
        found.append(("", [("", none)]))
    found += [
        ("Your prompts", [(f"prompt:{name}", name) for name in tree["prompts"]]),
        ("Asterisk's sounds", [(f"sound:{name}", f"“{words}”") for name, words in SOUNDS.items()]),
        ("Others", [(OTHER, "Another sound of Asterisk …")]),
    ]
    return _with(found, current, media_label(current) if current else "", OTHER)


def _with(choices: Choices, current: str | None, label: str, free: str) -> Choices:
    """What is set already stays to be chosen, though nobody else would choose it; dialplan is typed."""
    if current and not current.startswith(free) and not any(current == v for _, options in choices for v, _ in options):
        choices = [("As it is", [(current, label)]), *choices]
    return [(heading, options) for heading, options in choices if options]


def place_label(place: str) -> str:
    """A destination in a few words."""
    kind, _, target = place.partition(":")
    match kind:
        case "group":
            return f"Group {target}"
        case "menu":
            return f"Menu {target}"
        case "voicemail":
            return f"Voicemail of {target}" if target else "Voicemail"
        case "sip":
            return "SIP targets"
        case "ai_agent":
            return "AI agent"
        case "back":
            return "Back"
        case "dialplan":
            return f"Dialplan {target}"
        case "hangup":
            return f"{media_label(target)}, hang up" if target else "Hang up"
    return place


def media_label(media: str) -> str:
    kind, _, name = media.partition(":")
    if kind == "prompt":
        return f"Prompt {name}"
    return f"“{SOUNDS[name]}”" if name in SOUNDS else f"Sound {name}"


def options(names: Sequence[str], none: str = "") -> list[tuple[str, str]]:
    return [*([("", none)] if none else []), *((name, name) for name in names)]
