"""The composition root: the only package that knows every part, and the only one that configures
logging. `assembly` builds a spore, `running` serves it, `reports` says how it is."""

from synapse.app.assembly import Spore, assemble
from synapse.app.models import find_local
from synapse.app.reports import Finding, examine, greeting
from synapse.app.running import configure_logging, serve

__all__ = [
    "Finding",
    "Spore",
    "assemble",
    "configure_logging",
    "examine",
    "find_local",
    "greeting",
    "serve",
]
