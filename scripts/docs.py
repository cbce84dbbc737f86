"""Write the generated documents: python -m scripts.docs [--check]"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from synapse import config
from synapse.config.settings import Settings, variables_of
from synapse.core.reasoning.phases import NEXT_MOVE

ROOT = Path(__file__).resolve().parent.parent
REASONING = ROOT / "docs" / "reasoning.md"


def documents() -> Mapping[Path, str]:
    """Every generated file and what it must hold."""
    return {
        ROOT / "config.template.yaml": config.template(),
        ROOT / "docs" / "configuration.md": _configuration(),
        REASONING: _reasoning(),
    }


def main() -> None:
    """Write what differs, or with --check say so and fail."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail on a difference")
    check = parser.parse_args().check
    stale = [
        path
        for path, text in documents().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    for path in stale:
        print(f"{'differs' if check else 'wrote'}: {os.path.relpath(path)}")
        if not check:
            path.write_text(documents()[path], encoding="utf-8")
    sys.exit(1 if check and stale else 0)


def _configuration() -> str:
    lines = [
        "# Configuration",
        "",
        "Written by `make docs` from `synapse/config/settings.py`.",
        "",
        "A value comes from, last to first: its default, `config.yaml` (or the file that",
        "`--config` or `SYNAPSE_CONFIG` names), the environment, a flag.",
        "`synapse config show` says which it was.",
        "",
        "| Setting | Environment | What it is |",
        "|---|---|---|",
    ]
    for name, field in Settings.model_fields.items():
        variables = ", ".join(f"`{variable}`" for variable in variables_of(name))
        lines.append(f"| `{name}` | {variables} | {' '.join((field.description or '').split())} |")
    return "\n".join(lines) + "\n"


def _reasoning() -> str:
    """The page as it is, with the table of moves anew."""
    head, _, rest = REASONING.read_text(encoding="utf-8").partition("<!-- moves -->")
    _, _, tail = rest.partition("<!-- /moves -->")
    rows = ["| When | Do | Stop reason |", "|---|---|---|"]
    rows += [f"| {rule.when} | {rule.move.value} | {rule.reason} |" for rule in NEXT_MOVE]
    table = "\n".join(rows)
    return f"{head}<!-- moves -->\n{table}\n<!-- /moves -->{tail}"


if __name__ == "__main__":
    main()
