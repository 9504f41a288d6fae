#!/usr/bin/env bash
# Installs what the project's targets need. Silent and quick where it is there already; says what it does where not.
#
#   tools/setup.sh python VENV EXTRAS [VERSION]   a virtual environment with jobkit and these extras
#   tools/setup.sh apart PACKAGE                  an environment of its own for what does not go together with ours
#   tools/setup.sh pythons                        the supported Pythons of this machine, oldest first: VERSION PATH
#   tools/setup.sh servers                        the real servers that tests run against
#   tools/setup.sh browser                        a Chromium for the browser tests
#
# As root (and in CI with sudo) it uses apt-get. Without root nothing outside this folder is touched.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHONS="3.11 3.12 3.13"
# command:package, for apt-get
SERVERS="redis-server:redis-server"
BROWSERS="chromium:chromium"

say() { printf 'setup: %s\n' "$*" >&2; }
give_up() { say "$*"; exit 1; }

# ---- Python

pythons() {
    local version path
    for version in $PYTHONS; do
        if path=$(python_of "$version"); then echo "$version $path"; fi
    done
}

# Runs each candidate: a pyenv shim is there for every version anybody ever installed.
python_of() {
    local candidate
    for candidate in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python"$1" python3; do
        if [ "$(version_of "$candidate")" = "$1" ]; then command -v "$candidate"; return; fi
    done
    return 1
}

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true; }

install_python() { # VENV EXTRAS [VERSION]
    if [ -z "$(version_of "$1/bin/python")" ]; then make_venv "$1" "$(choose_python "${3:-}")"; fi
    say "installing jobkit[$2] into $1"
    "$1/bin/python" -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --editable ".[$2]"
}

install_apart() { # PACKAGE
    local place=.tools/$1
    if [ -z "$(version_of "$place/bin/python")" ]; then make_venv "$place" "$(choose_python)"; fi
    say "installing $1 into $place"
    "$place/bin/python" -m pip install --quiet --disable-pip-version-check --root-user-action=ignore "$1"
}

choose_python() { # [VERSION]: that one, else the python3 that one would type, else the newest
    local usual
    usual=$(version_of python3)
    if [ -n "${1:-}" ]; then python_of "$1"
    elif [[ " $PYTHONS " == *" $usual "* ]]; then python_of "$usual"
    else pythons | tail -n 1 | cut -d ' ' -f 2 | grep . || give_up "needs a Python of these: $PYTHONS"
    fi
}

# Debian splits ensurepip off Python, without which `venv` fails.
make_venv() { # VENV PYTHON
    say "making $1 with $2"
    try_venv "$@" && return
    if can_apt; then
        apt_install "python$(version_of "$2")-venv" && try_venv "$@" && return
    fi
    rm -rf "$1"
    try_virtualenv "$@" && return
    give_up "$2 cannot make a virtual environment: apt-get install python3-venv, or pip install virtualenv"
}

try_venv() {
    rm -rf "$1"
    "$2" -m venv "$1" >/dev/null 2>&1
}

try_virtualenv() {
    "$2" -m pip install --quiet --target .tools/virtualenv virtualenv 2>/dev/null &&
        PYTHONPATH=.tools/virtualenv "$2" -m virtualenv --quiet "$1"
}

# ---- what apt-get brings

can_apt() { command -v apt-get >/dev/null && as_root true 2>/dev/null; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif [ "${CI:-}" = true ]; then sudo -n "$@"
    else return 1
    fi
}

apt_install() {
    say "apt-get install $*"
    as_root env DEBIAN_FRONTEND=noninteractive sh -c '
        apt-get -qq update && apt-get -qq install --yes --no-install-recommends "$@" >/dev/null' sh "$@"
}

# Prints the packages whose commands are missing.
lacking() {
    local pair
    for pair in "$@"; do
        command -v "${pair%%:*}" >/dev/null || echo "${pair##*:}"
    done
}

# Tests say themselves what becomes of a missing server: skipped at home, failed in CI.
install_servers() {
    local packages
    packages=$(lacking $SERVERS)
    [ -n "$packages" ] || return 0
    if can_apt; then apt_install $packages || say "could not install: $packages"
    else say "tests that need these will be skipped: $packages (apt-get install them as root)"
    fi
}

# ---- the browser

install_browser() {
    [ -n "$(lacking $BROWSERS)" ] || return 0
    if [ -x .tools/chromium ] || [ -n "${JOBKIT_CHROMIUM:-}" ]; then return; fi
    if can_apt && apt_install "$(lacking $BROWSERS)"; then return; fi
    unpack_chromium || say "tests in a browser will be skipped: install chromium, or set JOBKIT_CHROMIUM"
}

# A Chromium from npm that needs nothing of the system: its libraries come along.
unpack_chromium() {
    say "unpacking a Chromium from npm into .tools"
    mkdir -p .tools/npm
    npm --prefix .tools/npm install --no-audit --no-fund --no-update-notifier \
        --loglevel=error --ignore-scripts @sparticuz/chromium
    node tools/unpack-chromium.mjs .tools/npm .tools
}

case "${1:-}" in
    python) install_python "${@:2}" ;;
    apart) install_apart "${@:2}" ;;
    pythons) pythons ;;
    servers) install_servers ;;
    browser) install_browser ;;
    *) sed -n 's/^# \{0,1\}//; 2,10p' "$0"; exit 2 ;;
esac
