#!/usr/bin/env bash
# Runs every test: Python on the oldest and the newest supported version installed, then the JavaScript client.
#
# What spends its time in Chromium, in the server's Lua or in killed processes is the same under any Python, and runs once.
set -euo pipefail
cd "$(dirname "$0")/.."

own=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
versions=$(tools/setup.sh pythons | cut -d ' ' -f 1 | sed -n '1p;$p' | sort -u)

venv_of() { # VERSION: `.venv` is made already
    if [ "$1" = "$own" ]; then echo .venv; else echo ".tools/venv-$1"; fi
}

install_into() { # VENV VERSION, again only when the dependencies changed
    if [ "$1" = .venv ] || [ "$1/.dev" -nt pyproject.toml ]; then return; fi
    mkdir -p .tools
    tools/setup.sh python "$1" dev "$2"
    touch "$1/.dev"
}

again=(tests/{unit,kit,testing,docs,examples,web} tests/life/test_{performing,stopping}.py)
tests=()
for version in $versions; do
    venv=$(venv_of "$version")
    install_into "$venv" "$version"
    echo "== Python $version"
    "$venv/bin/python" -m pytest "${tests[@]}" "$@"
    tests=("${again[@]}")
done

echo "== JavaScript"
npm --prefix js-client --silent test
