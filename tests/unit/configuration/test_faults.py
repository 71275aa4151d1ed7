"""What is wrong with a file is told all at once, each fault with its line and column."""

import textwrap

import pytest

from ari_app.store.configuration import examine


def complaints(text: str) -> list[str]:
    _, faults = examine(textwrap.dedent(text).lstrip("\n").encode())
    return [fault.describe("f.yaml").removeprefix("f.yaml:") for fault in faults]


def complaint(text: str) -> str:
    found = complaints(text)
    assert len(found) == 1, found
    return found[0]


def test_all_faults_of_a_file_are_told_at_once_in_the_order_of_its_lines() -> None:
    assert complaints("""
        numbers:
          "15550783881":
            phone_number_id: 1065
            groups: [Sales, Suport]
            prioritty: 5
            max_calls: many
        agents:
          PJSIP/1001: {name: Ada, extension: "1001"}
          PJSIP/1002: {name: Grace, extension: "1001"}
        groups:
          Sales:
            members: {PJSIP/1001: 1, PJSIP/1003: 1}
            ring_seconds: 2
          Support:
            strategy: ringall
    """) == [
        '4:21: there is no group "Suport" in this file; did you mean "Support"?',
        '5:5: there is no setting "prioritty"; did you mean "priority"?',
        '6:16: max_calls: "many" is not a whole number',
        '9:40: the extension 1001 is that of "PJSIP/1001" already',
        '12:30: there is no agent "PJSIP/1003" in this file; did you mean "PJSIP/1002"?',
        "13:19: ring_seconds: 2 is not between 3 and 300",
        '15:15: strategy: "ringall" is none of ring_all, longest_idle, fewest_calls, round_robin, random, linear; '
        'did you mean "ring_all"?',
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("numbers: {", "1:11: this is not YAML:"),
        ("agents:\n\tPJSIP/1001: {}", "2:1: this is not YAML:"),
        ("menus: {}\n---\ngroups: {}", "2:1: this is not YAML:"),
        ("menus:\n  Main:\n    options:\n      *: back", "4:8: this is not YAML:"),
        ("a: &x 1\nb: *x", "2:4: *x is an alias"),
        ("a: " + "[" * 50 + "]" * 50, "1:15: this is nested too deeply"),
        ("a: " + "[" * 5000, "1:15: this is nested too deeply"),
        ("numbers: {}\ngroups: !!python/name:os.system {}", '2:9: the tag "tag:yaml.org,2002:python/name:os.system"'),
        ("groups: !evil {}", '1:9: the tag "!evil" is not supported'),
        ("groups:\n  ? [a]\n  : {}", "2:5: a key must be a text"),
        ("groups: {}\nmenus: {}\ngroups: {}", '3:1: "groups" is here twice, first in line 1'),
        ("groups: \x07", "1:9: the character '\\x07' may not be in a file"),
        ("", "1:1: the file is empty"),
        ("# only a comment\n", "1:1: the file is empty"),
        ("- numbers", "1:1: a configuration is a mapping with the sections numbers,"),
        ("numbers", "1:1: a configuration is a mapping"),
        ("grops: {}", '1:1: there is no section "grops"; did you mean "groups"?'),
        ("groups: [Sales]", "1:9: groups: must be a mapping"),
    ],
)
def test_what_is_no_configuration_is_told_with_its_place(text: str, expected: str) -> None:
    found = complaints(text)
    assert any(each.startswith(expected) for each in found), found


def test_a_star_without_quotes_gets_a_hint() -> None:
    assert complaint("menus:\n  Main:\n    options:\n      *: back").endswith(
        'a text that begins with * needs quotes: "*"'
    )


def test_what_is_not_utf_8_is_told_with_its_place() -> None:
    _, (fault,) = examine("groups:\n  Büro: {}".encode("latin-1"))
    assert fault.describe("f") == "f:2:4: this is not UTF-8; save the file as UTF-8"


