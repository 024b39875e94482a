"""Who computes: threads, processes, or a Dask cluster."""
