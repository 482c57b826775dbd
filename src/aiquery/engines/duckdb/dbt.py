"""The former name of ``aiquery.dbt``."""

from aiquery.renamed import raise_moved

raise_moved(__name__, "aiquery.dbt")
