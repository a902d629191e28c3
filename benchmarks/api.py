"""Write the API page from docstrings: `python -m benchmarks.api > docs/api.md`. A test holds it current."""

from __future__ import annotations

import ast
import dataclasses
import enum
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from typing import Any

HEAD = """\
# API

Written by `python -m benchmarks.api > docs/api.md` from docstrings. `from deviloc_ros import NAME` imports what is
needed when a name is first used; what is not on this page may change without notice. Frames, units and words:
[concepts](concepts.md). In use: [notebooks](../examples/README.md).
"""
LOCALIZE = """\
```python
from deviloc_ros import Camera, Localized, Localizer, read_gray

localizer = Localizer("kitchen.map")
camera = Camera("PINHOLE", 640, 480, (525.0, 525.0, 319.5, 239.5))
result = localizer.localize(read_gray("query.jpg"), camera)
if isinstance(result, Localized):
    print(result.cam_from_world.inverse().translation, result.covariance)  # where the camera is [m], and how sure
else:
    print(result)  # why there is no pose
```
"""
PARAMETERS = """\
A config cannot be changed; these return another. [All parameters](parameters.md), by section.

```python
from pathlib import Path
from deviloc_ros import Config, Localizer, Map, change_config, load_config

to_build = change_config(Config(), matcher={"max_keypoints": 1024}, pose={"min_inliers": 40})
from_file = load_config(Path("my.yaml"), Config())
kitchen = Map.open("kitchen.map")
localizer = Localizer(kitchen, change_config(kitchen.config, retrieval={"references": 8}))  # else as it was built
```
"""
BUILD = """\
From photographs alone, and from images whose poses you know:

```python
from deviloc_ros import build_map, pose_photographs

report = build_map(pose_photographs("photos"), "kitchen.map")
print(report.views, report.skipped)
```

```python
from deviloc_ros import Camera, PosedImage, build_map, rigid_from_matrix

camera = Camera("PINHOLE", 640, 480, (525.0, 525.0, 319.5, 239.5))
images = []
for name, matrix in cam_from_world.items():  # (4, 4), by names of files
    images.append(PosedImage(name, f"photos/{name}", camera, rigid_from_matrix(matrix)))
build_map(images, "posed.map")
```
"""
READERS = """\
Each returns what `build_map` takes, as the flags of `build-map` do:

| flags | in Python |
|---|---|
| `--images photos` | `pose_photographs("photos")` |
| `--colmap model --images photos` | `read_model("model", "photos")` |
| `--images photos --poses poses.txt` | `read_posed_folder("photos", "poses.txt", camera)` |
| `--camera camera.yaml` | `read_camera_file("camera.yaml")` |
| `--nerfstudio scene` | `read_transforms("scene")` |
| `--kapture scene` | `read_kapture("scene")` |
| `--tum rgbd_dataset_freiburg1_desk` | `read_tum_sequence("rgbd_dataset_freiburg1_desk")` |
| `--sevenscenes redkitchen` | `read_seven_scenes("redkitchen")` |
| `--kitti 00` | `read_kitti("00")` |
| `--bag drive --pose-topic /odom --keyframes keyframes` | `read_bag`, below |

```python
from deviloc_ros.bags.bag_plan import ReadingPlan, TruthSource
from deviloc_ros.sources.keyframes import Spacing
from deviloc_ros.sources.recordings import read_bag

source = read_bag("drive", ReadingPlan(truth=TruthSource(topic="/odom")), Spacing(distance_m=0.25), "keyframes")
```
"""
FOLLOW = """\
`drive` yields, for each image, its stamp [ns], its pixels, and the pose of `base_link` in `odom` at that time:

```python
import numpy as np
from deviloc_ros import Camera, Follower, Localizer, Odometry, StampedImage, rigid_from_matrix

camera = Camera("PINHOLE", 640, 480, (525.0, 525.0, 319.5, 239.5))
base_from_cam = rigid_from_matrix(np.array([[0, 0, 1, 0.2], [-1, 0, 0, 0], [0, -1, 0, 0.4]]))  # it looks ahead
follower = Follower(Localizer("kitchen.map"))
for stamp_ns, pixels, odom_from_base in drive:
    image, odometry = StampedImage(stamp_ns, pixels, camera, base_from_cam), Odometry(odom_from_base)
    step = follower.follow([image], lambda time_ns, wait: odometry, stamp_ns)
    if step.fix is not None:
        print(stamp_ns, step.fix.map_from_base.translation)
    else:  # the first few wait until three agree
        print(stamp_ns, step.status.word, step.detail)
print(follower.state(stamp_ns), follower.map_from_odom(stamp_ns))
```

[Parameters](parameters.md) of `tracking` and `rig` are set by name:
`Follower(localizer, TrackingConfig(confirmations=2))`.
"""
MATCHER = """\
The whole of one: [examples/custom_matcher.py](../examples/custom_matcher.py).
"""
# Titles, with an introduction and names by module; `of_each` says which members of a class are shown.
GROUPS: dict[str, tuple[Any, ...]] = {
    "Localize": (
        LOCALIZE,
        ("deviloc_ros", "Localizer Map Camera Prior"),
        ("deviloc_ros.types", "Area"),
        ("deviloc_ros", "Mask RigImage read_gray rigid_from_matrix Localized Lost Status"),
        ("deviloc_ros.types", "Evidence Correspondences Place CameraReport"),
        ("deviloc_ros.io.units", "Unit"),
        ("deviloc_ros.maps.store", "ViewRecord"),
    ),
    "Set parameters": (PARAMETERS, ("deviloc_ros", "Config change_config load_config")),
    "Make a map": (
        BUILD,
        ("deviloc_ros", "build_map"),
        ("deviloc_ros.mapping.update", "update_map"),
        ("deviloc_ros", "PosedImage"),
        ("deviloc_ros.sources.base", "Source Skipped"),
        ("deviloc_ros.mapping.views", "BuildReport"),
    ),
    "Read posed images": (
        READERS,
        ("deviloc_ros", "pose_photographs"),
        ("deviloc_ros.sources.colmap", "read_model"),
        ("deviloc_ros.sources.posed_folder", "read_posed_folder"),
        ("deviloc_ros.sources.camera_files", "read_camera_file"),
        ("deviloc_ros.io.named_poses", "read_named_poses write_named_poses"),
        ("deviloc_ros.sources.nerfstudio", "read_transforms"),
        ("deviloc_ros.sources.kapture", "read_kapture"),
        ("deviloc_ros.sources.tum_rgbd", "read_tum_sequence"),
        ("deviloc_ros.sources.sevenscenes", "read_seven_scenes"),
        ("deviloc_ros.sources.kitti", "read_kitti"),
        ("deviloc_ros.sources.recordings", "read_bag"),
        ("deviloc_ros.bags.bag_plan", "ReadingPlan TruthSource Part"),
        ("deviloc_ros.bags.bag_index", "RobotSetup"),
        ("deviloc_ros.sources.keyframes", "Spacing"),
    ),
    "Follow a robot": (
        FOLLOW,
        ("deviloc_ros", "Follower StampedImage Odometry TrackingConfig"),
        ("deviloc_ros.config", "RigConfig"),
        ("deviloc_ros.tracking.follower", "Step"),
        ("deviloc_ros.tracking.fix", "Fix"),
        ("deviloc_ros.tracking.tracker", "TrackingState"),
    ),
    "Read recordings": ("", ("deviloc_ros.bags.reader", "Recording RecordedMessage")),
    "Bring a matcher of your own": (
        MATCHER,
        ("deviloc_ros.matching.base", "Matcher"),
        ("deviloc_ros.types", "Features Matches"),
    ),
}
# Members that are shown, where these are not all that are public by name: the others serve the package itself.
MEMBERS = {
    "Localizer": "config map matcher localize localize_rig",
    "Map": "open folder config records __len__ __contains__ name identity matcher_name size_bytes landmarks",
    "Camera": "focal_px principal_point project rays is_in_image scale_focal",
    "Follower": "follow state map_from_odom last_fix map_name hint forget use_maps calibration_complaint "
    "camera_complaints",
    "Matcher": "name descriptor_size device noise_px weights_id extract match_on_device match",
    **dict.fromkeys(("Area", "Mask", "Correspondences", "Config", "Spacing", "Part"), ""),
}
# Parameters and fields of these types are not shown, either.
INSIDE = {
    *("BodyInView", "Contributor", "DepthImage", "DepthOfViews", "DepthPlan", "FeatureCache", "GnssBuffer"),
    *("IntrinsicsFit", "Landmarks", "MovedMatches", "StoredFile"),
}
ALIASES = {
    "Result": "Localized | Lost",
    "OdometryAt": "Callable[[int, bool], Odometry | None]",
    "PoseAt": "Callable[[int], pycolmap.Rigid3d | None]",
    "C": "Config",
}
NOT_CALLED = ("Map", "Matcher", "Config", "TrackingConfig", "RigConfig")  # no constructor, or one of many parameters
CALLED_BY_PYTHON = {"__len__": "len({})", "__contains__": "name in {}"}


