#!/usr/bin/env bash
# Writes both lock files from pyproject.toml, for every platform, with hashes. Keeps the versions
# it can; `scripts/lock.sh --upgrade` takes the newest that pyproject.toml allows.
#
# requirements.lock is what a spore runs with (the Dockerfile installs it); requirements-dev.lock
# is the same versions and the tools to work on it (scripts/setup.sh installs that).
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."

PATH="$PATH:.venv/bin"
command -v uv >/dev/null || {
    echo "lock: there is no uv. Fix: .venv/bin/python -m pip install uv" >&2
    exit 1
}

compile() {
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --custom-compile-command "make lock" "$@"
}

compile pyproject.toml --output-file requirements.lock "$@"
compile pyproject.toml --extra dev --constraints requirements.lock \
    --output-file requirements-dev.lock "$@"
