"""A stage whose code changed needs another version; and what counts as its code."""

import shutil

import pytest

from stage_versions.code_reached import Code, Name
from stage_versions.golden import differences
from stage_versions.lock import LOCK, PROJECT, changed_names, complaints, lock, not_run, read_code, read_lock, unraised

NOT_RAISED = (
    "The code of `{}` changed and its version did not: raise it, or run `make stages`, which writes the new code down "
    "if it gives the same results."
)


@pytest.fixture(scope="module")
def code():
    return read_code(PROJECT)


def test_the_lock_holds(code):
    """If this fails, do what it says: an unnoticed change of a stage's code leaves stale results in use."""
    assert complaints(code, read_lock(LOCK)) == []


@pytest.fixture
def copy(tmp_path):
    shutil.copytree(PROJECT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def edit(copy, file, before, after):
    path = copy / "src" / "genre_pipeline" / file
    text = path.read_text(encoding="utf-8")
    assert text.count(before) == 1
    path.write_text(text.replace(before, after), encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "before", "after", "stages"),
    [
        pytest.param(
            "features/segments.py",
            "frames_of_tracks(usable, block) >= block",
            "frames_of_tracks(usable, block) > block",
            ["extract_features"],
            id="a comparison in a function that is reached through another module",
        ),
        pytest.param("models/crnn.py", "outputs[:, -1]", "outputs[:, 0]", ["models.crnn"], id="a layer of a network"),
        pytest.param(
            "audio/inspection.py", "CLIP_LEVEL = 0.999", "CLIP_LEVEL = 0.99", ["inspect_audio"], id="a constant"
        ),
    ],
)
def test_a_changed_line_names_the_stages_that_run_it(copy, file, before, after, stages):
    edit(copy, file, before, after)
    assert complaints(read_code(copy), read_lock(LOCK)) == [NOT_RAISED.format(name) for name in stages]


SMALL = '''
"""A package."""
from genre_pipeline.stages import stage

LIMIT = 3
THINGS = Registry("thing")
THINGS.register(Thing(name="round", make=lambda: table("shapes.txt")))


class Meter:
    """Measures."""

    def __init__(self):
        self.n = 0

    def add(self, n: int) -> None:
        self.n += n  # counts

    def unused(self):
        return helper()


def helper():
    return 1


@stage(version=1)
def measure(numbers: list) -> int:
    """Measure."""
    if not numbers:
        raise ValueError(f"no {LIMIT} numbers")
    logger.info("measures %d", len(numbers))
    meter = Meter()
    for number in numbers:
        meter.add(min(number, LIMIT))
    return meter.n


@stage(version=2, uses=(measure,))
def report(numbers) -> str:
    import small.other as other

    return other.text(measure(numbers), THINGS)
'''
OTHER = """
def text(value, things):
    return str(value)
"""


@pytest.fixture
def small(tmp_path):
    def write(text=SMALL, other=OTHER, shapes="o"):
        folder = tmp_path / "small"
        folder.mkdir(exist_ok=True)
        (folder / "__init__.py").write_text(text)
        (folder / "other.py").write_text(other)
        (folder / "shapes.txt").write_text(shapes)
        return Code(folder)

    return write


def test_a_stage_is_found_with_its_version_and_the_stages_that_it_runs(small):
    stages = small().stages
    assert {name: (each.version, set(each.uses)) for name, each in stages.items()} == {
        "measure": (1, set()),
        "report": (2, {"measure"}),
    }


def test_code_that_is_reached(small):
    code = small()
    assert {str(name) for name in code.reached(Name("small", "measure"))} == {
        *("small.measure", "small.Meter", "small.Meter.__init__", "small.Meter.add", "small.LIMIT"),
    }
    # Another stage has a version of its own; what is registered is reached, with the file that it names.
    assert {str(name) for name in code.reached(Name("small", "report"))} == {
        *("small.report", "small.other.text", "small.THINGS", "small.<call 0>", ".shapes.txt"),
    }
    assert code.used(Name("small", "report")) == {"measure"}


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        pytest.param("# counts", "# adds", set(), id="a comment"),
        pytest.param('"""Measure."""', '"""Measure all."""', set(), id="a docstring"),
        pytest.param('"""Measures."""', '"""Measures all."""', set(), id="the docstring of a class"),
        pytest.param("n: int", "n: float", set(), id="an annotation"),
        pytest.param("return helper()", "return 2", set(), id="a method that nothing mentions"),
        pytest.param("version=1", "version=5", set(), id="a version"),
        pytest.param(' numbers")', ' values")', set(), id="the words of an error"),
        pytest.param('"measures %d"', '"measured %d"', set(), id="the words of a log line"),
        pytest.param("ValueError", "TypeError", {"measure"}, id="the kind of an error"),
        pytest.param("self.n += n", "self.n += 2 * n", {"measure"}, id="a method that is mentioned"),
        pytest.param("LIMIT = 3", "LIMIT = 4", {"measure"}, id="a constant"),
        pytest.param('name="round"', 'name="square"', {"report"}, id="what is registered"),
    ],
)
def test_what_changes_the_hash_of_a_stage(small, before, after, changed):
    old = lock(small())
    new = lock(small(SMALL.replace(before, after)))
    assert {name for name in old if old[name].code != new[name].code} == changed


def test_a_data_file_is_code_of_those_that_name_it(small):
    assert unraised(lock(small()), lock(small(shapes="x"))) == ["report"]


def test_a_new_member_of_a_registry_changes_nothing_for_the_others(small):
    old = small()
    locked = lock(old)
    old.reached(Name("small", "report"))
    added = SMALL + '\n\nTHINGS.register(Thing(name="square", make=helper))\n'
    assert unraised(locked, lock(small(added))) == ["report"]
    assert unraised(locked, lock(Code(small(added).root, members_of=old))) == []
    changed = small(added.replace('name="round", make=lambda', 'name="round", make=lambda *_'))
    assert unraised(locked, lock(Code(changed.root, members_of=old))) == ["report"]


def test_a_raised_version_is_written_down_and_not_complained_of_as_forgotten(small):
    locked = lock(small())
    raised = small(SMALL.replace("LIMIT = 3", "LIMIT = 4").replace("version=1", "version=3"))
    assert complaints(raised, locked) == ["`measure` has another version: write that down with `make stages`."]


def test_a_stage_that_comes_or_goes_is_named(small):
    code = small()
    locked = lock(code)
    gone = {"old": locked["measure"], "report": locked["report"]}
    assert complaints(code, gone) == [
        "`measure` is new: write that down with `make stages`.",
        "`old` is gone: write that down with `make stages`.",
    ]


def test_a_stage_that_is_run_and_not_declared_is_complained_of(small):
    code = small(SMALL.replace(", uses=(measure,)", ""))
    assert complaints(code, lock(code)) == ["`report` runs the stages ['measure'], and declares uses=[]."]


def test_what_changed_must_have_run(small):
    old = small()
    old.stages  # noqa: B018  # read before the files change
    new = small(SMALL.replace("self.n += n", "self.n += 0 + n"))
    names = changed_names(old, new, ["measure"])
    assert [str(name) for name in names] == ["small.Meter.add"]
    [function] = new.functions(names[0])
    assert not_run(new, names, {"__init__.py": {function.body[0].lineno}}) == []
    assert not_run(new, names, {"__init__.py": {function.lineno}}) == names


def test_results_that_differ_are_named():
    assert differences({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}) == ["b: 2 -> 3", "c: not there -> 4"]
