"""The only module that reads and writes environment variables."""

from __future__ import annotations

import os
import re
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote
from urllib.request import (  # type: ignore[attr-defined]
    getproxies_environment,
    proxy_bypass_environment,
)

from platformdirs import user_cache_path

from aiquery.config.http_values import check_header_value
from aiquery.errors import ConfigError, MissingKey
from aiquery.secrets import Secret, looks_like_key, remember_address, remember_header

_VARIABLE = re.compile(r"\{([A-Z_|]+)\}")
"""Names of variables in an address: the first one that is set counts."""

CONFIG_VARIABLE = "AIQUERY_CONFIG"
CACHE_VARIABLE = "AIQUERY_CACHE"
OLD_CACHE_VARIABLE = "AIQUERY_ANSWERS"
COORDINATOR_VARIABLE = "AIQUERY_COORDINATOR"
CORES_VARIABLE = "OMP_NUM_THREADS"


def variable_is_set(name: str) -> bool:
    """Return True if a variable has a value."""
    return bool(os.environ.get(name))


def check_variable_name(name: str, setting: str) -> None:
    """Raise ``ConfigError`` for a name that is a key itself. The error does not contain it."""
    if looks_like_key(name) or not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name):
        raise ConfigError(
            f"{setting} must be the name of an environment variable, e.g. OPENAI_API_KEY, and its value looks like a "
            "key. Put the key into a variable, and write the variable's name here."
        )


def read_secret(name: str, setting: str) -> Secret:
    """Return the variable that ``setting`` names, without a line break at its end.

    Raises ``MissingKey`` if it is empty or missing, and ``ConfigError`` if it cannot stand in a header.
    """
    check_variable_name(name, setting)
    # A file that a shell or a container reads into a variable ends in a line break.
    value = os.environ.get(name, "").removesuffix("\n").removesuffix("\r")
    if not value:
        raise MissingKey(
            f"{setting} names the environment variable {name}, which is not set. Set it: export {name}=..."
        )
    return keep_secret(value, f"{setting}: the environment variable {name}")


def keep_secret(value: str, setting: str) -> Secret:
    """Return a secret that ``hide_secrets`` knows. Raises ``ConfigError`` if it cannot stand in a header."""
    check_header_value(value, setting)
    remember_header(value)
    return Secret(value)


def assigned_cores() -> int | None:
    """Return the cores that the process was assigned by ``OMP_NUM_THREADS``, as Spark does for its workers."""
    value = os.environ.get(CORES_VARIABLE, "")
    return int(value) if value.isdecimal() and int(value) else None


def config_file() -> str | None:
    """Return the file that ``AIQUERY_CONFIG`` names."""
    return os.environ.get(CONFIG_VARIABLE) or None


def cache_address() -> str | None:
    """Return the path or URL in ``AIQUERY_CACHE``. Raises ``ConfigError`` for the variable's former name."""
    if OLD_CACHE_VARIABLE in os.environ:
        raise ConfigError(
            f"the environment variable {OLD_CACHE_VARIABLE} is now called {CACHE_VARIABLE}; rename it."
        )
    return os.environ.get(CACHE_VARIABLE) or None


def cache_folder() -> Path:
    """Return the folder for files that can be fetched or computed again."""
    return user_cache_path("aiquery", ensure_exists=True)


class CoordinatorAddress(NamedTuple):
    """Host and port of a cluster's coordinator, and the token that it requires."""

    host: str
    port: int
    token: str


def coordinator_address() -> CoordinatorAddress | None:
    """Return the coordinator in ``AIQUERY_COORDINATOR`` (token@host:port, set by the driver), or None."""
    token, found, address = os.environ.get(COORDINATOR_VARIABLE, "").partition("@")
    host, _, port = address.rpartition(":")
    return CoordinatorAddress(host, int(port), token) if found else None


def java_home() -> str | None:
    """Return JAVA_HOME."""
    return os.environ.get("JAVA_HOME")


def set_java_home(folder: Path) -> None:
    """Set JAVA_HOME, from which Spark finds its Java runtime."""
    os.environ["JAVA_HOME"] = str(folder)


def spark_local_folder() -> Path | None:
    """Return the folder that a Spark executor shares with its Python workers."""
    folders = os.environ.get("SPARK_LOCAL_DIRS")
    return Path(folders.split(",")[0]) if folders else None


def worker_python(python: str) -> str:
    """Return the interpreter of PySpark's Python workers: PYSPARK_PYTHON, which is set to ``python`` if unset."""
    return os.environ.setdefault("PYSPARK_PYTHON", python)


def environment_proxy(
    scheme: str, host: str, port: int | None
) -> tuple[str, str] | None:
    """Return the variable and the address of the proxy for a host; None if there is none, or ``NO_PROXY`` has the host.

    This machine is reached directly, as Go's client does. A variable in small letters comes first. ``HTTP_PROXY`` in
    large letters is ignored in a CGI script, where a client can set it (httpoxy).
    """
    proxies = getproxies_environment()
    if _is_this_machine(host):
        return None
    if proxy_bypass_environment(f"{host}:{port}" if port else host, proxies):
        return None
    for kind in (scheme, "all"):
        address = proxies.get(kind)
        if address:
            remember_address(address)
            variable = f"{kind.upper()}_PROXY"
            return variable, address if "://" in address else f"http://{address}"
    return None


def _is_this_machine(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def fill_address(template: str, where: str) -> str:
    """Return an address with the values of the variables that it names as ``{NAME}``, or ``{NAME|OTHER}``.

    At the start it is a host or an address, elsewhere a part of one. Raises ``ConfigError`` for one that is not set.
    """

    def find_value(match: re.Match[str]) -> str:
        names = match[1].split("|")
        values = [os.environ.get(name, "").strip().rstrip("/") for name in names]
        value = next(filter(None, values), "")
        is_start = match.start() == 0
        if not value:
            kind = "its address" if is_start else "a part of its address"
            example = "https://..." if is_start else "..."
            raise ConfigError(
                f"{where} needs the environment variable {names[0]}, {kind}, which is not set. Set it: export "
                f"{names[0]}={example}"
            )
        if not is_start:
            return quote(value, safe="")
        # A portal shows the address with a path, which the template has, too.
        first = "/".join(template[match.end() :].split("/")[:2])
        value = value.partition(first)[0] if first else value
        remember_address(value)
        return value if "://" in value else f"https://{value}"

    return _VARIABLE.sub(find_value, template)
