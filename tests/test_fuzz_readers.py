"""Whatever a file says: an object that can be counted, or one ValueError of one paragraph.

The inputs are valid files with a few things in them replaced, removed, repeated or scrambled.
"""

import contextlib
import copy
import datetime
import json
import math
import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search.commands.networks import read_architecture
from space import NAMED, Architecture, SearchSpace, count_flops, count_params
from space.files import MAX_TOML_BYTES
from space.search_space import BUILT_IN_SPACES

SPACES = Path(__file__).parent.parent / "space" / "spaces"
SECONDS = 1.0  # of processor time for one input
QUICK, LONG = 100, 4000

FIELDS = (
    "img_size", "patch_size", "in_chans", "num_classes", "embed_dim", "depth", "num_heads",
    "head_dim", "mlp_ratio", "reattention", "pools", "head", "stem", "reattention_scale",
    "residual_scale", "pooling", "name", "after", "kernel_size", "stride", "op", "placement",
    "scale", "stages",
)  # fmt: skip


def nested(depth, inner=0):
    for _ in range(depth):
        inner = [inner]
    return inner


hostile = st.one_of(
    st.sampled_from([0, 1, 2, 3, 4, 7, 8, 12, 16, 64, 224, 512, 1024, 4096, 16384, 65536]),
    st.sampled_from([-1, -(10**9), 10**9, 2**63, 10**400]),
    st.sampled_from([0.5, 2.0, 2.5, -0.0, -1.5, 1e-320, 1e308, math.nan, math.inf, -math.inf]),
    st.sampled_from([None, True, False, "", "12", "NaN", "conv", "avg", "token", "free", "all"]),
    st.sampled_from(["suffix", "none", "max", "a\nb", "\x00\x1b[31m", "<b>", "x" * 100_000]),
    st.sampled_from([(), [], {}, [[]], {"after": 0}, {"a": {}}, [{}], nested(300)]),
    st.sampled_from([datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1)]),
    st.sampled_from([list(range(1, 1025)), list(range(2000)), [1] * 5000, list(range(512))]),
    st.sampled_from([[1, 2.0, "3"], [True, 1], [math.nan], [8, 16, 32], [0, 1, 2], [4096, 224]]),
    st.sampled_from([["none", "free"], ["all", "suffix"], ["conv", "patch"], [0.5, 1, 2]]),
    st.lists(st.integers(0, 600), max_size=6),
    st.lists(st.sampled_from([1, 2, 4, 8, 16, 32, 128, 512]), max_size=4, unique=True),
    st.text(max_size=6),
    st.integers(),
    st.floats(),
).map(copy.deepcopy)  # fmt: skip


def places(values, depth=0):
    """(container, key) of everything inside, as far as it matters."""
    inside = values.items() if isinstance(values, dict) else enumerate(values)
    found = []
    for key, value in inside:
        found.append((values, key))
        if isinstance(value, (dict, list)) and len(found) < 200 and depth < 4:
            found += places(value, depth + 1)
    return found


@st.composite
def mutants(draw, valid):
    """A valid file with one to four things changed."""
    values = copy.deepcopy(draw(st.sampled_from(valid)))
    for _ in range(draw(st.integers(1, 4))):
        there = places(values)
        kind = draw(st.sampled_from(["replace", "replace", "replace", "add", "remove", "wrap"]))
        if kind == "add" or not there:
            key = draw(st.sampled_from(FIELDS) | st.text(max_size=5))
            values[key] = draw(hostile)
            continue
        container, key = there[draw(st.integers(0, len(there) - 1))]
        if kind == "replace":
            container[key] = draw(hostile)
        elif kind == "remove":
            del container[key]
        else:
            container[key] = draw(st.sampled_from([[container[key]], [container[key]] * 2]))
        if not isinstance(values, dict):
            return values
    return values


@st.composite
def scrambled(draw, texts):
    """A valid text with pieces cut out, repeated, or replaced."""
    text = draw(st.sampled_from(texts))
    for _ in range(draw(st.integers(1, 4))):
        first, last = sorted(draw(st.tuples(*[st.integers(0, len(text))] * 2)))
        last = min(last, first + draw(st.sampled_from([0, 1, 4, 50])))
        pieces = ["", text[first:last] * 3, "9" * 30, "1e999", "[[[[", "{", '"', "\n[a]\n", "nan"]
        piece = draw(st.sampled_from(pieces) | st.text(max_size=5))
        text = text[:first] + piece + text[last:]
    return text


