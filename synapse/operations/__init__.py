"""Every verb a user has, once. REST, MCP, the CLI and the pages render what these return."""

from synapse.operations.operations import Operations

__all__ = ["Operations"]
