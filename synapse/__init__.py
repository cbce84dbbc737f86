"""Synapse: small web services that remember, reason and share, with no centre."""

__version__ = "0.1.0"
