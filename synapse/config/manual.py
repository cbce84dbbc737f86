"""What people read about the settings: the template of `config.yaml`, and the table of `describe`.

Both are made from the table in `settings`, so they cannot be out of date.
"""

from __future__ import annotations

import textwrap
from typing import NamedTuple

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from synapse.config.settings import PROVIDER_KEYS, ModelEntry, Settings, variables_of

PREAMBLE = """\
# Settings of one spore. Copy this file to config.yaml and take the # from the lines you change.
#
# Later ones win: defaults, config.yaml, environment, flags. Every setting is also a variable
# (`port` is SYNAPSE_PORT), and `synapse config show --redacted` says where each value came from.
# SYNAPSE_CONFIG or --config names another file. Relative paths start at the working directory.
# A line under "for example" shows the form; nothing is set unless the text above says so.
# Generated from synapse/config/settings.py by `make docs`.
"""

PROVIDERS = """
# The keys of providers are read from the environment only:
"""
WIDTH = 100  # columns, as in all our files


class Row(NamedTuple):
    """One setting as people see it; the value of a secret is never shown."""

    name: str
    value: str
    source: str
    help: str


def template() -> str:
    """The text of `config.template.yaml`: every setting, its help, variables and default."""
    settings = "".join(_entry(name, each) for name, each in Settings.model_fields.items())
    keys = "".join(f"# {name}: {', '.join(them)}\n" for name, them in PROVIDER_KEYS.items())
    return PREAMBLE + settings + PROVIDERS + keys


def describe(settings: Settings) -> list[Row]:
    """Every setting, and every provider's key that was found, in the order of the template."""
    rows = [
        Row(name, _shown(getattr(settings, name)), settings.source_of(name), _help(field))
        for name, field in Settings.model_fields.items()
    ]
    for provider, key in settings.provider_keys.items():
        name = f"provider_keys.{provider}"
        help_text = f"Key for the models of {provider}."
        rows.append(Row(name, _shown(key), settings.source_of(name), help_text))
    return rows


def example(name: str) -> str:
    """A possible value in YAML: the default, unless that is nothing or found out at the start."""
    field = Settings.model_fields[name]
    return str(field.examples[0]) if field.examples else _shown(field.default)


def _entry(name: str, field: FieldInfo) -> str:
    help_text = textwrap.fill(_help(field), WIDTH, initial_indent="# ", subsequent_indent="# ")
    form = "For example" if field.examples else "Default"
    setting = f"{name}:{example(name)}" if example(name)[0] == "\n" else f"{name}: {example(name)}"
    variables = ", ".join(variables_of(name))
    return f"\n{help_text}\n# {form} ({variables}):\n{textwrap.indent(setting, '#')}\n"


def _help(field: FieldInfo) -> str:
    return " ".join((field.description or "").split())


def _shown(value: object) -> str:
    """A value on one line, as it would be written in YAML where that is possible."""
    match value:
        case None | ():
            return "none"
        case SecretStr():
            return "set (hidden)"
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case ModelEntry():
            return " ".join(filter(None, (value.provider or value.base_url, value.model)))
        case tuple():
            return ", ".join(map(_shown, value))
    return str(value)
