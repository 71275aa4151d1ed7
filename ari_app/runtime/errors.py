"""What can go wrong before a stack runs, said in words for the person in front of the terminal."""


class UnavailableError(Exception):
    """The embedded stack cannot be set up or started here. The message is one line: what is missing, what to do."""


class ProcessError(UnavailableError):
    """A process of the stack ended, or was not ready in time. The message names its log."""