def test_a_byte_order_mark_is_no_fault() -> None:
    assert examine("groups: {}".encode("utf-8-sig"))[1] == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ring_seconds: 301", "19: ring_seconds: 301 is not between 3 and 300"),
        ("ring_seconds: -1", "19: ring_seconds: -1 is not between 3 and 300"),
        ("ring_seconds: 010", '19: ring_seconds: "010" is not a whole number'),
        ("ring_seconds: 20.0", '19: ring_seconds: "20.0" is not a whole number'),
        ("ring_seconds: " + "9" * 30, '19: ring_seconds: "999999999999999999999999999999" is not a whole number'),
        ("ring_seconds:", "5: ring_seconds: has no value"),
        ("ring_seconds: [20]", "19: ring_seconds: must be a single value"),
        ("announce_wait: maybe", '20: announce_wait: "maybe" is neither true nor false'),
        ("announce_wait: 1", '20: announce_wait: "1" is neither true nor false'),
        ("join_empty: never", '17: join_empty: "never" is none of always, logged_in, available'),
        ("exit_digit: 12", '17: exit_digit: "12" is not one digit, * or #'),
        ("exit_digit: 1", "5: exit_digit needs exit_to beside it"),
        ("exit_to: voicemail", "5: exit_to needs exit_digit beside it"),
        ("whisper: beep", '14: whisper: "beep" is no sound: write sound:<file of Asterisk> or prompt:<name>'),
        ("whisper: prompt:hello", '14: there is no prompt "hello" in this file'),
        ("whisper: 'sound:a b'", '14: whisper: "sound:a b" is no sound'),
        ("voicemail_mailbox: sales", '24: voicemail_mailbox: "sales" is not a mailbox, such as sales@default'),
        ("music_class: ''", "18: music_class: has 0 characters; it must have 1 to 80"),
        ("members: [PJSIP/1001]", "14: members: must be a mapping"),
        ("members: {1001: 1}", '15: "1001" is not an endpoint, such as PJSIP/1001'),
        ("members: {PJSIP/1001: 0}", "27: members PJSIP/1001: 0 is not between 1 and 100"),
        ("members: {PJSIP/7: 1, PJSIP/7: 2}", '27: "PJSIP/7" is here twice, first in line 3'),
        ("no_agent: nowhere", '15: no_agent: "nowhere" is no destination: it begins with none of group, menu,'),
        ("no_agent: grup:Sales", 'no_agent: "grup:Sales" is no destination'),
        ("no_agent: agent:1001", '15: no_agent: "agent:1001" is no destination'),
        ("no_agent: back", '15: no_agent: "back" is for the options of menus only'),
        ("no_agent: group", "15: no_agent: 'group' is incomplete: write group:<which>"),
        ("no_agent: 'voicemail:'", '15: no_agent: "voicemail:" is incomplete'),
        ("no_agent: voicemail:Nobody", '15: there is no group "Nobody" in this file'),
        ('calls_from: "4999"', "17: there is no number 4999 with a phone_number_id in this file"),
        ("no_agent: group:Nobody", '15: there is no group "Nobody" in this file'),
        ("no_agent: menu:Nothing", '15: there is no menu "Nothing" in this file'),
        ("no_agent: sip:x", "15: no_agent: 'sip:x': sip takes nothing after it"),
        ("no_agent: dialplan:internal", "15: no_agent: 'dialplan:internal': write dialplan:<context>,<extension>"),
        ("no_agent: 'dialplan:inter nal,1'", '15: no_agent: "dialplan:inter nal,1": write dialplan:'),
        ("no_agent: hangup:beep", '15: no_agent: "beep" is no sound'),
        ("no_agent: hangup:prompt:bye", '15: there is no prompt "bye" in this file'),
    ],
)
def test_a_wrong_setting_of_a_group_is_told_with_its_place(line: str, expected: str) -> None:
    found = complaints(f"groups:\n  Sales:\n    {line}\n")
    assert any(each.startswith("3:") and expected in each for each in found), found


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "host: sip.example.com:5060, incoming: ivr",
            '"sip.example.com:5060" is no IPv6 address; the port is a setting',
        ),
        ("host: 2001:db8::g, incoming: ivr", '"2001:db8::g" is no IPv6 address'),
        ("host: 'fe80::1%eth0', incoming: ivr", "an address with a zone (%)"),
        ("host: 192.0.2.256, incoming: ivr", '"192.0.2.256" is no IPv4 address'),
        ("host: 192.0.2, incoming: ivr", '"192.0.2" is no IPv4 address'),
        ("host: sip_example, incoming: ivr", '"sip_example" is neither a host name nor an IP address'),
        ("host: -x.example, incoming: ivr", '"-x.example" is neither a host name nor an IP address'),
        ("host: '', incoming: ivr", '"" is neither a host name nor an IP address'),
        ("host: a.example, port: 0, incoming: ivr", "port: 0 is not between 1 and 65535"),
        ("host: a.example, port: 65536, incoming: ivr", "port: 65536 is not between 1 and 65535"),
        ("host: a.example, port: sip, incoming: ivr", 'port: "sip" is not a whole number'),
        ("host: a.example, incoming: ivr, transport: wss", '"wss" is none of udp, tcp, tls'),
        ("host: a.example", "the SIP target has no incoming"),
        ("incoming: ivr", "the SIP target has no host"),
        ("host: a.example, incoming: ivr, wieght: 2", 'there is no setting "wieght"; did you mean "weight"?'),
    ],
)
def test_a_wrong_sip_target_is_told_with_its_place(line: str, expected: str) -> None:
    found = complaint(f"numbers:\n  '1':\n    sip_targets:\n      - {{{line}}}\n")
    assert found.startswith("4:")
    assert expected in found


