"""The addresses on the built app: upload, watch, ask, write, delete; for the caller's tenant alone."""

import hashlib
import json
from contextlib import asynccontextmanager

import httpx
import pytest

from holdfast.app import Holdfast

PATH = "/api/v2/knowledge"
TEXT = """# 한글날

한글날은 10월 9일이다. 훈민정음은 1443년에 창제되었다.

## 세종

세종대왕은 1450년에 죽었다."""
QUESTION = "훈민정음은 언제 창제되었는가?"
KEYS = {"acme": "key-of-acme", "beta": "key-of-beta"}


@asynccontextmanager
async def served(folder, **settings):
    """The app, started, and a client of the tenant `acme`."""
    hold = Holdfast(
        data_dir=str(folder),
        rooms=["llm", "knowledge"],
        identity={
            "api_keys": [
                {"sha256": hashlib.sha256(key.encode()).hexdigest(), "user": "ada", "tenant": tenant}
                for tenant, key in KEYS.items()
            ]
        },
        knowledge={"max_upload_bytes": 200_000, **settings},
    )
    await hold.start()
    transport = httpx.ASGITransport(hold)
    try:
        async with httpx.AsyncClient(
            transport=transport, base_url="http://x", headers={"x-api-key": KEYS["acme"]}
        ) as client:
            client.hold = hold
            yield client
    finally:
        await hold.stop()


