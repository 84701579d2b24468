"""`retrieval up`: the Prefect server, the MLflow server and a worker under one process."""
