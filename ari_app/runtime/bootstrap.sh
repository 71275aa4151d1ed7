#!/bin/sh
# Makes the virtual environment in $1 and installs this checkout into it, with every dependency at its locked
# version and hash. Needs Python 3.11, and on a Debian without python3-venv also apt. Safe to run again.
set -eu

venv=$1
python=${PYTHON:-python3}
here=$(cd "$(dirname "$0")/../.." && pwd)

fail() { echo "bootstrap: $*" >&2; exit 1; }

command -v "$python" >/dev/null || fail "$python is missing: install Python 3.11 or newer."
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "$("$python" -V) is too old: 3.11 or newer is needed (make PYTHON=python3.x)."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM

# Debian keeps pip for new environments in a package of its own. Taken from there without root: apt writes only
# into our folder, with the machine's own sources and keys.
fetch_pip() {
    command -v apt-get >/dev/null || fail "this Python has neither pip nor ensurepip: install python3-venv (or your system's name for it)."
    mkdir -p "$scratch/lists/partial" "$scratch/archives/partial"
    (
        cd "$scratch"
        set -- -qq -o Dir::State::lists="$scratch/lists/" -o Dir::Cache="$scratch/" -o APT::Sandbox::User=root \
            -o APT::Update::Post-Invoke::= -o APT::Update::Post-Invoke-Success::= -o Acquire::Languages=none
        apt-get -qq -o APT::Sandbox::User=root download python3-pip-whl 2>/dev/null ||
            { apt-get "$@" update && apt-get "$@" download python3-pip-whl; } >apt.log 2>&1 ||
            fail "pip could not be fetched: $(grep '^E:' apt.log | head -n 1). No network? Or install python3-venv."
        dpkg-deb --extract python3-pip-whl_*.deb pip
    )
    set -- "$scratch"/pip/usr/share/python-wheels/pip-*.whl
    [ -e "$1" ] || fail "Debian's python3-pip-whl has no pip in it: install python3-venv."
    echo "$1/pip"  # Python runs it out of the wheel
}

echo "Setting up $venv: $(grep -c '^[a-z].*==' "$here/requirements.lock") packages, about half a minute …"
rm -f "$venv/.ready"
if ! "$venv/bin/python" -c '' 2>/dev/null; then
    if "$python" -c 'import ensurepip' 2>/dev/null; then without_pip=; else without_pip=--without-pip; fi
    "$python" -m venv --clear $without_pip "$venv"
fi
if "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    pip() { "$venv/bin/python" -m pip "$@"; }
else
    pip_program=$(fetch_pip)
    pip() { "$venv/bin/python" "$pip_program" "$@"; }
fi

export PIP_DISABLE_PIP_VERSION_CHECK=1
pip install -qq --only-binary :all: --require-hashes --requirement "$here/requirements.lock"
pip install -qq --no-deps --no-build-isolation --editable "$here"
touch "$venv/.ready"
