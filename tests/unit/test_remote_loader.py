"""Scripts of session types: which are loaded, and what happens with those that are not right."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.support.remote_types import NEXUS, one_type, write_script
from x2gobroker.remote.loader import ScriptError, load_script, read_script, realize, realize_all, script_path
from x2gobroker.remote.script import RemoteServiceScript
from x2gobroker.remote.types import read_types

HEAD = "from nexus_remote_service import RemoteServiceScript\n"
GOOD = f"""{HEAD}
class Mine(RemoteServiceScript):
    def start(self, token, timestamp=0, options=dict()):
        self.set_host_port("localhost", 5900 + self._index)
        return super(Mine, self).start(token, timestamp=timestamp, options=options)
    def stop(self):
        return super(Mine, self).stop()
def realize_service(name="", count=1, index=0, common_options=dict()):
    return Mine(name, count=count, index=index, common_options=common_options)
"""


def test_the_class_has_the_name_of_nexus() -> None:
    import nexus_remote_service

    assert nexus_remote_service.RemoteServiceScript is RemoteServiceScript


def test_every_slot_has_its_object(tmp_path: Path) -> None:
    write_script(tmp_path, "desk", GOOD)
    kind = one_type(tmp_path, "desk.py", count=3, name="Desk", display_base=7)
    made = realize_all(kind, tmp_path)
    assert [script._index for script in made] == [0, 1, 2]
    assert {(script._name, script._count) for script in made} == {("Desk", 3)}
    made[0]._common_options["display_base"] = 8
    assert made[1]._common_options == {"display_base": 7}
    assert kind.options == {"display_base": 7}
    assert made[2].state_folder == tmp_path
    assert made[1].start("token", options={"username": "ann"}) is True
    assert (made[1]._hostname, made[1]._port, made[1]._token) == ("localhost", 5901, "token")
    assert made[1].stop() is True
    assert not (tmp_path / "__pycache__").exists()


def test_the_script_of_the_nexus_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_script(tmp_path, "simple_vnc", (NEXUS / "simple_vnc.py.txt").read_text(encoding="utf-8"))
    (tmp_path / "service_config.json").write_bytes((NEXUS / "service_config.json").read_bytes())
    types = read_types(tmp_path / "service_config.json").types
    local = realize_all(types["Local Software Session"])
    assert len(local) == 2
    assert "Realizing SimpleVNC service: Local Software Session 2 1 " in capsys.readouterr().out
    assert len(realize_all(types["Cluster Node Session"])) == 1


def test_a_changed_script_is_loaded_anew(tmp_path: Path) -> None:
    path = write_script(tmp_path, "desk", GOOD)
    before = os.stat(path)
    assert type(realize(one_type(tmp_path, "desk.py"), 0)).__name__ == "Mine"
    write_script(tmp_path, "desk", GOOD.replace("Mine", "Thou"))  # of the same length, and at the same moment:
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert type(realize(one_type(tmp_path, "desk.py"), 0)).__name__ == "Thou"


def test_scripts_may_use_dataclasses(tmp_path: Path) -> None:
    text = "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass A:\n    a: int\n"
    write_script(tmp_path, "desk", text + GOOD)
    assert realize(one_type(tmp_path, "desk.py"), 0)


@pytest.mark.parametrize("name", ["", ".", "..", "../a.py", "/etc/a.py", "a/b.py", ".a.py", "a.txt", "a", "a.py\n"])
def test_only_plain_names_of_files(tmp_path: Path, name: str) -> None:
    with pytest.raises(ScriptError, match="must be the plain name of a file"):
        script_path(tmp_path, name)


def test_scripts_that_are_nowhere(tmp_path: Path) -> None:
    for name in ("nothing.py", "__init__.py"):
        with pytest.raises(ScriptError, match=f"script {name} is not in {tmp_path}, and none of that name ships"):
            script_path(tmp_path, name)


def test_a_script_of_ones_own_comes_before_one_that_ships(tmp_path: Path) -> None:
    assert script_path(tmp_path, "tigervnc.py").parent != tmp_path
    write_script(tmp_path, "tigervnc", GOOD)
    assert script_path(tmp_path, "tigervnc.py") == tmp_path / "tigervnc.py"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("raise ValueError('no')", r"does not load: ValueError: no \(line 1\)"),
        ("\nimport nothing_of_the_kind", r"does not load: ModuleNotFoundError: No module named .* \(line 2\)"),
        ("\n\ndef (", r"does not load: SyntaxError: invalid syntax \(line 3\)"),
        ("\0", "does not load: "),
        ("import sys\nsys.exit(3)", r"does not load: SystemExit: 3 \(line 2\)"),
        ("", r"has no function realize_service\("),
        ("realize_service = 1", r"has no function realize_service\("),
        ("def realize_service(name): pass", "realize_service failed for index 0: TypeError: "),
        ("def realize_service(**more):\n 1/0", r"failed for index 0: ZeroDivisionError: division by zero \(line 2\)"),
        ("def realize_service(**more): pass", "must return a RemoteServiceScript, and returned a NoneType"),
        ("def realize_service(**more): return 'yes'", "must return a RemoteServiceScript, and returned a str"),
        (GOOD.replace("def stop", "def end"), "Mine has no method stop of its own"),
        (GOOD.replace("def start", "def begin"), "Mine has no method start of its own"),
        (GOOD + "Mine.__init__ = lambda *args, **more: None", "Mine.__init__ must call that of RemoteServiceScript"),
    ],
)
def test_scripts_that_are_not_right(tmp_path: Path, text: str, reason: str) -> None:
    write_script(tmp_path, "desk", text)
    before = set(sys.modules)
    with pytest.raises(ScriptError, match=reason) as caught:
        realize(one_type(tmp_path, "desk.py"), 0)
    assert str(tmp_path / "desk.py") in str(caught.value)
    if "does not load" in reason:
        assert not {name for name in set(sys.modules) - before if name.startswith("x2gobroker_remote_script")}


def test_a_script_that_others_can_write_is_not_run(tmp_path: Path) -> None:
    path = write_script(tmp_path, "desk", "raise AssertionError('it was run')")
    path.chmod(0o664)
    with pytest.raises(ScriptError, match=f"can be written by others than its owner: chmod go-w {path}"):
        load_script(tmp_path, "desk.py")


def test_a_script_in_a_folder_that_others_can_write_is_not_run(tmp_path: Path) -> None:
    folder = tmp_path / "open" / "inner"
    folder.mkdir(parents=True)
    write_script(folder, "desk", "raise AssertionError('it was run')")
    folder.parent.chmod(0o777)
    with pytest.raises(ScriptError, match=f"chmod go-w {folder.parent}"):
        load_script(folder, "desk.py")
    folder.parent.chmod(0o1777)  # as /tmp: what is in it can only be renamed by its owner
    with pytest.raises(ScriptError, match="it was run"):
        load_script(folder, "desk.py")
    folder.chmod(0o1777)
    with pytest.raises(ScriptError, match="it was run"):
        load_script(folder, "desk.py")


def test_a_script_of_another_user_is_not_run(tmp_path: Path) -> None:
    path = write_script(tmp_path, "desk", GOOD)
    os.chown(path, 4711, 0)
    with pytest.raises(ScriptError, match="belongs to the user with the number 4711: give it to root"):
        load_script(tmp_path, "desk.py")


def test_a_link_is_no_script(tmp_path: Path) -> None:
    (tmp_path / "desk.py").symlink_to(write_script(tmp_path, "other", GOOD))
    with pytest.raises(ScriptError, match="is a link, or no file"):
        load_script(tmp_path, "desk.py")
    (tmp_path / "folder.py").mkdir()
    with pytest.raises(ScriptError, match="is a link, or no file"):
        load_script(tmp_path, "folder.py")


def test_a_file_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(ScriptError, match="is not there"):
        read_script(tmp_path / "gone.py")
