"""Run the node as a process of its own: `python -m deviloc_ros.ros`."""

import sys

from deviloc_ros.ros.command_line import check_command_line, explain_missing_ros
from deviloc_ros.ros.signals import take_signals


def main() -> int:
    """Run the node until it is told to stop; return 1 if it could not start, else 0."""
    check_command_line(sys.argv[1:])
    if problem := explain_missing_ros():
        print(f"deviloc-node: {problem}", file=sys.stderr)
        return 1
    take_signals()  # before seconds of imports
    from deviloc_ros.ros.node import main

    return main()


if __name__ == "__main__":
    sys.exit(main())
