"""Saves a model of MLflow at PATH: of a text it gives the length, of a record with ``a`` its double."""

import sys

import mlflow


class Model(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):  # noqa: ARG002
        rows = model_input.to_dict("records") if hasattr(model_input, "to_dict") else list(model_input)
        return [row["a"] * 2 if isinstance(row, dict) and "a" in row else len(str(row)) for row in rows]


mlflow.pyfunc.save_model(sys.argv[1], python_model=Model())
