"""Meta's refusals as Q.850 causes, so that DIALSTATUS and HANGUPCAUSE in the dialplan say what happened."""

NORMAL_CLEARING = 16
USER_BUSY = 17  # the user declined
NO_ANSWER = 19
SUBSCRIBER_ABSENT = 20
CALL_REJECTED = 21
INVALID_NUMBER = 28
NO_CIRCUIT = 34
NETWORK_OUT_OF_ORDER = 38
TEMPORARY_FAILURE = 41

#: By Meta's error code (the Calling API's error codes, "Troubleshooting" in Meta's documentation).
_CAUSES = {
    131030: CALL_REJECTED,  # a test number, and the user is not on its list
    131044: CALL_REJECTED,  # no payment method
    131055: CALL_REJECTED,  # the number is in SIP mode
    138000: CALL_REJECTED,  # calling is not enabled
    138001: SUBSCRIBER_ABSENT,  # not on WhatsApp, or with a client that cannot be called
    138002: NO_CIRCUIT,  # as many calls as the number may have
    138003: CALL_REJECTED,  # in a call with this number already; 17 would say that the user had declined
    138004: NETWORK_OUT_OF_ORDER,
    138005: NO_CIRCUIT,  # too many calls in a short time
    138006: CALL_REJECTED,  # no permission
    138007: NETWORK_OUT_OF_ORDER,
    138012: CALL_REJECTED,  # as many connected calls as this user may get in a day
    138013: CALL_REJECTED,  # not to be had in the number's country
    138014: CALL_REJECTED,  # suspended
    138019: NETWORK_OUT_OF_ORDER,  # 138019 to 138023: the user's client got no media through
    138020: NETWORK_OUT_OF_ORDER,
    138021: NETWORK_OUT_OF_ORDER,
    138022: NETWORK_OUT_OF_ORDER,
    138023: NETWORK_OUT_OF_ORDER,
}


def cause_of(code: int, http_status: int | None = None) -> int:
    """The cause for an error code of Meta's (0: it named none) and the HTTP status it came with, if it did."""
    if code in _CAUSES:
        return _CAUSES[code]
    if http_status == 429:
        return NO_CIRCUIT
    if http_status is not None and http_status >= 500:
        return NETWORK_OUT_OF_ORDER
    return TEMPORARY_FAILURE
