"""Show examples of each command at the end of its help."""

EXAMPLES = {
    "build-map": (
        (
            "photographs alone; two of them were taken 1.5 m apart",
            "--images photos --output office.map --known-distance a.jpg b.jpg 1.5",
        ),
        ("a COLMAP model, or one by hloc", "--colmap sfm --images photos --output office.map"),
        ("the first minute of a drive with odometry", "--bag drive --odom-topic /odom --end 60 --output office.map"),
        ("images with poses from a file", "--images photos --poses poses.txt --camera camera.yaml --output office.map"),
    ),
    "update-map": (
        ("images that robots stored where the map is sparse", "office.map --contributed kept"),
        ("images with poses in the map's frame", "office.map --colmap sfm --images photos"),
    ),
    "map": (
        ("what is in it", "info office.map"),
        ("how good it is, and where it will be hard", "report office.map --output office.html"),
        ("into metres and the frame of known camera positions", "align office.map --positions positions.txt"),
        ("onto a Nav2 floor plan", "align office.map --occupancy floor.yaml --walls"),
    ),
    "export-map": (("for COLMAP's viewer, and CloudCompare", "office.map --colmap model --ply landmarks.ply"),),
    "localize": (
        (
            "one photograph, with pictures of the matches",
            "office.map query.jpg --uncalibrated --pictures pictures",
        ),
        (
            "a folder, with a calibration file; writes hloc's results format",
            "office.map queries --camera camera.yaml --save-poses results.txt",
        ),
        (
            "hloc's list of queries and its pairs",
            "office.map images --queries queries_with_intrinsics.txt --pairs pairs.txt --save-poses results.txt",
        ),
    ),
    "view": (
        ("a map in 3D", "office.map"),
        ("a recording, while it is localized", "office.map --bag drive"),
    ),
    "evaluate-bag": (
        ("odometry from /tf, ground truth from a topic", "drive --map office.map --ground-truth-topic /ground_truth"),
        (
            "the part that was not mapped, with ground truth from a file",
            "drive --map office.map --start 60 --ground-truth drive.tum",
        ),
        ("a gate for CI", "drive --map office.map --ground-truth drive.tum --require 'wrong_fixes<=0'"),
    ),
    "compare": (("two runs of evaluate-bag", "before after --map office.map"),),
    "compare-poses": (
        ("two programs on the same queries", "truth.txt deviloc.txt hloc.txt --queries queries_with_intrinsics.txt"),
        ("poses in a unit of their own", "sfm results.txt --align similarity"),
    ),
    "simulate-bag": (
        ("a drive with the images of a data set", "--sevenscenes redkitchen --output drive --truth drive.tum"),
    ),
    "doctor": (
        ("with a running node", "--map office.map"),
        ("without a node", "--map office.map --image-topic /camera/image_raw --odom-frame odom"),
    ),
}


def format_examples(program: str, command: str) -> str:
    """Return the lines of a command's examples, empty if it has none."""
    lines = [f"  # {what}\n  {program} {command} {words}" for what, words in EXAMPLES.get(command, ())]
    return "\n".join(["examples:", *lines]) if lines else ""