def one_paragraph(error):
    text = str(error)
    return 0 < len(text) < 3000 and "\n" not in text and "\x1b" not in text


def made(make):
    """What `make` gives; None if it refuses as it should. Neither may take long."""
    start, refusal, found = time.process_time(), None, None
    try:
        found = make()
    except ValueError as error:
        refusal = error
    assert refusal is None or one_paragraph(refusal), str(refusal)[:4000]
    assert time.process_time() - start < SECONDS
    return found


def count(architecture):
    assert type(count_flops(architecture)) is int
    assert min(count_flops(architecture), count_params(architecture)) > 0
    assert len(architecture.token_counts) == architecture.depth
    assert Architecture.from_dict(json.loads(json.dumps(architecture.to_dict()))) == architecture


def sample(space):
    """All that a search does with a space before the first training."""
    assert space.size() >= 1
    smallest = space.smallest()
    rng = np.random.default_rng(0)
    for _ in range(2):
        drawn = space.sample(rng)
        assert count_flops(drawn) >= count_flops(smallest)
        assert space.key(space.decode(space.encode(drawn))) == space.key(drawn)
        assert space.decode(space.encode(drawn)) in space
    assert SearchSpace.from_dict(json.loads(json.dumps(space.to_dict()))) == space


ARCHITECTURES = [NAMED[name].to_dict() for name in ("deit_tiny", "hvt_s_4", "deepvit_s")]
TABLES = [SearchSpace.load(name).to_dict() for name in BUILT_IN_SPACES]


def check_architecture(values):
    architecture = made(lambda: Architecture.from_dict(values))
    if architecture is not None:
        count(architecture)


def check_space(values):
    space = made(lambda: SearchSpace.from_dict(values))
    if space is not None:
        start = time.process_time()
        sample(space)
        assert time.process_time() - start < SECONDS, values


def check_text(text, file, read, use):
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    found = made(lambda: read(file))
    if found is not None:
        use(found)


WIDE = {
    "depths": {"depth": list(range(1, 513)), "reattention": {"placement": ["none", "suffix"]}},
    "widths": {"embed_dim": list(range(1, 1025)), "mlp_ratio": [i / 16 for i in range(16, 1024)]},
    "grids": {"img_size": [64 * i for i in range(1, 65)], "patch_size": [1, 16, 32, 64]},
    "kernels": {"pooling": {"stages": [0, 2], "kernel_size": list(range(2, 130)), "stride": [1]}},
    "stages": {"depth": [512], "pooling": {"stages": list(range(512)), "kernel_size": [2, 3]}},
    "all of them": {
        "img_size": list(range(1, 1025)), "patch_size": list(range(1, 1025)),
        "pooling": {"stages": list(range(512)), "kernel_size": list(range(2, 1025))},
    },
}  # fmt: skip


@pytest.mark.parametrize("choices", WIDE.values(), ids=WIDE)
def test_as_many_choices_as_there_may_be_take_no_second(choices):
    check_space({"img_size": 256, "patch_size": 1, "embed_dim": 64, "depth": [1, 512],
                 "num_heads": 1, **choices})  # fmt: skip


FAMILIES = {
    "architecture": lambda file: (mutants(ARCHITECTURES), check_architecture),
    "space": lambda file: (mutants(TABLES), check_space),
    "architecture json": lambda file: (
        scrambled([json.dumps(values) for values in ARCHITECTURES]),
        lambda text: check_text(text, file / "a.json", lambda f: read_architecture(str(f)), count),
    ),
    "space toml": lambda file: (
        scrambled([(SPACES / f"{name}.toml").read_text() for name in BUILT_IN_SPACES]),
        lambda text: check_text(text, file / "a.toml", SearchSpace.load, sample),
    ),
}


BASE = {"img_size": 32, "patch_size": 4, "embed_dim": 24, "depth": 4, "num_heads": 3}
SPACE = "img_size=[8]\npatch_size=[2]\nembed_dim=[16]\ndepth=[2]\nhead_dim=[8]\n"


def changed(**changes):
    return json.dumps({**BASE, **changes})


