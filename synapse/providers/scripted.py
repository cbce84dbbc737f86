"""A provider that says what a test wrote down for it, and remembers what it was asked."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from synapse.core.effects import ModelRequest
from synapse.core.errors import ProviderError
from synapse.ports import ModelReply

Line = str | ModelReply | ProviderError
"""What is said once. A bare text is a reply whose model and family are the target's name."""

Script = Sequence[Line] | Callable[[ModelRequest], Line]
"""What one target says: line after line, or whatever a function makes of the request."""


class ScriptError(AssertionError):
    """A test asked for more than it had written down."""


class Scripted:
    """Each target follows its own script. `requests` holds (target, request) in order."""

    def __init__(self, scripts: Mapping[str, Script]) -> None:
        for target, script in scripts.items():
            assert not isinstance(script, str), f"the script of {target} must be a list of lines"
        self.requests: list[tuple[str, ModelRequest]] = []
        self._scripts = {
            target: script if callable(script) else deque(script)
            for target, script in scripts.items()
        }

    async def complete(self, target: str, request: ModelRequest, *, timeout_ms: int) -> ModelReply:
        """Say the next line. Raises the ProviderError that stands there, or ScriptError."""
        self.requests.append((target, request))
        line = self._next_line(target, request)
        if isinstance(line, ProviderError):
            raise line
        return line if isinstance(line, ModelReply) else ModelReply(line, target, target)

    async def close(self) -> None:
        """Nothing to let go of."""

    def _next_line(self, target: str, request: ModelRequest) -> Line:
        script = self._scripts.get(target)
        if callable(script):
            return script(request)
        if not script:
            asked = sum(name == target for name, _ in self.requests)
            raise ScriptError(f"{target!r} has no line for call {asked}: {request.question!r}")
        return script.popleft()
