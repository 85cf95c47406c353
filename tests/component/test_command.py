"""The one door to processes, with real ones."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ci_envs import command
from ci_envs.command import Command, run
from ci_envs.errors import InterruptedRun, ToolMissing, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.component

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="process groups and flock are POSIX")


def python(source: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-I", "-c", source, *arguments)


def is_alive(pid: int) -> bool:
    """Whether it runs; one that has ended and was not yet waited for by init does not count."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")


def wait_for(condition: object, seconds: float = 10.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "GRACE_SECONDS", 0.5)


@pytest.fixture
def stoppable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """After stop_all every later command of the process is refused, which other tests must not meet."""
    yield
    command._LIVE.stopping = False


def test_both_streams_and_the_exit_code_come_back() -> None:
    outcome = run(Command(python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")))

    assert (outcome.stdout, outcome.stderr, outcome.returncode) == ("out\n", "err\n", 3)
    assert not outcome


def test_arguments_arrive_as_they_are_and_no_shell_reads_them() -> None:
    words = ("a b", "$(echo x)", "; rm -rf /", "*", "", "'\"", "-n", "ü\n")

    outcome = run(Command(python("import sys, json; print(json.dumps(sys.argv[1:]))", *words)))

    import json

    assert tuple(json.loads(outcome.stdout)) == words


def test_a_child_sees_only_the_variables_it_was_given() -> None:
    given = {"ONLY": "this"} | ({"SYSTEMROOT": os.environ["SYSTEMROOT"]} if sys.platform == "win32" else {})

    outcome = run(Command(python("import os; print(sorted(os.environ))"), env=given))

    assert "ONLY" in outcome.stdout
    assert "PATH" not in outcome.stdout


def test_nothing_waits_for_a_person() -> None:
    assert run(Command(python("import sys; print(repr(sys.stdin.read()))"), timeout=20)).stdout == "''\n"


def test_input_is_handed_over_and_closed() -> None:
    assert run(Command(python("import sys; print(len(sys.stdin.read()))"), stdin="x" * 300_000)).stdout == "300000\n"


def test_a_child_that_closes_its_input_early_is_no_error() -> None:
    assert run(Command(python("import sys; sys.stdin.close()"), stdin="x" * 1_000_000))


def test_a_child_that_never_reads_its_input_still_meets_its_time_limit(short_grace: None) -> None:
    begun = time.monotonic()

    outcome = run(Command(python("import time; time.sleep(30)"), stdin="x" * 1_000_000, timeout=0.5))

    assert outcome.timed_out
    assert time.monotonic() - begun < 10


def test_a_missing_program_is_a_missing_tool() -> None:
    with pytest.raises(ToolMissing, match="no-such-program-here"):
        run(Command(("no-such-program-here",)))


def test_a_missing_folder_is_not_mistaken_for_a_missing_program(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        run(Command(python("pass"), cwd=tmp_path / "gone"))


@posix_only
@pytest.mark.parametrize(("text", "mode"), [("", 0o755), ("plain text\x00\x01", 0o755), ("#!/bin/sh\n", 0o644)])
def test_a_file_that_cannot_be_run_is_a_missing_tool(tmp_path: Path, text: str, mode: int) -> None:
    program = tmp_path / "program"
    program.write_text(text)
    program.chmod(mode)

    with pytest.raises(ToolMissing, match="program"):
        run(Command((str(program),)))


def test_a_word_with_a_nul_is_the_users_mistake() -> None:
    with pytest.raises(UsageError, match="NUL"):
        run(Command(python("pass", "a\0b")))


@posix_only
def test_a_time_limit_ends_grandchildren_too(tmp_path: Path, short_grace: None) -> None:
    note = tmp_path / "pid"
    source = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "open(sys.argv[1], 'w').write(str(child.pid))\n"
        "time.sleep(60)\n"
    )

    outcome = run(Command(python(source, str(note)), timeout=3))

    assert outcome.timed_out
    assert not outcome
    grandchild = int(note.read_text())
    wait_for(lambda: not is_alive(grandchild))


@posix_only
def test_a_child_that_ignores_the_polite_signal_is_killed(tmp_path: Path, short_grace: None) -> None:
    begun = time.monotonic()

    source = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    )
    outcome = run(Command(python(source), timeout=1.5))

    assert outcome.timed_out
    assert outcome.stdout == "up\n"
    assert outcome.returncode == -9
    assert time.monotonic() - begun < 15


def test_what_was_said_before_the_time_limit_is_kept(tmp_path: Path, short_grace: None) -> None:
    log = tmp_path / "log"

    outcome = run(Command(python("import time; print('begun', flush=True); time.sleep(60)"), timeout=2, log=log))

    assert outcome.stdout == "begun\n"
    assert "begun\n" in log.read_text()


@posix_only
@pytest.mark.parametrize("session", [False, True], ids=["in the group", "in a session of its own"])
def test_a_daemon_left_behind_with_the_streams_open_does_not_hold_us(session: bool) -> None:
    source = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(9)'], start_new_session={session})\n"
        "print(child.pid)\n"
    )
    begun = time.monotonic()

    outcome = run(Command(python(source)))

    assert outcome
    assert time.monotonic() - begun < 12
    if session:
        os.kill(int(outcome.stdout), 9)  # ours to clean up: it left the group, so nothing else ends it
    else:
        wait_for(lambda: not is_alive(int(outcome.stdout)))


