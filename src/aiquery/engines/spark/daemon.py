"""The former name of ``aiquery.spark.daemon``."""

from aiquery.renamed import raise_moved

raise_moved(__name__, "aiquery.spark.daemon")
