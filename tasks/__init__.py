"""One module per stage of the pipeline: thin Prefect tasks around the core."""
