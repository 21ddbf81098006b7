"""The command, as ``python -m kubecast``."""

from kubecast.cli.app import main

if __name__ == "__main__":
    main()
