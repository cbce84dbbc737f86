"""Four layers, the later ones win: defaults, `config.yaml`, the environment, flags.

A layer maps names of settings to what it says and where. An empty variable and an empty YAML value
count as not set. Every impossible value is reported, each on its own line.
"""

from __future__ import annotations

import difflib
import os
import re
import socket
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from synapse.config.manual import example
from synapse.config.settings import PREFIX, ModelEntry, Settings, Surroundings, variables_of
from synapse.core.errors import ConfigError

CONFIG_BYTES_MAX = 65_536  # a hundred models with long names fit ten times over
FILE_VARIABLE = "SYNAPSE_CONFIG"
BOOTSTRAP_FILE = Path(__file__).resolve().parents[2] / "bootstrap.json"

# Where hosting platforms write the name under which they publish us.
PLATFORM_HOSTS = {
    "SPACE_HOST": "{}",
    "RENDER_EXTERNAL_HOSTNAME": "{}",
    "RAILWAY_PUBLIC_DOMAIN": "{}",
    "FLY_APP_NAME": "{}.fly.dev",
}
# Kubernetes sets these in every pod beside a Service called `synapse`; they are not for us.
_SERVICE_LINK = re.compile(r"SYNAPSE_(\w+_)?(SERVICE_(HOST|PORT)|PORT_\d+_(TCP|UDP|SCTP))(_\w+)?")

# What pydantic says, and what a person would say.
PLAINER = {
    "Value error, ": "",
    "Input should": "should",
    "valid tuple": "list",
    "Tuple": "the list",
    "valid dictionary or instance of ModelEntry": "mapping, with a provider or a base_url",
}

Location = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Given:
    """What one layer says about one setting."""

    value: object
    source: str
    lines: Mapping[Location, int] = field(default_factory=dict)  # of the YAML file

    def place(self, location: Location) -> str:
        """Where a part of the value was written, as exactly as is known."""
        for length in range(len(location), 0, -1):
            if line := self.lines.get(location[:length]):
                return f"{self.source}, line {line}"
        return self.source


def load(
    flags: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Settings:
    """The settings that hold here and now. Raises ConfigError.

    Flags are named like settings (`data_dir`), and `config` names the file; None means not given.
    """
    flags = {name: value for name, value in (flags or {}).items() if value not in (None, (), [])}
    environ = os.environ if environ is None else environ
    cwd = cwd or Path.cwd()
    path = _config_file(flags, environ, cwd)
    given = {
        **_from_machine(environ),
        **(_from_file(path) if path else {}),
        **_from_environment(environ),
        **_from_flags(flags),
    }
    given |= _with_platform_hosts(given, environ)
    values = {name: each.value for name, each in given.items()}
    sources = {name: each.source for name, each in given.items()}
    try:
        return Settings.model_validate(values, context=Surroundings(environ, cwd, sources))
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        raise ConfigError("\n".join(_explained(fault, given) for fault in faults)) from None


def _from_machine(environ: Mapping[str, str]) -> dict[str, Given]:
    """The defaults that depend on where we are."""
    if sys.platform == "darwin":
        shared = "~/Library/Application Support"
    else:
        shared = environ.get("XDG_DATA_HOME") or "~/.local/share"
    found = {
        "data_dir": f"{shared}/synapse",
        "name": socket.gethostname().partition(".")[0] or "spore",
        "bootstrap": BOOTSTRAP_FILE if BOOTSTRAP_FILE.is_file() else None,
    }
    return {name: Given(value, "default") for name, value in found.items()}


def _config_file(flags: Mapping[str, object], environ: Mapping[str, str], cwd: Path) -> Path | None:
    named = flags.get("config") or environ.get(FILE_VARIABLE)
    path = cwd / Path(str(named or "config.yaml")).expanduser()
    return path if named or path.exists() else None


def _from_file(path: Path) -> dict[str, Given]:
    try:
        with path.open("rb") as file:
            content = file.read(CONFIG_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}). "
            f"Make it readable, or name another file with --config or {FILE_VARIABLE}."
        ) from None
    if len(content) > CONFIG_BYTES_MAX:
        raise ConfigError(f"{path}: is longer than {CONFIG_BYTES_MAX} bytes. Shorten it.")
    values, lines = _parsed(content, place=str(path))
    if not isinstance(values, dict | None):
        raise ConfigError(f"{path}: is not a mapping. Write lines such as `port: 7860`.")
    return {
        str(name): Given(value, f"config.yaml:{path}", lines)
        for name, value in (values or {}).items()
        if value is not None or name not in Settings.model_fields
    }


