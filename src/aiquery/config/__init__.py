"""Configuration: endpoints, limits, prices, the cache, the run history and the budget, and where they are read from."""

from aiquery.config.budget import Budget, OnBudget
from aiquery.config.credentials import Credentials
from aiquery.config.endpoint import Endpoint, Price, Timeout
from aiquery.config.loader import ConfigLike, load
from aiquery.config.settings import CacheSettings, Config, Defaults, RunsSettings

__all__ = [
    "Budget",
    "CacheSettings",
    "Config",
    "ConfigLike",
    "Credentials",
    "Defaults",
    "Endpoint",
    "OnBudget",
    "Price",
    "RunsSettings",
    "Timeout",
    "load",
]