@pytest.fixture
async def client(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    async with served(tmp_path / "data") as found:
        yield found


def events(response):
    """(name, id, data) of each event."""
    found = []
    for block in response.text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            found.append((fields["event"], fields.get("id"), json.loads(fields["data"])))
    return found


async def upload(client, name="hangul.md", content=TEXT, **more):
    """Upload as curl does, and wait for the job's last event."""
    answer = await client.post(f"{PATH}/documents", params={"name": name}, content=content.encode(), **more)
    assert answer.status_code == 202, answer.text
    told = answer.json()
    seen = events(await client.get(told["watch"]["events"]))
    return told, seen


async def test_a_document_is_uploaded_watched_and_answers_with_citations(client):
    told, seen = await upload(client, headers={"content-type": "text/markdown"})
    assert seen[0][0] == "queued"
    assert (seen[-1][0], seen[-1][2]["result"]["outcome"]) == ("succeeded", "serving")
    later = events(await client.get(told["watch"]["events"], headers={"last-event-id": seen[-2][1]}))
    assert later == seen[-1:]
    document = (await client.get(told["watch"]["document"])).json()
    assert (document["title"], document["version"], document["versions"][0]["state"]) == (
        "한글날",
        1,
        "serving",
    )
    answer = (await client.post(f"{PATH}/ask", json={"question": QUESTION})).json()
    assert answer["refused"] is False
    [cited] = answer["citations"]
    assert (cited["quote"], cited["document_id"]) == ("훈민정음은 1443년에 창제되었다.", told["document_id"])
    assert cited["section"] == ["한글날"]
    found = (await client.post(f"{PATH}/search", json={"query": "세종대왕은 언제 죽었나", "limit": 1})).json()
    passage = found["passages"][0]
    assert "1450년" in passage["text"]
    streamed = await client.post(
        f"{PATH}/ask", json={"question": QUESTION}, headers={"accept": "text/event-stream"}
    )
    assert streamed.headers["content-type"].startswith("text/event-stream")
    *tokens, (last, _, done) = events(streamed)
    assert (last, done["citations"]) == ("done", answer["citations"])
    assert "".join(data["text"] for _, _, data in tokens) == answer["answer"]


async def test_forms_and_json_are_uploads_too(client):
    form = await client.post(
        f"{PATH}/documents",
        files={"file": ("한글.txt", TEXT.encode())},
        data={"tags": "a, b", "title": "한글"},
    )
    assert form.status_code == 202
    shown = (await client.get(form.json()["watch"]["document"])).json()
    assert (shown["name"], shown["title"], shown["tags"]) == ("한글.txt", "한글", ["a", "b"])
    body = {"name": "j.txt", "text": "제이슨 문서이다.", "tags": ["b"]}
    said = await client.post(f"{PATH}/documents", json=body)
    assert said.status_code == 202
    await client.get(said.json()["watch"]["events"])
    again = await client.post(f"{PATH}/documents", json=body)
    assert (again.status_code, again.json()["unchanged"]) == (200, True)
    listed = (await client.get(f"{PATH}/documents", params={"tag": "b", "limit": 1})).json()
    assert ([one["name"] for one in listed["documents"]], listed["next_after"]) == (["j.txt"], "j.txt")
    rest = (await client.get(f"{PATH}/documents", params={"tag": "b", "after": "j.txt"})).json()
    assert ([one["name"] for one in rest["documents"]], rest["next_after"]) == (["한글.txt"], None)


async def test_another_tenant_sees_nothing(client):
    told, _ = await upload(client)
    other = {"x-api-key": KEYS["beta"]}
    assert (await client.get(f"{PATH}/documents", headers=other)).json()["documents"] == []
    for address in told["watch"].values():
        assert (await client.get(address, headers=other)).status_code == 404
    assert (await client.delete(told["watch"]["document"], headers=other)).status_code == 404
    asked = await client.post(f"{PATH}/ask", json={"question": QUESTION}, headers=other)
    assert asked.json()["refused"] is True
    named = {"query": "훈민정음", "documents": [told["document_id"]]}
    assert (await client.post(f"{PATH}/search", json=named, headers=other)).json()["passages"] == []
    assert (await client.delete(told["watch"]["document"])).status_code == 204
    assert (await client.get(told["watch"]["document"])).status_code == 404


async def test_a_report_is_written_with_citations(client):
    await upload(client)
    wanted = {
        "topic": "훈민정음",
        "sections": [{"heading": "창제", "prompt": "{topic} 창제를 설명하십시오."}],
    }
    started = await client.post(f"{PATH}/generate", json=wanted)
    assert started.status_code == 202
    seen = events(await client.get(started.json()["watch"]["events"]))
    assert "section 1" in [data.get("name") for _, _, data in seen]
    result = (await client.get(started.json()["watch"]["job"])).json()["result"]
    assert result["sections"][0]["heading"] == "창제"
    assert result["markdown"].startswith("# 훈민정음\n\n## 창제\n\n")
    assert [one["number"] for one in result["citations"]] == list(range(1, len(result["citations"]) + 1))
    assert any("1443년" in one["quote"] for one in result["citations"])
    assert (await client.post(f"{PATH}/generate", json={"topic": "x", "template": "poem"})).status_code == 422


async def test_500_megabytes_are_refused_and_never_held(client):
    sent = 0

    async def body():
        nonlocal sent
        for _ in range(8_000):
            sent += 65_536
            yield b"x" * 65_536

    told = await client.post(
        f"{PATH}/documents?name=big.txt", content=body(), headers={"content-length": str(500_000_000)}
    )
    assert (told.status_code, sent) == (413, 0)
    untold = await client.post(f"{PATH}/documents?name=big.txt", content=body())
    assert (untold.status_code, untold.json()["type"]) == (
        413,
        "urn:holdfast:problem:knowledge-upload-too-large",
    )
    assert sent <= 200_000 + 2 * 65_536


@pytest.mark.parametrize(
    ("content", "kind", "query", "status"),
    [
        (b"", "text/plain", "?name=a", 422),
        (b"x", "text/plain", "", 422),
        (b"{", "application/json", "", 400),
        (b'{"name": "a"}', "application/json", "", 422),
        (b'{"name": "a", "text": "' + b"x" * 4_000_000 + b'"}', "application/json", "", 413),
        (b"x", "multipart/form-data", "", 400),
        (b"--b\r\n\r\nx", "multipart/form-data; boundary=b", "", 400),
        (
            b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\nx\r\n--b--',
            "multipart/form-data; boundary=b",
            "",
            422,
        ),
    ],
)
async def test_what_is_no_upload_is_refused(client, content, kind, query, status):
    answer = await client.post(f"{PATH}/documents{query}", content=content, headers={"content-type": kind})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["hint"]


async def test_an_administrator_erases_a_tenant(client):
    await upload(client)
    erased = await client.delete("/admin/knowledge/tenants/acme")
    assert erased.json() == {"documents": 1}
    assert (await client.get(f"{PATH}/documents")).json()["documents"] == []


async def test_the_addresses_are_described(client):
    document = (await client.get("/openapi.json")).json()
    content = document["paths"][f"{PATH}/documents"]["post"]["requestBody"]["content"]
    assert set(content) == {"application/octet-stream", "multipart/form-data", "application/json"}


async def test_a_job_is_cancelled_by_its_owner(client):
    told, _ = await upload(client)
    assert (await client.post(f"{told['watch']['job']}/cancel")).status_code == 202
    assert (await client.post(f"{PATH}/jobs/nobody/cancel")).status_code == 404


@pytest.mark.parametrize("question", ["", " ", "가" * 4_001, "a\0b"])
async def test_a_bad_question_is_refused_before_a_stream_begins(client, question):
    answer = await client.post(f"{PATH}/ask", json={"question": question, "stream": True})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


async def test_a_failed_version_has_no_text(client):
    told, seen = await upload(client, "a.pdf", "%PDF-1.7 broken", headers={"content-type": "application/pdf"})
    assert seen[-1][0] == "failed"
    found = await client.get(f"{PATH}/documents/{told['document_id']}/text", params={"version": 1})
    assert found.status_code == 404
