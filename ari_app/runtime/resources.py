"""Files that come with the program: beside the packages in a checkout, under `share/` when installed."""

import sysconfig
from pathlib import Path

from ari_app.runtime.errors import UnavailableError


def resource_folder(name: str) -> Path:
    """The folder `name` ("asterisk"). Raises UnavailableError if the installation lacks it."""
    checkout = Path(__file__).resolve().parents[2] / name
    installed = Path(sysconfig.get_path("data")) / "share/asterisk-whatsapp" / name
    for folder in (checkout, installed):
        if folder.is_dir():
            return folder
    raise UnavailableError(f"The folder {installed} is missing; reinstall asterisk-whatsapp.")
