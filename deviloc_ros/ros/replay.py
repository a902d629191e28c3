"""Replay a bag under the earlier name of `deviloc_ros.ros.tools.replay`: `python -m deviloc_ros.ros.replay`."""

import sys

from deviloc_ros.ros.tools.replay import main

if __name__ == "__main__":
    sys.exit(main())