def whole(piece, before="", after=""):
    """A TOML file as large as one may be, mostly of repetitions of a piece."""
    return before + piece * ((MAX_TOML_BYTES - len(before + after)) // len(piece)) + after


def numbered(piece, before=""):
    """As large a one whose pieces begin with different keys."""
    count = (MAX_TOML_BYTES - len(before)) // (len(piece) + 3)
    return before + "".join(piece.format(f"k{i:x}") for i in range(count))


TOO_DEEP, UNKNOWN = "nested too deeply", "Unknown search space key"
MONSTROUS_SPACES = {
    "dotted key": (whole("a.", after="a=1"), TOO_DEEP),
    "spaced key": (whole("a . ", after="a=1"), TOO_DEEP),
    "quoted key": (whole('"=".', after="a=1"), TOO_DEEP),
    "dotted header": (whole("a.", "[", "a]"), TOO_DEEP),
    "dotted inline key": (whole("a.", 'x={b="c", ', "a=1}"), TOO_DEEP),
    "key after a quote in a comment": (whole("a.", '# """\n', "a=1"), TOO_DEEP),
    "key after four quotes": (whole("a.", 'x = {b = """b"""", ', 'a = ""}'), TOO_DEEP),
    "key after four apostrophes": (whole("a.", "x = {b = '''b'''', ", "a = ''}"), TOO_DEEP),
    "key after a backslash": (whole("a.", "x = {b = '\\', ", "a = ''}"), TOO_DEEP),
    "inline tables": (whole("{a=", "a="), TOO_DEEP),
    "arrays": (whole("[", "a="), TOO_DEEP),
    "keys": (numbered("{}=1\n"), UNKNOWN),
    "deep keys": (numbered("{}.a.a.a.a.a.a.a.a=1\n"), UNKNOWN),
    "tables": (numbered("[{}]\n"), UNKNOWN),
    "deep tables": (numbered("[{}.a.a.a.a.a.a.a.a]\n"), UNKNOWN),
    "deep keys in a table": (numbered("{}.a.a.a.a.a.a.a.a=1\n", "[b.b.b.b.b.b.b.b.b]\n"), UNKNOWN),
    "arrays of tables": (whole("[[a]]\n[[a.b]]\n[[a.b.c]]\n"), UNKNOWN),
    "numbers": (whole("1,", "a=[", "]"), UNKNOWN),
    "floats": (whole("1.0,", "mlp_ratio=[", "]"), "needs `img_size`"),
    "tables in an array": (whole("{},", "a=[", "]"), UNKNOWN),
    "digits": (whole("9", "a="), "digits"),
    "escapes": (whole('\\"', '"'), "Unterminated string"),
    "quotes": (whole('"'), "Expected '='"),
    "comments": (whole("#.........\n"), "needs `img_size`"),
    "spaces": (whole(" "), "needs `img_size`"),
}  # fmt: skip


@pytest.mark.parametrize("name", MONSTROUS_SPACES)
def test_as_much_toml_as_there_may_be_is_refused_within_a_second(name, tmp_path):
    text, message = MONSTROUS_SPACES[name]
    (tmp_path / "a.toml").write_text(text)
    assert MAX_TOML_BYTES - 9000 < len(text) <= MAX_TOML_BYTES
    start = time.process_time()
    with pytest.raises(ValueError, match=message) as refusal:
        SearchSpace.load(tmp_path / "a.toml")
    assert time.process_time() - start < SECONDS
    assert one_paragraph(refusal.value)


HOSTILE_FILES = {
    "nested.json": ("[" * 300_000, "nested|recursion|depth"),
    "blocks.json": (changed(depth=10**9), "`depth` must be an integer from 1 to 512"),
    "wide.json": (changed(embed_dim=3 * 10**9), "`embed_dim` must be an integer"),
    "negative.json": (changed(num_classes=-1), "`num_classes` must be an integer"),
    "nan.json": (changed(mlp_ratio=math.nan), "`mlp_ratio` must be a number"),
    "strings.json": (changed(depth="12"), "`depth` must be an integer .* got '12'"),
    "digits.json": ('{"depth": ' + "9" * 900_000 + "}", "digits"),
    "bytes.json": ("\udcff\udcfe", "utf-8"),
    "large.toml": (SPACE + "a." * 40_000 + "a=1", "at most 64000 bytes"),
    **{f"{name}.toml": monster for name, monster in MONSTROUS_SPACES.items()},
    "blocks.toml": (SPACE.replace("[2]\nhead", "[1000000000]\nhead"), "`depth` must be"),
    "wide.toml": (SPACE.replace("[16]", "[1e9]"), "`embed_dim` must be an integer"),
    "range.toml": (SPACE.replace("[16]", str(list(range(8, 9000, 8)))), "at most 1024 choices"),
    "negative.toml": (SPACE.replace("[8]", "[-8]"), "must be an integer"),
    "nan.toml": (SPACE + "mlp_ratio=[nan]", "`mlp_ratio` must be a number"),
    "strings.toml": (SPACE.replace("[16]", '["16"]'), "`embed_dim` must be an integer"),
    "bytes.toml": ("\udcff", "utf-8"),
}


def command(*words):
    """Exit code, stderr and processor seconds of a command in 500 MB of address space."""
    limits = (resource.RLIMIT_AS, (500_000_000, 500_000_000))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "search", *map(str, words)],
        cwd=SPACES.parent.parent, capture_output=True, text=True, timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(*limits),
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.returncode, done.stderr, seconds


