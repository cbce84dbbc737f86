"""The faces of a spore over HTTP: pages, JSON, events, gossip and MCP."""
