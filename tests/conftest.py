"""Nothing that the tests start may reach for the network."""

import os

# Read when the libraries are imported, which may be at collection.
os.environ.update(DO_NOT_TRACK="1", KEDRO_DISABLE_TELEMETRY="1", MLFLOW_DISABLE_TELEMETRY="true")
