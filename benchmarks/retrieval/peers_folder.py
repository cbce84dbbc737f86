"""A Python for the peers: a folder with their packages, made once and thrown away with `local/`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.retrieval.engines import KINDS

ROOT: Final = Path(__file__).resolve().parents[2]
LOCAL: Final = ROOT / "benchmarks" / "results" / "local"
INSTALL_S: Final = 900.0


class NotToBeHadError(Exception):
    """A peer cannot be installed here."""


def python_for(engine: str) -> str:
    """The Python that holds an engine. Raises NotToBeHadError."""
    kind = KINDS[engine]
    if not kind.needs:
        return sys.executable
    folder = LOCAL / "peers"
    python = folder / "bin" / "python"
    try:
        if not python.exists():
            _run([sys.executable, "-m", "venv", str(folder)])
        if not _imports(python, kind.modules):
            uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
            install = (
                [uv, "pip", "install", "--quiet", "--python", str(python)]
                if uv
                else [str(python), "-m", "pip", "install", "--quiet"]
            )
            _run([*install, "numpy>=2", *kind.needs])
    except (subprocess.SubprocessError, OSError) as error:
        said = str(getattr(error, "stderr", "") or error).strip().splitlines()
        raise NotToBeHadError(f"cannot be installed: {said[-1][:200] if said else error}") from None
    return str(python)


def versions() -> dict[str, str]:
    """Of the peers that are installed."""
    import json

    python = LOCAL / "peers" / "bin" / "python"
    if not python.exists():
        return {}
    code = "from benchmarks.retrieval.peers import versions; print(versions())"
    said = subprocess.run(
        [str(python), "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    found: dict[str, str] = json.loads(said.stdout)
    return found


def _imports(python: Path, modules: tuple[str, ...]) -> bool:
    code = f"import numpy, {', '.join(modules)}"
    return subprocess.run([str(python), "-c", code], capture_output=True).returncode == 0


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_S)
