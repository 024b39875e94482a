"""Where work runs: threads, processes, or a Dask cluster."""
