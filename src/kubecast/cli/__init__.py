"""The ``kubecast`` command, one module for each group of commands; ``app`` puts them together."""