def reading(file):
    if file.suffix == ".json":
        return command("flops", file)
    return command("search", "--budget", "1M", "--dry-run", "--space", file)


@pytest.fixture(scope="module")
def start_up():
    """Processor seconds of a command that reads no file."""
    return command("search", "--budget", "1M", "--dry-run", "--space", "nothing")[2]


def check_refusal(file, start_up, message):
    code, error, seconds = reading(file)
    assert code == 2, error
    assert re.search(message, error), error
    assert error.startswith("Error: ")
    assert error.count("\n") == 1
    assert len(error) < 3000
    assert seconds < start_up + SECONDS


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE_FILES)
def test_hostile_files_end_in_exit_code_2_within_a_second_and_500_mb(name, tmp_path, start_up):
    text, message = HOSTILE_FILES[name]
    (tmp_path / name).write_text(text, errors="surrogateescape")
    check_refusal(tmp_path / name, start_up, message)


@pytest.mark.parametrize("name", ["blocks.json", "arrays.toml"])
def test_a_hostile_file_ends_in_exit_code_2(name, tmp_path, start_up):
    (tmp_path / name).write_text(HOSTILE_FILES[name][0])
    check_refusal(tmp_path / name, start_up, HOSTILE_FILES[name][1])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["huge.toml", "huge.json"])
def test_a_hundred_megabytes_are_refused_unread(name, tmp_path, start_up):
    with (tmp_path / name).open("w") as file:
        for _ in range(100):
            file.write("a = [1, 2, 3] # more\n" * 50_000)
    assert (tmp_path / name).stat().st_size > 10**8
    check_refusal(tmp_path / name, start_up, "at most (1000000|64000) bytes")


MONSTERS = {"long": 10**5000, "deep": nested(3000), "wide": "x" * 10**6, "table": {"a": [[]] * 9}}


@pytest.mark.parametrize("value", MONSTERS.values(), ids=MONSTERS)
def test_a_value_that_cannot_be_printed_is_still_one_sentence(value):
    for field in (*BASE, "pools", "reattention", "reattention_scale"):
        assert made(lambda field=field: Architecture.from_dict({**BASE, field: value})) is None
    for field in set(TABLES[0]) - {"name"}:
        values = {**TABLES[0], field: value}
        assert made(lambda values=values: SearchSpace.from_dict(values)) is None


@contextlib.contextmanager
def impatient(seconds=20):
    """Interrupts what waits for a pipe that nobody writes into."""

    def give_up(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("name", ["pipe", "pipe.toml", "pipe.json", "link.toml", "link.json"])
def test_a_pipe_or_a_device_is_refused_unopened(name, tmp_path):
    if name.startswith("pipe"):
        os.mkfifo(tmp_path / name)
    else:
        (tmp_path / name).symlink_to("/dev/zero")
    for read in (SearchSpace.load, read_architecture):
        if name == "pipe" or Path(name).suffix == {SearchSpace.load: ".toml"}.get(read, ".json"):
            with impatient(), pytest.raises(ValueError, match="must be a regular file"):
                read(str(tmp_path / name))


def fuzz(family, folder, examples):
    inputs, check = FAMILIES[family](folder)
    options = {"deadline": None, "suppress_health_check": list(HealthCheck)}
    settings(max_examples=examples, **options)(given(inputs)(check))()


@pytest.mark.parametrize("family", FAMILIES)
def test_any_input_is_an_object_or_a_sentence(family, tmp_path):
    fuzz(family, tmp_path, QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_sixteen_thousand_inputs_are_objects_or_sentences(family, tmp_path):
    fuzz(family, tmp_path, LONG)