def test_output_is_logged_under_its_command_and_without_secrets(tmp_path: Path) -> None:
    log = tmp_path / "deep" / "log"
    address = "https://me:hunter2secret@index.example/simple"
    environ = {**os.environ, "INDEX_TOKEN": "canary-7391"}

    source = "import os; print(os.environ['INDEX_TOKEN'], 'https://me:hunter2secret@index.example/simple')"
    outcome = run(Command(python(source, "--index", address), env=environ, log=log))

    assert outcome.stdout == "*** https://***@index.example/simple\n"
    text = log.read_text()
    assert text.startswith("$ ")
    assert "index.example" in text
    assert "hunter2secret" not in text
    assert "canary-7391" not in text


def test_data_for_this_program_comes_back_as_it_is_and_is_in_no_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    environ = {**os.environ, "DB_PASSWORD": "postgres"}
    code = "import sys; print('psycopg-' + sys.argv[1]); print('asked of', sys.argv[1], file=sys.stderr)"

    outcome = run(Command(python(code, "postgres"), env=environ, log=log, raw=True))

    assert outcome.stdout == "psycopg-postgres\n"
    assert "psycopg-p" not in log.read_text()
    assert "psycopg-*" not in log.read_text()
    assert log.read_text().endswith("asked of ***\n")


def test_two_commands_share_a_log_one_after_the_other(tmp_path: Path) -> None:
    log = tmp_path / "log"

    run(Command(python("print('one')"), log=log))
    run(Command(python("print('two')"), log=log))

    lines = [line for line in log.read_text().splitlines() if not line.startswith("$ ")]
    assert lines == ["one", "two"]


def test_a_log_that_cannot_be_written_leaves_no_process_behind(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()

    with pytest.raises(OSError, match="log"):
        run(Command(python("import time; time.sleep(60)"), log=tmp_path / "log"))

    assert not command._LIVE.processes


def test_huge_output_is_kept_up_to_a_limit_with_its_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(command, "CAPTURE_LIMIT", 1_000_000)
    log = tmp_path / "log"

    source = "for n in range(400_000): print(f'line {n}')\nprint('the reason it failed')"
    outcome = run(Command(python(source), log=log))

    assert len(outcome.stdout) <= 1_000_000
    assert outcome.tail(1) == "the reason it failed"
    assert log.stat().st_size > 4_000_000


def test_output_without_any_line_end_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "CAPTURE_LIMIT", 3_000_000)

    outcome = run(Command(python("import sys\nfor _ in range(200): sys.stdout.write('x' * 100_000)")))

    assert 1_000_000 < len(outcome.stdout) <= 3_000_000


def test_bytes_that_are_no_utf8_are_replaced() -> None:
    source = r"import sys; sys.stdout.buffer.write(b'caf\xe9 \xe2\x82\xac\n')"

    assert run(Command(python(source))).stdout == "caf\ufffd €\n"


def test_stopping_from_another_thread_ends_the_child_and_refuses_the_next(stoppable: None) -> None:
    begun = time.monotonic()
    threading.Timer(1.0, command.stop_all).start()

    with pytest.raises(InterruptedRun):
        run(Command(python("import time; time.sleep(60)")))
    with pytest.raises(InterruptedRun):
        run(Command(python("pass")))

    assert time.monotonic() - begun < 15


@posix_only
def test_stopping_ends_every_child_at_once_and_what_these_started(
    stoppable: None, short_grace: None, tmp_path: Path
) -> None:
    source = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "open(sys.argv[1], 'w').write(str(child.pid))\n"
        "time.sleep(60)\n"
    )
    notes = [tmp_path / str(n) for n in range(3)]
    ends: list[type[BaseException]] = []

    def one(note: Path) -> None:
        try:
            run(Command(python(source, str(note))))
        except InterruptedRun as stop:
            ends.append(type(stop))

    threads = [threading.Thread(target=one, args=(note,)) for note in notes]
    for thread in threads:
        thread.start()
    wait_for(lambda: all(note.exists() and note.read_text() for note in notes))

    command.stop_all()
    for thread in threads:
        thread.join(10)

    assert ends == [InterruptedRun] * 3
    for note in notes:
        wait_for(lambda note=note: not is_alive(int(note.read_text())))


