"""The calls that a plan carries to a worker, and their binding there."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from aiquery import clients, evaluate, registry
from aiquery import config as configuration
from aiquery.config import environment
from aiquery.engines.spark.types import spark_column

if TYPE_CHECKING:
    from aiquery.evaluate import SubmittedBatch
    from aiquery.inference.client import Client
    from aiquery.inference.query_context import QueryContext
    from aiquery.requests.sql_types import SQLType


class CallSpec(msgspec.Struct, kw_only=True):
    """A call as the plan carries it: see ``CallSpec.scala``.

    constants       constant arguments, as JSON
    config          configuration, as JSON
    columns         names of the columns
    has_condition   a last boolean column selects the rows that the call is made for
    null_on_error   a failed row is NULL
    estimate_only   no request is sent: the value is what would be requested
    """

    function: str
    constants: str
    config: str
    columns: list[str]
    has_condition: bool
    null_on_error: bool
    estimate_only: bool

    def width(self) -> int:
        """Return the number of its columns, the condition included."""
        return len(self.columns) + 1 if self.has_condition else len(self.columns)


class UDFPayload(msgspec.Struct):
    """The calls of one Python function of a plan; the jobs of one DataFrame share ``plan_id``."""

    plan_id: str
    calls: list[CallSpec]


class WorkerCall:
    """A call, bound in the worker. With ``null_on_error`` errors are part of its values, and NULL is handed up."""

    def __init__(self, spec: CallSpec) -> None:
        """Bind the constants. Raises the errors that binding on the driver would raise."""
        constants = msgspec.json.decode(spec.constants)
        self.spec = spec
        self.config = load_config(spec.config)
        self._hides_errors = spec.null_on_error and constants.get("failOnError") is None
        if self._hides_errors:
            constants["failOnError"] = False
        self.call = registry.functions()[spec.function].bind(constants, self.config)
        clients.check_call(self.call, self.config)

    @property
    def returns(self) -> SQLType:
        """The type of the column."""
        if self._hides_errors:
            _, result = self.call.returns.fields[0]
            return result
        return self.call.returns

    def client(self) -> Client:
        """Return the client of the call's configuration, which this process holds."""
        address = environment.coordinator_address()
        return clients.SharedClient.hold(self.config, address).client

    def select(self, columns: list[pa.Array]) -> list[pa.Array]:
        """Return the columns of the call; rows whose condition is not true are NULL, which sends no request."""
        if not self.spec.has_condition:
            return columns
        *columns, condition = columns
        is_selected = pc.fill_null(condition, fill_value=False)
        null = pa.scalar(None, columns[0].type)
        columns[0] = pc.if_else(is_selected, columns[0], null)
        return columns

    def submit(
        self, columns: list[pa.Array], client: Client, context: QueryContext
    ) -> SubmittedBatch:
        """Submit one batch."""
        row_counter = None
        if context.stats is not None:
            row_counter = context.stats.row_counter(self.spec.function)
        selected = self.select(columns)
        return evaluate.submit_batch(
            self.call, selected, client, context, row_counter=row_counter
        )

    def column(self, batch: SubmittedBatch) -> pa.Array:
        """Wait for a batch and return its column."""
        column = batch.column(spark_column)
        return pc.struct_field(column, "result") if self._hides_errors else column


@functools.cache
def load_config(text: str) -> configuration.Config:
    """Return the configuration of a call."""
    return configuration.load(text)
