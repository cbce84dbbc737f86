"""What one call to a model costs this process: our provider beside the openai and litellm packages.

    python -m benchmarks chain [--calls 400] [--peers openai,litellm]

Each library runs in a process of its own and asks one fake server on loopback, all in one run. CPU
time is of the asking process only. Memory is what a library adds to a Python that has imported
httpx and pydantic already, as every spore has. The peers are installed from the package registry
into folders that are thrown away; one that cannot be installed is skipped. A model takes seconds,
so CPU time hardly matters beside it; memory does, on a spore that has 60 MB.

This file is also what runs inside the peers' folders, so it imports nothing of ours at the top.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
OURS = "synapse"
PEERS = {
    "openai": "openai>=3",
    "litellm": "litellm>=1.106",
}  # never 1.82.7 and .8, which stole keys
INSTALL_S = 600.0  # litellm is 300 MB
WARM_UP = 20
AT_ONCE = 16
CPU_MS_MAX = 1.0  # what httpx alone takes, and a tenth
MEMORY_MB_MAX = 10.0  # a sixth of an idle spore

SYSTEM, USER = "Answer in JSON.", "Who cast the harbour bell? " + "Ana Reis cast it in 1887. " * 60
REPLY = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_795_219_200,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": '{"answer": "Ana Reis."}' + " " * 800},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 400, "completion_tokens": 200, "total_tokens": 600},
}

Ask = Callable[[], Awaitable[object]]


def main(arguments: list[str]) -> None:
    """Print the figures as JSON objects."""
    parser = argparse.ArgumentParser(prog="benchmarks chain", description=__doc__.split("\n")[0])
    parser.add_argument("--calls", type=int, default=400)
    parser.add_argument("--peers", default=",".join(PEERS))
    chosen = parser.parse_args(arguments)
    with a_server() as url:
        figures = measured([sys.executable, "-m", "benchmarks.chain"], OURS, url, chosen.calls)
        show(OURS, figures)
        show(
            OURS,
            {
                "cpu_within_limit": figures["cpu_ms_per_call"] <= CPU_MS_MAX,
                "memory_within_limit": figures["memory_added_mb"] <= MEMORY_MB_MAX,
            },
        )
        for peer in filter(None, chosen.peers.split(",")):
            with tempfile.TemporaryDirectory() as folder:
                try:
                    python = installed(peer, Path(folder))
                    show(peer, measured([python, __file__], peer, url, chosen.calls))
                except (subprocess.SubprocessError, OSError) as error:
                    show(peer, {"skipped": why(error)})


def show(library: str, figures: dict[str, Any]) -> None:
    """One line a figure."""
    for figure, value in figures.items():
        line = {"benchmark": "chain", "library": library, "figure": figure, "value": value}
        print(json.dumps(line), flush=True)


def why(error: Exception) -> str:
    """The last line of what a command said before it failed."""
    said = str(getattr(error, "stderr", "") or error).strip()
    return said.splitlines()[-1][:300] if said else type(error).__name__


def installed(peer: str, folder: Path) -> str:
    """The Python of a folder into which a peer was installed. Raises SubprocessError."""
    python = folder / "bin" / "python"
    wanted = [PEERS[peer], "httpx", "pydantic"]
    uv = shutil.which("uv")
    if uv is not None:
        commands = [
            [uv, "venv", str(folder)],
            [uv, "pip", "install", "--python", str(python), *wanted],
        ]
    else:
        commands = [
            [sys.executable, "-m", "venv", str(folder)],
            [
                str(python),
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                *wanted,
            ],
        ]
    for command in commands:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_S)
    return str(python)


def measured(program: list[str], library: str, url: str, calls: int) -> dict[str, Any]:
    """What a process that asks through one library says of itself. Raises SubprocessError."""
    environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "OPENAI_API_KEY": "none"}
    run = subprocess.run(
        [*program, "ask", library, url, str(calls)],
        check=True,
        capture_output=True,
        text=True,
        timeout=INSTALL_S,
        cwd=ROOT,
        env=environment,
    )
    figures: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return figures


@contextmanager
def a_server() -> Iterator[str]:
    """The fake server in a process of its own; its address."""
    command = [sys.executable, __file__, "serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
        finally:
            server.terminate()


# Inside the processes.


async def serve() -> None:
    """Answer every request on one loopback port with the same reply, until terminated."""
    body = json.dumps(REPLY).encode()
    head = (
        f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    answer = head.encode() + body

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                asked = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = asked.partition(b"content-length:")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length or 0))
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def ask(library: str, url: str, calls: int) -> dict[str, Any]:
    """The figures of this process."""
    import httpx  # noqa: F401  # the floor: every spore has both
    import pydantic.types  # noqa: F401  # as above

    floor_mb = resident_mb()
    began = time.process_time()
    one = {OURS: ours, "openai": openai, "litellm": litellm}[library](url)
    import_ms = (time.process_time() - began) * 1_000
    for _ in range(WARM_UP):
        await one()
    one_by_one = await cpu_ms(calls, 1, one)
    at_once = await cpu_ms(calls, AT_ONCE, one)
    return {
        "version": "this checkout" if library == OURS else version(library),
        "import_cpu_ms": round(import_ms),
        "memory_added_mb": round(resident_mb() - floor_mb, 1),
        "memory_mb": round(resident_mb(), 1),
        "cpu_ms_per_call": round(one_by_one, 3),
        f"cpu_ms_per_call_{AT_ONCE}_at_once": round(at_once, 3),
    }


async def cpu_ms(calls: int, at_once: int, one: Ask) -> float:
    """CPU milliseconds of this process for each call, the best of three rounds."""
    rounds = []
    for _ in range(3):
        began = time.process_time()
        for _ in range(calls // at_once):
            await asyncio.gather(*(one() for _ in range(at_once)))
        spent = time.process_time() - began
        rounds.append(spent * 1_000 / (calls // at_once * at_once))
    return min(rounds)


def ours(url: str) -> Ask:
    """A call through our provider."""
    from synapse.core.effects import ModelRequest
    from synapse.providers.endpoint import Endpoint
    from synapse.providers.openai_compatible import OpenAiCompatible

    provider = OpenAiCompatible(
        {"there": Endpoint(url, "m")}, now_ms=lambda: time.time_ns() // 1_000_000
    )
    request = ModelRequest(SYSTEM, USER, USER, (), temperature=0.5, tokens_max=200)
    return lambda: provider.complete("there", request, timeout_ms=30_000)


def openai(url: str) -> Ask:
    """A call through the openai package."""
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=url, api_key="none", max_retries=0)
    return lambda: client.chat.completions.create(
        model="m", messages=messages(), temperature=0.5, max_tokens=200
    )


def litellm(url: str) -> Ask:
    """A call through litellm."""
    from litellm import acompletion

    return lambda: acompletion(
        model="openai/m",
        api_base=url,
        api_key="none",
        messages=messages(),
        temperature=0.5,
        max_tokens=200,
        num_retries=0,
    )


def messages() -> list[Any]:
    """The same question for everyone."""
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": USER}]


def resident_mb() -> float:
    """Resident memory of this process, from /proc; 0 where there is none (macOS)."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0.0
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1_024


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve"]:
            asyncio.run(serve())
        case ["ask", library, url, calls]:
            print(json.dumps(asyncio.run(ask(library, url, int(calls)))))
        case arguments:
            main(arguments)
