"""Run the command line as `python -m deviloc_ros`."""

from deviloc_ros.cli import main

if __name__ == "__main__":
    main()
