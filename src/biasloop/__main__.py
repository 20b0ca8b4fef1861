"""``python -m biasloop`` is the command line ``biasloop``."""

from biasloop.cli import main

if __name__ == "__main__":
    main()
