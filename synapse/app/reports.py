"""What a spore says of itself at the terminal: its greeting, and the doctor's findings."""

from __future__ import annotations

from dataclasses import dataclass

from synapse.app.assembly import Spore, assemble
from synapse.app.keys import API_KEY_FILE, IDENTITY_FILE
from synapse.app.running import listen
from synapse.config import Settings
from synapse.core.errors import ConfigError, PeerError, SynapseError


def greeting(spore: Spore) -> list[str]:
    """What a spore says when it starts: where it is, how to reach it, what a key would add."""
    settings = spore.settings
    shown = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host
    url = settings.public_url or f"http://{f'[{shown}]' if ':' in shown else shown}:{settings.port}"
    families = spore.driver.node.thinking.routing.families()
    header = f' --header "Authorization: Bearer {spore.key}"' if spore.key_is_new else ""
    lines = [
        f"[bold]{settings.name}[/bold] at {url}",
        f"  MCP          {url}/mcp",
        f"  Claude Code  claude mcp add --transport http synapse {url}/mcp{header}",
        f'  Cursor       .cursor/mcp.json  {{"mcpServers": {{"synapse": {{"url": "{url}/mcp"}}}}}}',
        f'  VS Code      .vscode/mcp.json  {{"servers": {{"synapse": {{"type": "http", '
        f'"url": "{url}/mcp"}}}}}}',
        f"  data         {settings.data_dir}",
        f"  identity     {settings.data_dir / IDENTITY_FILE}  ({spore.identity.key.hex()[:16]}…)",
        f"  models       {', '.join(families)}"
        if families
        else "  models       none: exact tools compute what they understand, and memory is quoted. "
        "Set LLM_ENDPOINT (a local server) or a provider's key, and models will reason",
    ]
    if spore.key_is_new:
        lines.append(
            f"  key          {spore.key}  (writes need it; shown once, kept in {API_KEY_FILE})"
        )
    elif spore.key is not None:
        lines.append(f"  key          writes need the key in {settings.data_dir / API_KEY_FILE}")
    return lines


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing the doctor looked at."""

    check: str
    well: bool
    detail: str


async def examine(settings: Settings) -> list[Finding]:
    """Look at everything a spore needs, and say what to mend."""
    findings = [Finding("settings", True, "every value is possible")]
    try:
        spore = assemble(settings)
    except SynapseError as error:
        return [*findings, Finding("data folder", False, str(error))]
    records, private = spore.log.counts()
    detail = f"{settings.data_dir} holds {records} records and {private} private memories"
    findings.append(Finding("data folder", True, detail))
    try:
        listen(settings.host, settings.port).close()
        findings.append(Finding("port", True, f"{settings.host} port {settings.port} is free"))
    except ConfigError as error:
        findings.append(Finding("port", False, str(error)))
    for url in spore.driver.node.peers.seeds:
        try:
            await spore.transport.introduce(url, trusted=True)
            findings.append(Finding("peer", True, f"{url} answers"))
        except PeerError as error:
            findings.append(Finding("peer", False, str(error)))
    families = spore.driver.node.thinking.routing.families()
    models = ", ".join(families) or "none configured: answers are extracts from memory"
    findings.append(Finding("models", True, models))
    await spore.close()
    return findings
