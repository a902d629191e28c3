"""No file, and no string, is loaded by running it."""

import ast

import pytest
from source_code import SOURCES, called, imported, module_name

PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
YAML_LOADERS = {"yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.unsafe_load_all", "yaml.full_load"}


def violations_of_no_code_from_files(tree):
    """Each place where loading a file, or a string, could run code."""
    for name in imported(tree):
        if name in PICKLES:
            yield f"import {name}"
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        name = called(call)
        if name in ("eval", "exec", *YAML_LOADERS):
            yield name
        if name == "torch.load" and keywords.get("weights_only") != "True":
            yield "torch.load without weights_only=True"
        if keywords.get("allow_pickle", "False") != "False":
            yield f"{name}(allow_pickle=...)"


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_no_file_is_loaded_by_running_it(path):
    assert list(violations_of_no_code_from_files(ast.parse(path.read_text()))) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "eval(text)",
        "yaml.load(text, Loader=yaml.Loader)",
    ],
)
def test_the_scan_sees(source):
    assert list(violations_of_no_code_from_files(ast.parse(source))) != []