@posix_only
def test_a_signal_that_arrives_while_a_child_is_being_started_does_not_hang(stoppable: None) -> None:
    # In a process of its own, since what is tried is its signal handler, which runs in the main thread: there,
    # wherever that is, also between the start of a child and its entry in the list of those that run.
    source = (
        "import os, signal, sys, threading, time\n"
        "from ci_envs import command\n"
        "from ci_envs.errors import InterruptedRun\n"
        "signal.signal(signal.SIGTERM, lambda *_: command.stop_all())\n"
        "original = command.subprocess.Popen\n"
        "class Slow(original):\n"
        "    def __init__(self, *arguments, **named):\n"
        "        super().__init__(*arguments, **named)\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        time.sleep(0.2)\n"
        "command.subprocess.Popen = Slow\n"
        "try:\n"
        "    command.run(command.Command(argv=(sys.executable, '-c', 'import time; time.sleep(60)')))\n"
        "except InterruptedRun:\n"
        "    print('stopped')\n"
    )

    outcome = run(Command((sys.executable, "-c", source), timeout=30))

    assert outcome.stdout == "stopped\n", outcome.stderr


@posix_only
def test_a_lock_that_a_child_holds_outlives_its_parent(tmp_path: Path) -> None:
    import fcntl

    path = tmp_path / "lock"
    ready = tmp_path / "ready"
    # The orchestrator: takes the lock, hands it to a child, and is killed while the child still writes.
    source = (
        "import fcntl, os, sys\n"
        "from ci_envs.command import Command, run\n"
        "lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)\n"
        "fcntl.flock(lock, fcntl.LOCK_EX)\n"
        "child = 'import os, sys, time; open(sys.argv[1], \"w\").write(str(os.getppid())); time.sleep(3)'\n"
        "run(Command((sys.executable, '-c', child, sys.argv[2]), hold=(lock,)))\n"
    )

    def orchestrate() -> None:
        run(Command((sys.executable, "-c", source, str(path), str(ready))))

    thread = threading.Thread(target=orchestrate)
    thread.start()
    wait_for(lambda: ready.exists() and ready.read_text())
    os.kill(int(ready.read_text()), 9)

    with path.open("r+") as own:
        with pytest.raises(BlockingIOError):
            fcntl.flock(own, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(own, fcntl.LOCK_EX)  # free once the child has ended
    thread.join(20)
    assert not thread.is_alive()


@posix_only
def test_a_lock_is_not_held_by_a_child_that_was_not_given_it(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    try:
        listed = "import os; print(sorted(os.listdir('/proc/self/fd' if os.path.isdir('/proc') else '/dev/fd')))"
        without, given = (run(Command(python(listed), hold=hold)).stdout for hold in ((), (descriptor,)))
    finally:
        os.close(descriptor)

    assert f"'{descriptor}'" in given
    assert f"'{descriptor}'" not in without


def test_a_background_process_goes_on_until_it_is_ended() -> None:
    background = command.start(Command(python("import time; time.sleep(60)")))
    assert background.running

    background.end()

    assert not background.running
    assert not command._LIVE.processes


@posix_only
def test_a_background_process_sees_the_end_of_its_input(tmp_path: Path) -> None:
    log = tmp_path / "log"
    echo = Command(python("import sys; print(repr(sys.stdin.read()))"), log=log)
    background = command.start(echo, outlives_us=True)

    background.tell("done\n")
    background.tell("too late\n")

    assert background.wait(20)
    assert log.read_text() == "'done\\n'\n"


def test_what_is_left_to_itself_goes_on_and_nobody_is_warned(tmp_path: Path) -> None:
    """subprocess warns of one that has not ended when the last reference to it goes."""
    script = "import os, sys, time; sys.stdin.read(); time.sleep(0.5); open(sys.argv[1], 'w').write(str(os.getpid()))"
    command.start(Command(python(script, str(tmp_path / "said"))), outlives_us=True).leave()
    gc.collect()
    wait_for((tmp_path / "said").exists)


@posix_only
def test_a_background_process_is_ended_when_all_are_but_for_one_that_cleans_up(stoppable: None) -> None:
    ours, cleaner = (command.start(Command(python("input()")), outlives_us=outlives) for outlives in (False, True))

    command.stop_all()

    assert ours.wait(5)
    assert cleaner.running
    ours.end()
    with pytest.raises(InterruptedRun):
        command.start(Command(python("pass")))
    cleaner.end()


def test_a_background_program_that_is_not_there_is_a_missing_tool() -> None:
    with pytest.raises(ToolMissing, match="no-such-program-here"):
        command.start(Command(("no-such-program-here",)))


def test_what_is_no_process_ends_with_all_others_unless_it_was_taken_back(stoppable: None) -> None:
    ended: list[str] = []
    ends = {name: (lambda name=name: ended.append(name)) for name in ("a", "b")}
    for end in ends.values():
        command.ends_with_us(end)
    command.no_longer_ours(ends["b"])
    command.no_longer_ours(ends["b"])

    command.stop_all()

    assert ended == ["a"]
    with pytest.raises(InterruptedRun):
        command.ends_with_us(ends["a"])
    command.no_longer_ours(ends["a"])
