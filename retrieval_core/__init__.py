"""The science of image retrieval; knows nothing of the orchestration around it."""