def page() -> str:
    """Return the whole page."""
    parts = [HEAD]
    for title, (introduction, *modules) in GROUPS.items():
        parts += [f"## {title}\n", introduction] if introduction else [f"## {title}\n"]
        for module_name, names in modules:
            module = importlib.import_module(module_name)
            for name in names.split():
                parts += entry(module_name, name, getattr(module, name))
    return "\n".join(parts)


def entry(module: str, name: str, thing: Any) -> Iterator[str]:
    """Yield the lines on one class or function."""
    yield f"### {name}\n"
    yield f"`from {module} import {name}`\n"
    if not (name in NOT_CALLED or (inspect.isclass(thing) and issubclass(thing, enum.Enum))):
        yield f"```python\n{signature(name, thing)}\n```\n"
    yield docstring(thing)
    if inspect.isclass(thing):
        yield from members(thing)


def members(kind: type) -> Iterator[str]:
    """Yield what a class itself defines of MEMBERS, else all that is public, in order, and the words of an enum."""
    if issubclass(kind, enum.Enum):
        yield "| word | means |\n|---|---|"
        yield "\n".join(f"| `{member.name}` | {member.value} |" for member in kind) + "\n"
    attributes = read_attributes(kind)
    public = [name for name in vars(kind) if not name.startswith("_")]
    for name in MEMBERS[kind.__name__].split() if kind.__name__ in MEMBERS else public:
        if name in attributes:
            yield "`{}.{}`\n\n{}\n".format(kind.__name__, *attributes[name])
            continue
        member = vars(kind)[name]
        plain = member.__func__ if isinstance(member, staticmethod | classmethod) else member
        if name in CALLED_BY_PYTHON:
            yield f"`{CALLED_BY_PYTHON[name].format(kind.__name__.lower())}`\n"
        elif inspect.isfunction(plain):
            yield f"```python\n{signature(f'{kind.__name__}.{name}', plain)}\n```\n"
        elif isinstance(plain, property):
            yield f"`{kind.__name__}.{name}`\n"
        else:
            continue
        yield docstring(plain)