def _from_environment(environ: Mapping[str, str]) -> dict[str, Given]:
    own = {name: text.strip() for name, text in environ.items() if not _is_foreign(name, text)}
    found = {}
    for name in Settings.model_fields:
        variable = next((each for each in variables_of(name) if own.get(each)), None)
        if variable:
            place, text = f"env {variable}", own[variable]
            found[name] = Given(_parsed(text, place)[0] if name == "models" else text, place)
    ours = {variable for name in Settings.model_fields for variable in variables_of(name)}
    unknown = sorted(name for name in own if name.startswith(PREFIX) and name not in ours)
    return found | {variable: Given(None, "environment") for variable in unknown}


def _is_foreign(variable: str, text: str) -> bool:
    """Whether a variable with our prefix is not a setting, nor meant to be one."""
    service_address = variable.endswith("_PORT") and text.startswith(("tcp://", "udp://"))
    return (
        variable == FILE_VARIABLE
        or service_address
        or _SERVICE_LINK.fullmatch(variable) is not None
    )


def _from_flags(flags: Mapping[str, object]) -> dict[str, Given]:
    return {
        name: Given(value, f"flag --{name.replace('_', '-')}")
        for name, value in flags.items()
        if name != "config"
    }


def _with_platform_hosts(
    given: Mapping[str, Given], environ: Mapping[str, str]
) -> dict[str, Given]:
    """`allowed_hosts` with the names that hosting platforms announce."""
    found = {
        variable: pattern.format(environ[variable])
        for variable, pattern in PLATFORM_HOSTS.items()
        if environ.get(variable)
    }
    if not found:
        return {}
    before = given.get("allowed_hosts", Given((), ""))
    sources = [before.source, *(f"env {variable}" for variable in found)]
    value = [before.value, *found.values()]
    return {"allowed_hosts": Given(value, " + ".join(filter(None, sources)), before.lines)}


def _parsed(content: bytes | str, place: str) -> tuple[Any, dict[Location, int]]:
    """What YAML says, and the line of each key and item. Raises ConfigError."""
    yaml = YAML(typ="safe", pure=True)
    try:
        return yaml.load(content), dict(_lines(yaml.compose(content), ()))
    except MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{place}{line}: {_yaml_problem(error)}") from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{place}: is not YAML ({type(error).__name__}). Rewrite it.") from None


def _lines(node: Node | None, location: Location) -> Iterator[tuple[Location, int]]:
    parts: list[tuple[int | str, int, Node]] = []
    if isinstance(node, MappingNode):
        parts = [(key.value, key.start_mark.line, value) for key, value in node.value]
    elif isinstance(node, SequenceNode):
        parts = [(index, item.start_mark.line, item) for index, item in enumerate(node.value)]
    for step, line, part in parts:
        yield (*location, step), line + 1
        yield from _lines(part, (*location, step))


def _yaml_problem(error: MarkedYAMLError) -> str:
    problem = str(error.problem)
    if isinstance(error, DuplicateKeyError):
        return f"{problem.partition(' with value')[0]}. Keep one of the two."
    if "\\t" in problem:
        return f"{problem}. Indent with spaces, not tabs."
    # What stands in quotes may be a value. Tokens such as '<block end>' say what is wrong.
    return re.sub(r" (['\"])(?!<)[^'\"]{2,}\1", "", problem) + ". Quote values that hold : # * & !"


def _explained(fault: ErrorDetails, given: Mapping[str, Given]) -> str:
    """One line about one impossible or unknown value: key, place, what is wrong, what to do."""
    location = fault["loc"]
    name = str(location[0])
    key = name + "".join(
        f"[{step}]" if isinstance(step, int) else f".{step}" for step in location[1:]
    )
    where = f"{key} ({given[name].place(location)})"
    if fault["type"] == "extra_forbidden":
        return f"{where}: there is no such setting. {_instead_of(location)}"
    problem = fault["msg"]
    for word, plainer in PLAINER.items():
        problem = problem.replace(word, plainer)
    return f"{where}: {problem}. {_remedy(location, given[name].source)}"


def _instead_of(location: Location) -> str:
    names = list(Settings.model_fields if len(location) == 1 else ModelEntry.model_fields)
    if str(location[-1]).startswith(PREFIX):
        names = [PREFIX + name.upper() for name in names]
    near = difflib.get_close_matches(str(location[-1]), names, n=1)
    meant = f"Did you mean {near[0]}? If not, remove it" if near else "Remove it"
    return f"{meant}; config.template.yaml lists every setting."


def _remedy(location: Location, source: str) -> str:
    name, written = str(location[0]), example(str(location[0]))
    if name == "models":
        return "config.template.yaml shows how."
    spelled = {"env": source[4:] + "=", "flag": source[5:] + " "}
    kind = source.partition(" ")[0]
    return f"For example: {spelled.get(kind, f'{name}: ')}{written}"
