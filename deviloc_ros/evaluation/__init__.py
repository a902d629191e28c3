"""Measure localization: fixed protocols on real data, metrics, trajectories and bags. Imports no ROS."""

PROTOCOLS = ("kitchen-12", "kitchen-36", "kitchen-72", "fountain-loo", "entry-loo", "drive-even", "drive-sparse")
RIG_PROTOCOLS = ("kitchen-72-rig2", "kitchen-72-rig3")  # two and three frames of the kitchen as one rig
TWINS = "twins"  # places that look alike
BUILDING = "building"  # a thousand rendered views of doors and offices that look alike
COURT_PROTOCOLS = ("court", "court-third")  # rendered: a court of house fronts; every third photograph maps it
HARD = "hard"  # kitchen-12 in bad light, by bad cameras
BODY_IN_VIEW = "body-in-view"
LIVING_MAP = "living-map"  # kitchen-72 before and after it grew by what a robot kept on another drive
JOINED_PROTOCOLS = ("joined-12",)  # what is reported of retrieval in a map of several scenes
# Nothing is reported on these: covariances (kitchen-back), retrieval (joined-back) and depth were settled on them.
CALIBRATION_PROTOCOLS = (
    "kitchen-back-8",
    "kitchen-back-24",
    "kitchen-back-72",
    "joined-back-8",
    "kitchen-depth-72",
    "kitchen-depth-144",
)
TRUE_POSE, PRIOR, GLOBAL_ONCE, GLOBAL = RETRIEVALS = ("true-pose", "prior", "global-once", "global")