def read_attributes(kind: type) -> dict[str, tuple[str, str]]:
    """Return attributes of a class by name, each as it is declared and with what stands below it."""
    if dataclasses.is_dataclass(kind) or issubclass(kind, enum.Enum):
        return {}
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for line, below in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and isinstance(below, ast.Expr):
            found[line.target.id] = ast.unparse(line), str(ast.literal_eval(below.value))
    return found


def find_hidden(thing: Any) -> list[str]:
    """Return the names of a function's or a class's parameters that are not shown."""
    if not callable(thing) or (inspect.isclass(thing) and issubclass(thing, enum.Enum)):
        return []
    parameters = inspect.signature(thing).parameters.values()
    return [p.name for p in parameters if p.name.startswith("_") or INSIDE & set(re.findall(r"\w+", str(p.annotation)))]


def signature(name: str, thing: Any) -> str:
    """Return how it is called, an argument a line where one line is too long."""
    found, hidden = inspect.signature(thing), ["self", *find_hidden(thing)]
    shown = [parameter for parameter in found.parameters.values() if parameter.name not in hidden]
    parameters = [written(parameter) for parameter in shown]
    first = next((n for n, p in enumerate(shown) if p.kind is p.KEYWORD_ONLY), None)
    if first is not None:
        parameters.insert(first, "*")
    has_result = not inspect.isclass(thing) and found.return_annotation is not found.empty
    result = f" -> {spell_out(found.return_annotation)}" if has_result else ""
    line = f"{name}({', '.join(parameters)}){result}"
    if len(line) <= 100:
        return line
    return f"{name}(\n" + "".join(f"    {parameter},\n" for parameter in parameters) + f"){result}"


def written(parameter: inspect.Parameter) -> str:
    """Return a parameter as its function's source has it; annotations are text already."""
    annotation = "" if parameter.annotation is parameter.empty else f": {spell_out(parameter.annotation)}"
    name = f"**{parameter.name}" if parameter.kind is parameter.VAR_KEYWORD else parameter.name
    if parameter.default is parameter.empty:
        return f"{name}{annotation}"
    default = "..." if repr(parameter.default).startswith("<") else repr(parameter.default)
    return f"{name}{annotation} = {default}"


def spell_out(annotation: str) -> str:
    """Return an annotation without the names that only its module has for other types."""
    return re.sub(r"\w+", lambda word: ALIASES.get(word[0], word[0]), annotation)


def docstring(thing: Any) -> str:
    """Return a docstring as Markdown, without what it says of hidden parameters: Args and such become lists."""
    text, lines = inspect.getdoc(thing) or "", []
    for name in find_hidden(thing):
        text = re.sub(rf"\s*\b{name}: .*?\.(?=\s|$)", "", text, flags=re.DOTALL)
    for line in text.splitlines():
        if line in ("Args:", "Returns:", "Raises:"):
            lines.append(f"*{line[:-1]}*\n")
        elif line.startswith("    ") and not line.startswith("     "):
            lines.append(f"- {line.strip()}")
        elif line.startswith("     "):
            lines.append(textwrap.indent(line.strip(), "  "))
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
