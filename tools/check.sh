#!/usr/bin/env bash
# Style, types and layers. Runs all of them and fails if one did, so that one look shows everything.
set -uo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"
failed=()

run() {
    local output
    if output=$("$@" 2>&1); then
        printf 'ok      %s\n' "$*"
    else
        printf 'FAILED  %s\n%s\n' "$*" "$output"
        failed+=("$1")
    fi
}

run ruff format --check .
run ruff check .
run mypy
run lint-imports
run npm --prefix js-client --silent run check

[ ${#failed[@]} -eq 0 ]
