"""The watch that the tests of hostile input rest on sees what it must see."""

from __future__ import annotations

import pickle
import socket
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from tests.watch import watching


def test_it_sees_files_modules_addresses_and_unpickling(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    data = pickle.dumps(Path)
    with watching() as touched, socket.socket() as probe:
        file.read_text()
        with pytest.raises(ImportError):
            __import__("this_is_no_module_at_all")
        pickle.loads(data)
        probe.connect_ex(("127.0.0.1", 1))
    assert str(file) in touched.opened and touched.outside() == [str(file)] and touched.outside(tmp_path) == []
    assert "this_is_no_module_at_all" in touched.imported
    assert any("pickle" in call for call in touched.ran) and any("127.0.0.1" in call for call in touched.connected)
    before = list(touched.opened)
    file.read_text()
    assert touched.opened == before


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
def test_it_sees_what_native_code_opens(tmp_path: Path) -> None:
    read, spared = tmp_path / "read", tmp_path / "spared"
    for file in (read, spared):
        file.write_text("no tokenizer")
    with watching([read, spared]) as touched, pytest.raises(Exception, match="expected"):
        Tokenizer.from_file(str(read))
    assert str(read) not in touched.opened, "Python does not see it"
    assert touched.canaries == [str(read)]
