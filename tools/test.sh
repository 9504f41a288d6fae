#!/usr/bin/env bash
# Runs every test, and every check: first Python's, on the oldest supported version that is installed; then a part of them
# on the newest one, the JavaScript client's, and style, types and layers. Both times what can runs side by side.
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

python() { # VERSION [TESTS...]
    echo "== Python $1"
    "$(venv_of "$1")/bin/python" -m pytest "${@:2}"
}

beside() { # NAME COMMAND...: in the background; `together` tells of it
    local name=$1
    mkdir -p .tools/logs
    rm -f ".tools/logs/$name.end"
    ("${@:2}" >".tools/logs/$name" 2>&1 && echo ok >".tools/logs/$name.end") &
    names+=("$name")
}

together() { # waits for all that runs beside, shows what each wrote, and fails if one did
    wait
    local failed=0
    for name in "${names[@]}"; do
        cat ".tools/logs/$name"
        [ -e ".tools/logs/$name.end" ] || failed=1
    done
    rm -rf .tools/logs
    names=()
    return $failed
}

busy=(tests/{store,unit,fuzz,mutation,typing}) # keep a core busy; the others wait for processes most of the time
waiting=(tests/{life,testing,web})
again=(tests/{unit,testing,docs,web} tests/life/test_stopping.py)
names=()
for version in $versions; do install_into "$(venv_of "$version")" "$version"; done
if [ $# -gt 0 ]; then
    python "$own" "$@"
else
    beside "python-$own-busy" python "$own" "${busy[@]}"
    beside "python-$own-waiting" python "$own" "${waiting[@]}"
    failed=0
    rest=("${busy[@]}" "${waiting[@]}")
    python "$own" "${rest[@]/#/--ignore=}" || failed=1
    together
    [ $failed = 0 ]
fi
for version in $versions; do
    [ "$version" = "$own" ] || beside "python-$version" python "$version" "${again[@]}" "$@"
done
beside javascript npm --prefix js-client --silent test
beside check tools/check.sh
together