def test_the_sixth_sip_target_is_one_too_many() -> None:
    targets = "".join(f"      - {{host: h{n}.example, incoming: ivr}}\n" for n in range(6))
    assert complaint(f"numbers:\n  '1':\n    sip_targets:\n{targets}").startswith(
        "9:9: a number has 5 SIP targets at most"
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a.example", "A.Example."),
        ("2001:db8::1", "2001:DB8:0:0::1"),
        ("2001:db8::1", "[2001:db8::1]"),
        ("192.0.2.1", "192.0.2.1"),
    ],
)
def test_a_sip_target_is_not_there_twice(one: str, other: str) -> None:
    targets = "".join(f"      - {{host: '{host}', incoming: ivr}}\n" for host in (one, "b.example", other))
    assert "is here twice, first in line 4" in complaint(f"numbers:\n  '1':\n    sip_targets:\n{targets}")


def test_a_faulty_sip_target_does_not_shift_the_places_of_others() -> None:
    found = complaints("""
        numbers:
          "1":
            sip_targets:
              - {host: a.example, port: x, incoming: ivr}
              - {host: b.example, port: y, transport: z, incoming: ivr}
              - {host: c.example, incoming: ivr}
              - {host: c.example, incoming: ivr}
    """)
    assert [each.split(":")[0] for each in found] == ["4", "5", "5", "7"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("incoming: ivr", "3:15: incoming is ivr, so the number needs a menu"),
        ("menu: Main", "3:5: incoming is agent_group; a menu belongs to incoming: ivr"),
        ("name: Shop", "3:5: only a number with a phone_number_id has a name"),
        ("schedule: Ofice", '3:15: there is no schedule "Ofice" in this file; did you mean "Office"?'),
        ("groups: [Sales, Sales]", '3:21: the group "Sales" is here twice'),
        ("groups: Sales", "3:13: groups: must be a list: [one, two], or one `- item` a line"),
        ("entry_prompt: null", "3:5: entry_prompt: has no value"),
        ("recording_days: 0", "3:21: recording_days: 0 is not between 1 and 36500"),
        ("incoming: none", "3:15: a number without phone_number_id and without route is nothing at all; remove it"),
        ("{phone_number_id: 1, incoming: none, groups: [Sales]}", "incoming is none, so there is no call for groups"),
    ],
)
def test_a_wrong_setting_of_a_number_is_told_with_its_place(settings: str, expected: str) -> None:
    found = complaints(
        f"numbers:\n  '1':\n    {settings}\ngroups:\n  Sales: {{}}\nmenus:\n  Main: {{prompt: sound:beep}}\n"
        "schedules:\n  Office: {time_zone: UTC}\n"
    )
    assert any(each.startswith(expected) or each.endswith(expected) for each in found), found


def test_numbers_and_endpoints_are_checked_too() -> None:
    assert complaints("""
        numbers:
          +1555: {}
          "1": {phone_number_id: 7}
          "2": {phone_number_id: 7}
        agents:
          Ada: {name: Ada}
          PJSIP/1: {}
          PJSIP/2: {name: B}
          pjsip/2: {name: C}
    """)[:5] == [
        '2:3: "+1555" is not a number: 1 to 15 digits, without +',
        '4:26: the phone_number_id 7 is that of "1" already',
        '6:3: "Ada" is not an endpoint, such as PJSIP/1001',
        '7:3: agent "PJSIP/1" has no name',
        '9:3: "pjsip/2" is the same endpoint as "PJSIP/2"',
    ]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (
            "time_zone: Europe/Berln",
            '3:16: time_zone: "Europe/Berln" is no time zone, such as Europe/Berlin; did you mean',
        ),
        ("hours: {}", '2:3: schedule "Office" has no time_zone'),
        ("hours: {mondy: closed}", '3:13: "mondy" is none of monday,'),
        ("hours: {monday: 9-17}", '3:21: hours monday: "9-17" is no interval; write 09:00-17:30, or closed'),
        ("hours: {monday: 09:00-25:00}", '3:21: hours monday: "09:00-25:00" is no interval'),
        ("hours: {monday: 09:00-09:00}", '"09:00-09:00" ends before it begins'),
        ("hours: {monday: 22:00-06:00}", "22:00-24:00 on this day, 00:00-06:00 on the next"),
        ("hours: {monday: '08:00-09:00, 10:00-11:00, 12:00-13:00'}", "has 3 intervals; there may be 2 a day"),
        ("hours: {monday: '08:00-10:00, 09:00-11:00'}", "one ends at 10:00, the next begins at 09:00"),
        ("hours: {monday: closed, monday: closed}", '3:29: "monday" is here twice, first in line 3'),
        ("holidays: {2026-02-29: closed}", '3:16: "2026-02-29" is no day; write 2026-12-25'),
        ("holidays: {25.12.2026: closed}", '3:16: "25.12.2026" is no day'),
        ("holidays: {2026-12-25: closed, 2026-12-25: closed}", '"2026-12-25" is here twice'),
        ("holidays: {2026-12-24: '08:00-09:00, 10:00-11:00'}", "has two intervals; a holiday has one at most"),
    ],
)
def test_wrong_hours_are_told_with_their_place(schedule: str, expected: str) -> None:
    found = complaints(f"schedules:\n  Office:\n    {schedule}\n")
    assert any(expected in each for each in found), found


