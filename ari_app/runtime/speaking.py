"""Speech synthesis: the machine's espeak-ng, or Debian's in a folder of our cache, without root.

    environment["PATH"] = path_with_espeak(console)     # UnavailableError where there is none and none can be fetched

Debian's runs through its own dynamic loader, as the closure does; a script of its name hides that from whoever starts
it. Measured: 22 MB in 7 s.
"""

import os
import shutil
import subprocess
from pathlib import Path

from rich.console import Console

from ari_app.runtime.debian import SUITE, Closure
from ari_app.runtime.errors import UnavailableError
from ari_app.runtime.packages import Recipe, Unpacked, ensure

PROGRAM = "espeak-ng"
LAYOUT = 1

#: The folder of the script, in the folder of the packages.
SCRIPTS = "commands"

#: Limit for the first word, s; it takes some 20 ms.
CHECK_LIMIT = 30.0


def path_with_espeak(console: Console | None = None) -> str:
    """A $PATH on which there is espeak-ng: ours if it has it, else with Debian's, from the cache or fetched into it.

    Raises UnavailableError, in one line.
    """
    path = os.environ.get("PATH", os.defpath)
    return path if shutil.which(PROGRAM) else os.pathsep.join((str(debian_espeak(console)), path))


def debian_espeak(console: Console | None = None) -> Path:
    """The folder with Debian's espeak-ng. Raises UnavailableError."""
    recipe = Recipe("espeak-ng", SUITE, (PROGRAM,), LAYOUT, name=PROGRAM, finish=_finish)
    return ensure(recipe, console).root / SCRIPTS


def _finish(unpacked: Unpacked) -> None:
    """Write the script, which finds its folder wherever that is: it is not yet where it will be."""
    loader, option, libraries, program = Closure(unpacked.root, unpacked.versions).command(f"usr/bin/{PROGRAM}")
    native = libraries.split(":")[0]
    here = [part.replace(str(unpacked.root), "$root") for part in (loader, libraries, native, program)]
    script = unpacked.root / SCRIPTS / PROGRAM
    script.parent.mkdir()
    script.write_text(
        '#!/bin/sh\nroot=$(dirname "$(dirname "$(readlink -f "$0")")")\n'
        f'export ESPEAK_DATA_PATH="{here[2]}"\n'
        f'exec "{here[0]}" {option} "{here[1]}:{here[2]}/pulseaudio" "{here[3]}" "$@"\n'
    )
    script.chmod(0o755)
    try:
        done = subprocess.run([script, "--stdout", "yes"], capture_output=True, timeout=CHECK_LIMIT, check=False)
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"The fetched espeak-ng said nothing within {CHECK_LIMIT:.0f} s.") from None
    if not done.stdout.startswith(b"RIFF"):
        complaint = done.stderr.decode(errors="replace").strip()
        raise UnavailableError(f"The fetched espeak-ng does not run here: {complaint or 'no message'}")
