#!/usr/bin/env bash
# Makes .venv hold the packages of requirements-dev.lock and this checkout, and nothing outside it.
# Needs bash and Python 3.11 or later; PYTHON names one to use. Does nothing when all is in place.
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."

LOCK=requirements-dev.lock
STAMP=.venv/setup.stamp # what the last complete set-up saw; its first line is where that was
LOG=.venv/setup.log

fail() {
    printf 'setup: %s\n' "$@" >&2
    exit 1
}

seen_now() {
    printf '%s\n' "$PWD"
    cksum "$LOCK" pyproject.toml setup.py synapse/retrieval/native/*
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3 python}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    fail "there is no Python 3.11 or later (looked for: ${PYTHON:-python3.13 to python3})." \
        "Debian, Ubuntu:  sudo apt install python3 python3-venv" \
        "macOS:           brew install python@3.13" \
        "Somewhere else?  PYTHON=/path/to/python3 $0"
}

make_venv() {
    local python
    python=$(find_python)
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$python has no venv module." "Debian, Ubuntu:  sudo apt install python3-venv"
    printf 'setup: making .venv with %s\n' "$("$python" --version)"
    "$python" -m venv --clear .venv
}

venv_usable() {
    # Scripts in a virtual environment name its folder, so one that was moved is of no use.
    [ ! -f "$STAMP" ] || [ "$(head -n 1 "$STAMP")" = "$PWD" ] || return 1
    .venv/bin/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

install() {
    local pip=(env PYTHONUNBUFFERED=1 .venv/bin/python -m pip --disable-pip-version-check --no-input)
    "${pip[@]}" install --require-hashes -r "$LOCK" &&
        "${pip[@]}" install --no-deps --no-build-isolation -e .
}

show_progress() {
    local line count=0
    while IFS= read -r line; do
        case $line in
        "Collecting "* | "Processing "* | "Requirement already satisfied: "*)
            count=$((count + 1))
            line="found $count packages"
            ;;
        "Installing collected packages"*) line="installing them" ;;
        *) continue ;;
        esac
        if [ -t 1 ]; then printf '\rsetup: %-60.60s' "$line"; fi
    done
    if [ -t 1 ]; then printf '\r%68s\r' ''; fi
}

explain_failure() {
    tail -n 20 "$LOG" >&2
    if grep -qiE "command '[^']*(cc|clang|\+\+)' failed|unable to execute|Python\.h" "$LOG"; then
        fail "a package had to be compiled, and that failed." \
            "Debian, Ubuntu:  sudo apt install build-essential python3-dev" \
            "macOS:           xcode-select --install"
    elif grep -qiE 'do not match the hashes' "$LOG"; then
        fail "a package is not the one that $LOCK names. Empty pip's cache and try again."
    elif grep -qiE 'No matching distribution|NewConnectionError|timed out' "$LOG"; then
        fail "the package index could not be reached, or lacks a package." \
            "Check the network, or name a mirror in PIP_INDEX_URL."
    fi
    fail "pip failed; $LOG says why."
}

if [ -x .venv/bin/python ] && [ -f "$STAMP" ] && [ "$(seen_now)" = "$(cat "$STAMP")" ]; then
    exit 0
fi
venv_usable || make_venv
printf 'setup: installing the packages of %s into .venv\n' "$LOCK"
install 2>&1 | tee "$LOG" | show_progress || explain_failure
seen_now >"$STAMP"
printf 'setup: done\n'