def test_a_menu_is_checked_like_the_rest() -> None:
    assert complaints("""
        schedules:
          Office: {time_zone: UTC}
        menus:
          Main:
            prompt: sound:beep
            options:
              "1": menu:Mian
              "a": voicemail
              "2": bak
            schedule: Office
            language: english
          Other: {closed: voicemail}
    """) == [
        '7:12: there is no menu "Mian" in this file; did you mean "Main"?',
        '8:7: "a" is not what can be dialled: 1 to 8 of 0-9, * and #',
        '9:12: options 2: "bak" is no destination: it begins with none of group, menu, voicemail, sip, ai_agent, '
        "dialplan, hangup",
        '11:15: language: "english" is not a language, such as en or pt_BR',
        '12:3: menu "Other" has no prompt',
    ]


def test_a_schedule_of_a_menu_needs_a_place_for_callers_outside_of_it() -> None:
    text = "schedules: {O: {time_zone: UTC}}\nmenus:\n  Main: {prompt: sound:beep, schedule: O}\n"
    assert complaint(text) == "3:30: schedule needs closed beside it"


def test_prompts_are_checked_too() -> None:
    assert complaints("""
        prompts:
          Hello: {}
          a: {text: ""}
          b: {text: hello, file: b.wav}
          c:
    """) == [
        '2:3: "Hello" is not a name for a prompt: a-z, 0-9, _ and -, at most 64 of them',
        "3:13: text: is empty; write what is to be spoken",
        "4:20: a prompt is made of a text or of a file, not of both",
    ]


def test_a_terminal_is_not_told_what_to_do_by_a_file() -> None:
    found = complaint('groups:\n  "a\\e[2Jb": {}\n')
    assert "\x1b" not in found


@pytest.mark.parametrize("name", ["a\\x07", " a", "a ", "", "x" * 65, "\\ud800"])
def test_a_name_is_a_line_of_text(name: str) -> None:
    assert complaint(f'groups:\n  "{name}": {{}}\n').startswith("2:3: ")


def test_a_name_may_contain_colons() -> None:
    assert not complaints('groups: {":": {}, "a:b:": {no_agent: "group::", exit_digit: 1, exit_to: "voicemail:a:b:"}}')


def test_hours_that_whatsapp_does_not_take_are_warned_of_at_their_place() -> None:
    holidays = ", ".join(f"2099-01-{day:02}: closed" for day in range(1, 22))
    text = f"""
        numbers:
          "15550783881": {{phone_number_id: 1, schedule: Never, calling_enabled: true}}
          "15550783882": {{phone_number_id: 2, schedule: Short}}
          "15550783883": {{schedule: Voice}}
        schedules:
          Never: {{time_zone: UTC}}
          Short:
            time_zone: UTC
            hours:
              monday: 09:00:10-09:00:50
            holidays: {{2000-01-01: closed, {holidays}}}
          Voice: {{time_zone: UTC}}
    """
    found = [each for each in complaints(text) if "WhatsApp" in each]
    assert found == [
        '6:3: warning: the schedule "Never" is never open in the week, so WhatsApp does not take it; '
        "a number that takes no calls has calling_enabled: false",
        "10:15: warning: 09:00:10-09:00:50 is less than a minute, so WhatsApp does not take it",
        "11:5: warning: 21 holidays are to come, and WhatsApp knows 20 of a number at once: "
        "the later ones follow as the others pass",
    ]


def test_what_becomes_of_drift_is_one_of_three() -> None:
    assert complaint("numbers:\n  '1':\n    on_drift: adapt\n").endswith(
        'on_drift: "adapt" is none of show, reapply, adopt; did you mean "adopt"?'
    )
