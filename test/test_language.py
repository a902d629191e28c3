"""Hold what can be held of the language: docstrings begin with a verb, one class name has one meaning."""

import ast
import importlib
import importlib.util
import re

import pytest
from source_code import PACKAGE, ROOT, SOURCES, module_name

import deviloc_ros
from deviloc_ros.status import Status

# What a docstring does not begin with: it says what something does, in a sentence. Most other nouns and participles are
# told by their endings.
FRAGMENTS = """
A All An And As At Both By Depth Distance Each Every Everything For From Given Half How If In Its Mean Median No Nothing
Of On One Only Or Some That The Their These This Those To Two What When Where Whether Which Who Why With Without
""".split()  # noqa: SIM905 - as a list it would fill the screen
VERBS_LIKE_THEM = ("Bring", "Embed", "Feed", "Focus", "Need")
ENDINGS = ("s", "ed", "ing")
FILES_OF_OTHERS = ("hubconf.py",)  # what they call theirs
FILE_ENDINGS = ("py", "json", "png", "jpg", "txt", "js")


def test_public_names_are_there_and_type_checkers_know_them():
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    told = {alias.asname: node.module for node in block.body for alias in node.names}
    assert sorted(told) == deviloc_ros.__all__
    for name, module in told.items():
        assert getattr(deviloc_ros, name) is getattr(importlib.import_module(module), name)
    with pytest.raises(AttributeError, match="nothing_of_that_name"):
        _ = deviloc_ros.nothing_of_that_name


def test_every_reason_of_an_image_without_a_pose_is_explained():
    page = (ROOT / "docs/interface.md").read_text()
    assert sorted(status.word for status in Status if f"`{status.word}`" not in page) == []


def test_what_helps_is_said_of_every_status_and_on_the_page_in_the_same_words():
    assert all(status.advice for status in Status)
    rows = [line for line in (ROOT / "docs/interface.md").read_text().splitlines() if line.startswith("| `")]
    for status in set(Status) - {Status.ACCEPTED}:
        assert [row for row in rows if row.startswith(f"| `{status.word}` | ") and status.advice in row]


def documented(tree):
    """Modules, classes and functions of a file that have a docstring, with its first word."""
    for node in ast.walk(tree):
        documents = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documents and (text := ast.get_docstring(node)):
            yield getattr(node, "name", "the module"), text.split()[0].rstrip(",.:;")


def is_fragment(word):
    """Whether a docstring that begins with this word is no sentence that begins with a verb."""
    if word in VERBS_LIKE_THEM or word.endswith("ss"):
        return False
    return not word.replace("-", "").isalpha() or not word[0].isupper() or word in FRAGMENTS or word.endswith(ENDINGS)


@pytest.mark.parametrize("path", [*SOURCES, *sorted((ROOT / "benchmarks").rglob("*.py"))], ids=module_name)
def test_docstrings_begin_with_a_verb(path):
    tree = ast.parse(path.read_text())
    assert [f"{name}: {word}" for name, word in documented(tree) if is_fragment(word)] == []


@pytest.mark.parametrize(
    "word", ["The", "(N,", "Keypoints", "Given", "Reading", "`name`", "one", "Of", "Writes", "Whether"]
)
def test_fragments_are_seen(word):
    assert is_fragment(word)


@pytest.mark.parametrize("word", ["Return", "Write", "Bring", "Pass", "Share", "Embed", "Keep"])
def test_verbs_are_no_fragments(word):
    assert not is_fragment(word)


def names_of(tree):
    """Names of what a file defines, its functions' arguments and its objects' attributes included."""
    for node in ast.walk(tree):
        yield getattr(node, "name", getattr(node, "id", getattr(node, "arg", getattr(node, "attr", None))))


def find_misnamed(text, names_by_module):
    """What a docstring says in backticks of the package's modules, `file.py` or `module.name`, and there is none of."""
    for module, name in re.findall(r"(?<!`)`(?:[\w.]+\.)?(\w+)\.(\w+)`", text):
        if name == "py" and module not in names_by_module and f"{module}.py" not in FILES_OF_OTHERS:
            yield f"{module}.py"
        elif name not in FILE_ENDINGS and name not in names_by_module.get(module, {name}):
            yield f"{module}.{name}"


def test_modules_and_functions_that_docstrings_name_are_there():
    trees = {path: ast.parse(path.read_text()) for path in SOURCES}
    names_by_module = {}
    for path, tree in trees.items():
        names_by_module.setdefault(path.stem, set()).update(names_of(tree))
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                assert list(find_misnamed(ast.get_docstring(node) or "", names_by_module)) == [], path


@pytest.mark.parametrize("name", ["rectified.judge_topic", "bags.rectified.judge_topic", "nowhere.py", "judge.py"])
def test_misnamed_modules_and_functions_are_seen(name):
    there = {"rectified": {"says_rectified"}}
    assert len(list(find_misnamed(f"As `{name}` finds, not `rectified.says_rectified` of `rectified.py`.", there))) == 1
    assert list(find_misnamed("`Camera.rays`, `transforms.json`, `model.`, `rectified.says_rectified`", there)) == []


def test_no_two_classes_share_a_name():
    names = [
        node.name
        for path in [*SOURCES, *sorted((ROOT / "benchmarks").rglob("*.py"))]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    ]
    assert sorted({name for name in names if names.count(name) > 1}) == []


@pytest.mark.parametrize("path", [*SOURCES, *sorted((ROOT / "benchmarks").rglob("*.py"))], ids=module_name)
def test_lists_in_docstrings_keep_their_lines(path):
    """A name and, behind wide spaces, what it means take a line of their own, indented: else a formatter joins them."""
    tree = ast.parse(path.read_text())
    texts = [ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef)]
    lines = [line for text in texts for line in text.splitlines()]
    assert [line for line in lines if len(re.findall(r"\S {3,}\S", line)) > 1] == []
