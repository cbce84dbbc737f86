"""Every setting: name, default, unit, help. The sole reader of YAML and of the environment.

`settings` is the table, `layers` reads the four places a value may come from, `manual` writes the
template and the tables people read, `bootstrap` reads the public seeds for those who chose to join.

Errors name the key, the place and the fix. They never repeat a value: it may be a secret.
"""

from synapse.config.bootstrap import seeds
from synapse.config.layers import load
from synapse.config.manual import Row, describe, template
from synapse.config.settings import PROVIDER_KEYS, ModelEntry, Settings

__all__ = [
    "PROVIDER_KEYS",
    "ModelEntry",
    "Row",
    "Settings",
    "describe",
    "load",
    "seeds",
    "template",
]
