"""Import interfaces whose packages may not be installed; they are None then."""

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
