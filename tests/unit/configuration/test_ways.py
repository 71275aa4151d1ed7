"""Loops without a way out are refused; what is allowed but seldom meant is told as a warning."""

import textwrap

from ari_app.store.configuration import examine

SOUND = "prompt: sound:beep"


def complaints(text: str) -> list[str]:
    _, faults = examine(textwrap.dedent(text).lstrip("\n").encode())
    return [fault.describe("f").removeprefix("f:") for fault in faults]


def test_groups_that_send_callers_to_each_other_are_a_loop() -> None:
    assert complaints("""
        groups:
          Sales:
            no_agent: group:Support
          Support:
            no_agent: group:Sales
    """) == [
        '3:15: callers who press nothing never get out of this circle: "group:Sales → group:Support → group:Sales"'
    ]


def test_a_group_that_sends_callers_to_itself_is_a_loop() -> None:
    assert complaints("groups: {A: {no_agent: 'group:A'}}") == [
        '1:24: callers who press nothing never get out of this circle: "group:A → group:A"'
    ]


def test_menus_that_send_silent_callers_to_each_other_are_a_loop() -> None:
    assert complaints(f"""
        menus:
          A: {{{SOUND}, no_input: 'menu:B'}}
          B: {{{SOUND}, no_input: 'menu:C', options: {{1: voicemail}}}}
          C: {{{SOUND}, no_input: 'menu:B'}}
    """) == ['3:37: callers who press nothing never get out of this circle: "menu:B → menu:C → menu:B"']


def test_a_loop_through_group_and_menu_is_found() -> None:
    found = complaints(f"""
        menus:
          A: {{{SOUND}, no_input: 'group:G'}}
        groups:
          G: {{no_agent: 'menu:A'}}
    """)
    assert len(found) == 1
    assert "menu:A → group:G → menu:A" in found[0]


def test_a_loop_that_is_there_only_while_a_schedule_is_closed_is_found() -> None:
    assert complaints(f"""
        schedules:
          Office: {{time_zone: UTC}}
        menus:
          A: {{{SOUND}, schedule: Office, closed: 'menu:B'}}
          B: {{{SOUND}, no_input: 'menu:A'}}
    """) == ['4:53: callers who press nothing never get out of this circle: "menu:A → menu:B → menu:A"']


def test_day_and_night_may_send_callers_to_each_other_but_it_is_told() -> None:
    assert complaints(f"""
        schedules:
          Day: {{time_zone: UTC}}
          Night: {{time_zone: UTC}}
        menus:
          A: {{{SOUND}, schedule: Day, closed: 'menu:B'}}
          B: {{{SOUND}, schedule: Night, closed: 'menu:A'}}
    """) == ['5:50: warning: while all schedules are closed, callers go round in circles: "menu:A → menu:B → menu:A"']


def test_a_menu_that_one_can_come_back_to_by_a_digit_is_no_loop() -> None:
    assert not complaints(f"""
        menus:
          A: {{{SOUND}, options: {{1: 'menu:B', 2: 'menu:A'}}}}
          B: {{{SOUND}, options: {{1: back, 2: 'menu:A'}}}}
    """)


def test_what_cannot_be_read_is_no_loop_as_well() -> None:
    assert len(complaints("groups: {A: {no_agent: 'grup:B'}, B: {no_agent: 'group:A'}}")) == 1


def test_a_number_that_nobody_answers_gets_a_warning() -> None:
    assert complaints("""
        numbers:
          "1": {groups: [Empty]}
          "2": {groups: [Off]}
          "3": {}
          "4": {groups: [Empty, Full]}
        agents:
          PJSIP/1: {name: A, enabled: false}
          PJSIP/2: {name: B}
        groups:
          Empty: {}
          Off: {members: {PJSIP/1: 1}}
          Full: {members: {PJSIP/2: 1}}
    """) == [
        '2:17: warning: nobody takes calls to 1: there is no enabled agent in "Empty"',
        '3:17: warning: nobody takes calls to 2: there is no enabled agent in "Off"',
        "4:3: warning: the number 3 has no group",
    ]


def test_agents_whom_no_whatsapp_call_may_reach_get_a_warning() -> None:
    found = complaints(f"""
        numbers:
          "1": {{phone_number_id: 1, incoming: ivr, menu: Main}}
        agents:
          PJSIP/1: {{name: A, voip_only: true}}
          PJSIP/2: {{name: B}}
          PJSIP/3: {{name: C}}
        groups:
          Sales: {{members: {{PJSIP/1: 1}}, no_agent: 'group:Second'}}
          Second: {{members: {{PJSIP/2: 1}}}}
          Voice: {{members: {{PJSIP/3: 1}}}}
        menus:
          Main: {{{SOUND}, options: {{1: 'group:Sales'}}}}
    """)
    assert len(found) == 1
    assert found[0].startswith('5:3: warning: the agent "PJSIP/2" is not voip_only')


def test_sip_targets_that_are_missing_or_not_voip_only_get_a_warning() -> None:
    assert complaints("""
        numbers:
          "1":
            phone_number_id: 1
            handled_by_sip: true
            sip_targets:
              - {host: a.example, incoming: ivr}
    """) == [
        "2:3: warning: calls to 1 go to SIP targets, but there is none for incoming agent_group",
        "6:9: warning: the SIP target a.example is not voip_only, so no WhatsApp call goes there",
    ]
