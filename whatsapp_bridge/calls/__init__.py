"""Calls: the state machines that join Meta, media and Asterisk, one for each direction."""
