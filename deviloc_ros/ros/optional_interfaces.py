"""Import interfaces that are offered only where their package is installed. This is the one place that asks."""

from __future__ import annotations

from typing import Any

LoadMap: Any = None
SetInitialPose: Any = None
try:
    from nav2_msgs import srv
except ImportError:
    pass
else:
    LoadMap, SetInitialPose = srv.LoadMap, srv.SetInitialPose
