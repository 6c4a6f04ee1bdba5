"""`holdfast faults` as a process."""

import http.client
import json
import os
import signal
import subprocess
import sys
import urllib.request

import pytest

from holdfast.rooms.faults.rules.table import FAULTS


def start(folder, *arguments, **more):
    return subprocess.Popen(
        [sys.executable, "-m", "holdfast.cli", "faults", *arguments],
        cwd=folder,
        env={**os.environ, **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_is_and_ends_in_good_order(tmp_path, number):
    # A store that cannot be reached is none of its business: nothing is opened for it.
    process = start(tmp_path, "--port", "0", "--fault", "ok", HOLDFAST_URL="postgresql://u@127.0.0.1:1/none")
    try:
        said = process.stdout.readline()
        assert said.startswith("holdfast faults: http://127.0.0.1:")
        url = said.split(": ", 1)[1].strip()
        body = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "안녕"}]}).encode()
        request = urllib.request.Request(
            f"{url}/chat/completions", body, {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:
            assert "안녕" in json.load(answer)["choices"][0]["message"]["content"]
        process.send_signal(number)
        out, err = process.communicate()
    finally:
        process.kill()
    assert (process.returncode, out, err) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_it_misbehaves_on_the_loop_of_a_process_as_well(tmp_path):
    """The command runs on uvloop where that is installed, the tests in process on asyncio's own loop."""
    process = start(tmp_path, "--port", "0")
    try:
        url = process.stdout.readline().split(": ", 1)[1].strip()

        def get(fault):
            request = urllib.request.Request(f"{url}/models", headers={"x-fault": fault})
            with urllib.request.urlopen(request) as answer:
                return answer.read()

        whole = get("ok")
        assert json.loads(whole)["data"]
        assert get("slow-drip:0") == whole
        for fault in ("reset", "reset-mid-body"):
            with pytest.raises(ConnectionResetError):
                get(fault)
        with pytest.raises(http.client.IncompleteRead):
            get("cut-mid-stream:3")
        body = json.dumps({"model": "huge:20000000", "messages": []}).encode()
        with urllib.request.urlopen(urllib.request.Request(f"{url}/chat/completions", body)) as answer:
            assert len(json.load(answer)["choices"][0]["message"]["content"]) == 20_000_000
    finally:
        process.kill()
        process.communicate()


def test_the_settings_are_taken(tmp_path):
    process = start(tmp_path, HOLDFAST_FAULTS_PORT="0", HOLDFAST_FAULTS_HOST="::1")
    try:
        assert process.stdout.readline().startswith("holdfast faults: http://[::1]:")
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "abc"], "--port"),
        (["--port", "70000"], "--port"),
        (["--delay-ms", "-1"], "--delay-ms"),
        (["--fault", "nosuch"], "nosuch"),
    ],
)
def test_a_wrong_argument_is_one_line(tmp_path, arguments, said):
    process = start(tmp_path, *arguments)
    out, err = process.communicate()
    assert (process.returncode, out) == (2, "")
    assert said in err
    assert len(err.splitlines()) == 1


def test_the_list_has_every_fault(tmp_path):
    process = start(tmp_path, "--list")
    out, _ = process.communicate()
    assert process.returncode == 0
    assert [line.split()[0].partition(":")[0] for line in out.splitlines()] == [kind.name for kind in FAULTS]
