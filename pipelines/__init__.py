"""How components are wired, and how a pipeline is compiled and run."""
