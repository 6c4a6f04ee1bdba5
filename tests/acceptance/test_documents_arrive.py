"""The whole way of a document: uploaded, watched, a worker killed in the middle, asked about, cited.

The same over workers of our own and over Celery on each broker, with Flower reading what Celery's workers do.
"""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from tests.acceptance.serving import environment, serving
from tests.brokers import RabbitServer, brokers, given_url
from tests.free_ports import free_port
from tests.servers import running
from tests.waiting import wait_until

UPLOADED = 12
PATIENCE_S = 120.0
FACTS = {
    "hangul.md": (
        "# 훈민정음\n\n훈민정음은 1443년에 세종대왕이 창제하였다. 1446년 음력 9월에 반포되었다.\n",
        "훈민정음은 누가 창제하였나?",
        "세종대왕",
    ),
    "lighthouse.txt": (
        "Henry Winstanley built the first Eddystone Lighthouse in 1698. It stood on a reef off Plymouth.\n",
        "Who built the Eddystone Lighthouse?",
        "Winstanley",
    ),
}
ENGINES = ["embedded", *(f"celery on {broker}" for broker in brokers())]


class Service:
    """A server that works nothing off itself, and its workers."""

    def __init__(self, served, folder, settings, engine):
        self.served = served
        self.folder = folder
        self.settings = settings
        self.engine = engine
        self.processes = []

    def start(self, *line, **more):
        """A process of this service, in a group of its own."""
        process = subprocess.Popen(
            [sys.executable, "-m", *line],
            cwd=self.folder,
            env=environment(self.folder, **self.settings, **more),
            stdout=(self.folder / "workers.log").open("ab"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def worker(self):
        more = ("--engine", "celery", "--pool", "threads") if self.engine == "celery" else ()
        return self.start("holdfast.cli", "worker", "--concurrency", "1", *more)

    def kill(self, process):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)

    def upload(self, name, text):
        reply = self.served.request(
            "POST", f"/api/v2/knowledge/documents?name={name}", text.encode(), {"Content-Type": "text/plain"}
        )
        assert reply.status == 202, reply.body
        return reply.json()

    def ask(self, question):
        reply = self.served.request(
            "POST", "/api/v2/knowledge/ask", {"question": question}, {"Content-Type": "application/json"}
        )
        assert reply.status == 200, reply.body
        return reply.json()


class Watching(threading.Thread):
    """Follows a job's events over SSE, comes back with Last-Event-ID when it is cut, until the job ends."""

    def __init__(self, port, job_id):
        super().__init__(daemon=True)
        self.port = port
        self.path = f"/api/v1/jobs/{job_id}/events"
        self.seen = []
        self.start()

    @property
    def kinds(self):
        return [kind for _, kind in self.seen]

    def run(self):
        last, deadline = "0", time.monotonic() + PATIENCE_S
        while not self.kinds or self.kinds[-1] not in ("succeeded", "failed", "cancelled"):
            assert time.monotonic() < deadline, self.seen
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
            with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
                connection.request("GET", self.path, headers={"Last-Event-ID": last})
                last = self._read(connection.getresponse(), last)

    def _read(self, response, last):
        event = {}
        for line in response:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name and value:
                event[name] = value
            elif not line.strip() and "id" in event:
                last = event["id"]
                self.seen.append((int(last), event["event"]))
                event = {}
        return last


def long_text(number):
    """Enough to read and to cut that a worker can be killed over it."""
    lines = (
        f"Paragraph {line} of report {number}. 보고서 {number}의 {line}번째 문단이다.\n\n"
        for line in range(700)
    )
    return f"# Report {number}\n\n" + "".join(lines)


@pytest.fixture(params=ENGINES)
def service(request, tmp_path):
    kind, _, broker = request.param.partition(" on ")
    settings = {"HOLDFAST_JOBS_WORKERS": "false", "HOLDFAST_JOBS_PATIENCE_S": "3600"}
    with contextlib.ExitStack() as stack:
        if kind == "celery":
            url = given_url() if broker == "rabbitmq" else request.getfixturevalue("own_redis").url
            url = url or stack.enter_context(running(RabbitServer())).url
            settings |= {"HOLDFAST_JOBS_ENGINE": "celery", "HOLDFAST_JOBS_BROKER_URL": url}
        served = stack.enter_context(serving(tmp_path, **settings))
        service = Service(served, tmp_path, settings, kind)
        stack.callback(lambda: [service.kill(process) for process in service.processes])
        yield service


def test_documents_arrive_though_a_worker_is_killed(service):
    served = service.served
    flower_port = free_port()
    if service.engine == "celery":
        service.start(
            "celery", "-A", "holdfast.celery", "flower", f"--port={flower_port}", "--address=127.0.0.1",
            FLOWER_UNAUTHENTICATED_API="true",
        )  # fmt: skip
        wait_until(lambda: flower(flower_port, "workers") is not None, lambda: log(service))
    first, _ = service.worker(), service.worker()
    taken = [service.upload(f"report-{number}.txt", long_text(number)) for number in range(UPLOADED)]
    taken += [service.upload(name, text) for name, (text, _, _) in FACTS.items()]
    watching = [Watching(served.port, each["job_id"]) for each in taken]
    wait_until(lambda: sum("succeeded" in each.kinds for each in watching) >= 3, lambda: log(service))
    service.kill(first)
    for each in watching:
        each.join(PATIENCE_S)
    assert [each.kinds[-1] for each in watching if each.kinds] == ["succeeded"] * len(taken), log(service)
    for each in watching:
        numbers = [number for number, _ in each.seen]
        assert numbers == sorted(set(numbers))
        assert {"queued", "started", "progress"} <= set(each.kinds)

    for each in taken:
        shown = served.get(f"/api/v2/knowledge/documents/{each['document_id']}").json()
        assert shown["state"] == "serving", shown
    for name, (_, question, fact) in FACTS.items():
        answer = service.ask(question)
        assert fact in answer["answer"], answer
        cited = answer["citations"][0]
        assert cited["name"] == name
        text = served.get(f"/api/v2/knowledge/documents/{cited['document_id']}/text").body.decode()
        assert text[cited["start"] : cited["end"]] == cited["quote"]
    assert service.ask("주식 시장의 공매도 규정은 어떻게 되나?")["refused"]

    if service.engine == "celery":
        job_id = taken[-1]["job_id"]
        wait_until(
            lambda: (flower(flower_port, "tasks") or {}).get(job_id, {}).get("state") == "SUCCESS",
            lambda: json.dumps(flower(flower_port, "tasks")),
        )


def flower(port, what):
    """What Flower's API says, or None while it does not answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException, ValueError):
        connection.request("GET", f"/api/{what}")
        return json.loads(connection.getresponse().read())
    return None


def log(service):
    return (service.folder / "workers.log").read_text(errors="replace")[-5000:] + "".join(
        service.served.stderr
    )
