"""Starts one program that does not outlive its parent, then becomes that program.

    launch.py PARENT_PID SIGNAL USER PROGRAM [ARGUMENT …]

SIGNAL is what the kernel sends to the program when the parent's starting thread ends, however it ends
(prctl(2), PR_SET_PDEATHSIG). USER, if not empty, is the account to run as: changing it clears the parent-death
signal, so the order below matters. Runs by its path in a bare interpreter: standard library only.
"""

import ctypes
import os
import pwd
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(parent: int, death_signal: int, user: str, command: list[str]) -> None:
    if user:
        account = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it died before we could ask to be told
        os.kill(os.getpid(), signal.SIGKILL)
    os.execvp(command[0], command)  # noqa: S606 - this is what we are for


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
    except OSError as error:
        sys.exit(f"{sys.argv[4]}: {error}")
