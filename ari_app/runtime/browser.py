"""Chromium for tests that need a real browser: the machine's own, or Debian's in a folder of our cache, without root.

    browser = ensure_browser()
    playwright.chromium.launch(executable_path=browser.executable, env=browser.environment, args=browser.arguments)

Chromium starts itself again for each of its processes (/proc/self/exe), so it cannot go through a loader of ours as
Asterisk does: it runs with the machine's glibc, and finds all other libraries by LD_LIBRARY_PATH. Which Debian it
comes from therefore follows from that glibc. Measured: Debian 12, 134 MB in 12 s; Debian 13, 201 MB. Both run.
"""

import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from ari_app.runtime.errors import UnavailableError
from ari_app.runtime.packages import Recipe, Unpacked, ensure
from ari_app.runtime.processes import bound_to_us

CHROMIUM_VARIABLE = "ASTERISK_WHATSAPP_CHROMIUM"
"""The path of a Chromium to use, or `debian` for Debian's although the machine has one."""
SYSTEM_CHROMIUM = Path("/usr/bin/chromium")

SUITES = (("trixie", (2, 41)), ("bookworm", (2, 36)))
"""Debian releases and their glibc, newest first."""
PACKAGES = ("chromium", "fonts-dejavu-core", "fonts-inter-variable")
NOT_NEEDED = (
    "debconf",
    "dbus",
    "init-system-helpers",
    "libc6",  # the machine's own
    "libgl1",  # and what stands for a graphics card: pages are painted without one
    "libpam-runtime",
    "lsb-base",
    "sysvinit-utils",
    "x11-utils",
    "xdg-desktop-portal-backend",  # instead of GTK: there is no desktop
    "xdg-utils",
)
LAYOUT = 1

ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",  # it needs root or user namespaces; the tests show it nothing but our own pages
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""What Chromium is always started with: nothing from the network, nobody asks it anything."""

FONTS = "fonts.conf"
FONTS_CONFIGURATION = """\
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir prefix="relative">usr/share/fonts</dir>
  <cachedir prefix="xdg">fontconfig</cachedir>
  <alias><family>system-ui</family><prefer><family>Inter</family></prefer></alias>
  <alias><family>sans-serif</family><prefer><family>Inter</family><family>DejaVu Sans</family></prefer></alias>
  <alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
  <alias><family>serif</family><prefer><family>DejaVu Serif</family></prefer></alias>
</fontconfig>
"""

CHECK_LIMIT = 60.0
"""Seconds until a browser has shown its first page; it takes one, on a busy machine several."""


@dataclass(frozen=True)
class Browser:
    """A Chromium that can be started."""

    executable: Path
    version: str
    environment: Mapping[str, str] = field(repr=False)
    """Its whole environment."""
    arguments: tuple[str, ...] = ARGUMENTS


def ensure_browser(console: Console | None = None) -> Browser:
    """`$ASTERISK_WHATSAPP_CHROMIUM`, the machine's Chromium, or Debian's from the cache or fetched into it.

    Raises UnavailableError, in one line.
    """
    named = os.environ.get(CHROMIUM_VARIABLE)
    if named == "debian":
        return debian_browser(console)
    if named:
        if not os.access(named, os.X_OK):
            raise UnavailableError(f"{CHROMIUM_VARIABLE}={named} is not a program.")
        return Browser(Path(named), "named", dict(os.environ))
    if os.access(SYSTEM_CHROMIUM, os.X_OK):
        return Browser(SYSTEM_CHROMIUM, "the machine's", dict(os.environ))
    return debian_browser(console)


def debian_browser(console: Console | None = None) -> Browser:
    """Debian's Chromium from the cache, or fetched into it. Raises UnavailableError."""
    recipe = Recipe(
        "Chromium", suite_for(_glibc()), PACKAGES, LAYOUT, present=NOT_NEEDED, name="chromium", finish=_finish
    )
    return _browser(ensure(recipe, console))


def suite_for(glibc: tuple[int, int]) -> str:
    """The newest Debian release whose Chromium runs with this glibc. Raises UnavailableError."""
    for suite, version in SUITES:
        if version <= glibc:
            return suite
    oldest = ".".join(map(str, SUITES[-1][1]))
    raise UnavailableError(
        f"No Chromium of Debian runs with this machine's glibc {'.'.join(map(str, glibc))}; "
        f"{oldest} or newer is needed. Install Chromium, or name one with {CHROMIUM_VARIABLE}=/path/to/it."
    )


def _glibc() -> tuple[int, int]:
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except ValueError:
        name, version = "", ""
    numbers = version.split(".")
    if name != "glibc" or len(numbers) < 2:
        raise UnavailableError(
            f"This machine has no glibc, and Debian's Chromium needs one. "
            f"Install Chromium, or name one with {CHROMIUM_VARIABLE}=/path/to/it."
        )
    return int(numbers[0]), int(numbers[1])


def _browser(unpacked: Unpacked) -> Browser:
    root = unpacked.root
    folders = [folder for place in ("usr/lib", "lib") for folder in sorted((root / place).glob("*-linux-gnu*"))]
    folders += [folder / "pulseaudio" for folder in folders if (folder / "pulseaudio").is_dir()]
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": ":".join(map(str, folders)),
        "FONTCONFIG_FILE": str(root / FONTS),
        "DBUS_SESSION_BUS_ADDRESS": "disabled:",
    }
    return Browser(root / "usr/lib/chromium/chromium", unpacked.versions["chromium"], environment)


def _finish(unpacked: Unpacked) -> None:
    (unpacked.root / FONTS).write_text(FONTS_CONFIGURATION, encoding="utf-8")
    browser = _browser(unpacked)
    with tempfile.TemporaryDirectory(prefix="chromium-check-") as profile:
        command = [str(browser.executable), *ARGUMENTS, f"--user-data-dir={profile}", "--dump-dom"]
        try:
            done = subprocess.run(
                bound_to_us([*command, "data:text/html,<p id=shown>"]),
                env=browser.environment,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=CHECK_LIMIT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise UnavailableError(f"The fetched Chromium showed no page within {CHECK_LIMIT:.0f} s.") from None
    if "shown" not in done.stdout:
        reasons = [line for line in done.stderr.splitlines() if "dbus" not in line]
        raise UnavailableError(f"The fetched Chromium does not run here: {(reasons or ['no message'])[-1].strip()}")
