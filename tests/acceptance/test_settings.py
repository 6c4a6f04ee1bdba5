"""Settings from the outside: what is wrong is one line and exit code 2, and nothing starts."""

import socket
from pathlib import Path

import pytest

from tests.acceptance.serving import run_cli, serving


@pytest.mark.parametrize(
    ("file", "env", "says"),
    [
        ("prot = 1\n", {}, "prot"),
        ("[server]\nprot = 1\n", {}, "port"),
        ("[server]\nworkers = 0\n", {}, "server.workers"),
        ("[server\n", {}, "TOML"),
        ("", {"HOLDFAST_SERVER_PRT": "1"}, "HOLDFAST_SERVER_PORT"),
        ("", {"HOLDFAST_ROOMS": '["kitchen"]'}, "kitchen"),
        ("", {"HOLDFAST_URL": "mysql://localhost/x"}, "sqlite://"),
        ("", {"HOLDFAST_CONFIG": "nowhere.toml"}, "nowhere.toml"),
        ("[identity]\njwt_secret = 'swordfish'\n", {}, "jwt_algorithms"),
    ],
)
@pytest.mark.parametrize("verb", ["serve", "recommend"])
def test_a_wrong_setting_stops_the_start_and_is_named(
    tmp_path: Path, file: str, env: dict[str, str], says: str, verb: str
) -> None:
    (tmp_path / "holdfast.toml").write_text(file, "utf-8")
    words = ("serve", "--port", "0") if verb == "serve" else ("recommend", "train")
    done = run_cli(tmp_path, *words, **env)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert says in done.stderr
    assert "swordfish" not in done.stderr
    assert not (tmp_path / "data").exists()


def test_config_prints_every_value_its_source_and_no_secret(tmp_path: Path) -> None:
    (tmp_path / "holdfast.toml").write_text('admin_token = "swordfish"\n[edge]\nsample_rate = 0.5\n', "utf-8")
    done = run_cli(tmp_path, "config", HOLDFAST_SERVER_PORT="9000")
    assert done.returncode == 0
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert "HOLDFAST_SERVER_PORT" in lines["server.port"]
    assert "holdfast.toml" in lines["edge.sample_rate"]
    assert lines["server.host"].endswith("default")
    assert "***" in lines["admin_token"]
    assert "swordfish" not in done.stdout


def test_check_tells_warnings_from_errors(tmp_path: Path) -> None:
    done = run_cli(tmp_path, "check", HOLDFAST_ENVIRONMENT="production")
    assert done.returncode == 0
    assert "warning  admin_token" in done.stdout
    broken = run_cli(tmp_path, "check", HOLDFAST_URL="postgresql://nobody@127.0.0.1:1/none")
    assert broken.returncode == 1
    assert "error" in broken.stdout


def test_a_taken_port_says_so(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run_cli(tmp_path, "serve", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert "server.port" in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_a_data_dir_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = run_cli(tmp_path, "serve", "--port", "0", HOLDFAST_DATA_DIR=str(tmp_path / "file" / "data"))
    assert done.returncode == 2
    assert "data_dir" in done.stderr


def test_production_closes_the_admin_addresses(tmp_path: Path) -> None:
    settings = {"HOLDFAST_ENVIRONMENT": "production", "HOLDFAST_ADMIN_TOKEN": "swordfish"}
    with serving(tmp_path, **settings) as served:
        assert served.get("/api/v1/status").status == 401
        assert served.get("/api/v1/status", Authorization="Bearer swordfish").status == 200
        assert served.get("/health").status == 200
        assert served.get("/api/v2/recommend/trending", X_User_ID="mina").status == 200
        assert served.stop() == 0
