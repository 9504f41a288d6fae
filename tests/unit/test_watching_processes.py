"""What is seen of processes from outside: their output, their stacks, their memory."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import jobkit
from jobkit.worker import memory
from jobkit.worker.output import Output
from jobkit.worker.stacks import Stacks, readable

MB = 1024 * 1024

# Output ---------------------------------------------------------------------------------------------------------------


def writing(output: Output, code: str) -> tuple[tuple[str, ...], int]:
    """The last lines of a program, and its exit code."""
    with output.opened() as (stderr, tail):
        program = subprocess.Popen([sys.executable, "-c", code], stderr=stderr)
    code_of_exit = program.wait()
    assert tail.over.wait(10)
    return tail.lines(), code_of_exit


def test_what_a_child_writes_is_passed_on_and_its_end_kept(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        lines, _ = writing(Output(log.fileno()), "import sys\nfor n in range(1000): print('line', n, file=sys.stderr)")
    assert lines == tuple(f"line {n}" for n in range(980, 1000))
    assert (tmp_path / "log").read_text().splitlines()[:2] == ["line 0", "line 1"]
    assert (tmp_path / "log").read_text().count("\n") == 1000


def test_much_output_without_a_line_end_costs_no_memory(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        output = Output(log.fileno())
        before = memory.resident()
        lines, code = writing(output, "import os\nfor _ in range(40): os.write(2, b'x' * 1_000_000)")
        assert memory.resident() - before < 20 * MB
    assert code == 0
    assert (tmp_path / "log").stat().st_size == 40_000_000
    assert sum(map(len, lines)) <= 16 * 1024


def test_a_reader_of_ours_that_has_gone_holds_up_no_child() -> None:
    read, write = os.pipe()
    os.close(read)
    lines, code = writing(
        Output(write), "import os; os.write(2, b'x' * 200_000); os.write(2, bytes([10])); os.write(2, b'end')"
    )
    os.close(write)
    assert (lines[-1], code) == ("end", 0)


def test_several_children_are_passed_on_at_once(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        output = Output(log.fileno())
        told: list[tuple[str, ...]] = []
        programs = [
            threading.Thread(target=lambda n=n: told.append(writing(output, f"import os; os.write(2, b'{n}')")[0]))
            for n in range(4)
        ]
        for program in programs:
            program.start()
        for program in programs:
            program.join()
    assert sorted(told) == [("0",), ("1",), ("2",), ("3",)]


# Stacks ---------------------------------------------------------------------------------------------------------------

STUCK = """
import sys
from itertools import repeat
from jobkit.worker.stacks import write_into
write_into(int(sys.argv[1]))
def stuck():
    print("stuck", flush=True)
    {stuck}
stuck()
"""


@pytest.mark.parametrize("code", ["sum(repeat(0, 10**12))", "import time; time.sleep(60)"])
def test_where_a_process_hangs_is_told_whatever_it_does(code: str) -> None:
    stacks = Stacks()
    program = subprocess.Popen(
        [sys.executable, "-c", STUCK.format(stuck=code), str(stacks.descriptor)],
        pass_fds=(stacks.descriptor,),
        stdout=subprocess.PIPE,
    )
    try:
        assert program.stdout is not None
        assert program.stdout.readline() == b"stuck\n"
        for _ in range(2):
            stacks.ask(program.pid)
            text = asyncio.run(stacks.told())
            assert text.count("in stuck") == 1, "each time anew"
    finally:
        program.kill()
        program.communicate()
    stacks.close()
    assert stacks.text() == "", "what was told then is not where it died"


def test_a_fatal_error_is_in_the_file_after_the_death() -> None:
    stacks = Stacks()
    code = STUCK.format(stuck="import ctypes; ctypes.string_at(0)")
    program = subprocess.run(
        [sys.executable, "-c", code, str(stacks.descriptor)],
        pass_fds=(stacks.descriptor,),
        capture_output=True,
        check=False,
    )
    assert program.returncode < 0
    assert stacks.text().startswith("Fatal Python error: Segmentation fault")
    stacks.close()


def test_a_crash_while_it_is_asked_is_not_forgotten() -> None:
    stacks = Stacks()
    program = subprocess.Popen(
        [sys.executable, "-c", STUCK.format(stuck="import time; time.sleep(60)"), str(stacks.descriptor)],
        pass_fds=(stacks.descriptor,),
        stdout=subprocess.PIPE,
    )
    assert program.stdout is not None
    assert program.stdout.readline() == b"stuck\n"
    program.send_signal(signal.SIGSEGV)
    program.communicate()
    asyncio.run(stacks.told())
    assert "Segmentation fault" in stacks.text()
    stacks.close()


def test_only_what_is_not_ours_is_left_of_a_dump() -> None:
    ours = str(Path(jobkit.__file__).parent)
    dump = f"""Fatal Python error: Segmentation fault

Thread 0x01 (most recent call first):
  File "/usr/lib/python3/threading.py", line 327 in wait
  File "{ours}/worker/reporter.py", line 86 in _report_for_ever
  File "/usr/lib/python3/threading.py", line 1002 in _bootstrap

Current thread 0x02 (most recent call first):
  File "{ours}/progress.py", line 7 in track
  File "/srv/reports.py", line 136 in perform
  File "{ours}/worker/child.py", line 202 in main
  File "<frozen runpy>", line 88 in _run_code

Extension modules: msgspec._core (total: 1)
"""
    assert (
        readable(dump)
        == f"""Fatal Python error: Segmentation fault

Current thread 0x02 (most recent call first):
  File "{ours}/progress.py", line 7 in track
  File "/srv/reports.py", line 136 in perform

Extension modules: msgspec._core (total: 1)
"""
    )


def test_a_process_that_has_gone_tells_nothing() -> None:
    stacks = Stacks()
    program = subprocess.Popen([sys.executable, "-c", ""])
    program.wait()
    stacks.ask(program.pid)
    assert stacks.text() == ""
    stacks.close()


# Memory ---------------------------------------------------------------------------------------------------------------


def test_memory_is_that_of_a_process_and_all_that_it_started() -> None:
    greedy = f"kept = bytearray({50 * MB}); print('up', flush=True); input()"
    starter = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {greedy!r}])"
    program = subprocess.Popen(
        [sys.executable, "-c", starter], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "up\n"
    assert memory.used_by(program.pid) > 50 * MB
    program.communicate("\n")
    assert memory.used_by(program.pid) == memory.resident(program.pid) == 0


def test_there_is_room_and_the_kernel_counts() -> None:
    assert memory.resident() < memory.room()
    counts = memory.KernelCounts()
    assert counts.risen() == ""
