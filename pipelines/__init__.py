"""The pipelines: their graphs, their compiler, and their runs on a machine or a cluster."""
