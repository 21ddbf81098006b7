"""The connection and the calls, against a real HTTP server."""

import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubecast.config.schedules import ConnectionSettings
from kubecast.errors import (
    ClusterConflict,
    ClusterError,
    ClusterForbidden,
    ClusterNotFound,
    ClusterUnreachable,
    ConfigError,
)
from kubecast.pipelines.running.client import Client, ensure
from kubecast.pipelines.running.connection import IN_CLUSTER, connect
from tests.support.clusters import client
from tests.support.servers.kfp_api import Failure, KfpApi

SECRET = "not-for-messages"  # noqa: S105


@pytest.fixture
def api() -> Iterator[KfpApi]:
    with KfpApi() as server:
        yield server


def test_without_host_it_says_what_to_set() -> None:
    with pytest.raises(ConfigError, match=r"set --host, KUBECAST_KFP_HOST or cluster\.connection\.host"):
        connect(ConnectionSettings(), {})


def test_in_a_pod_the_host_and_the_token_are_those_of_its_cluster(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(f"{SECRET}\n")
    found = connect(ConnectionSettings(), {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, token)
    assert (found.host, found.dashboard, found.token_file) == (IN_CLUSTER, IN_CLUSTER, token)
    assert SECRET not in repr(found)


def test_token_of_the_pod_is_read_again_for_each_request(api: KfpApi, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    there = Client(connect(ConnectionSettings(host=api.host), {}, token))
    api.token = "first"  # noqa: S105
    there.recurring_runs()
    token.write_text("second\n")
    api.token = "second"  # noqa: S105
    assert there.recurring_runs() == []


def test_token_file_goes_before_the_one_of_the_pod(api: KfpApi, tmp_path: Path) -> None:
    (tmp_path / "pod").write_text("of-the-pod")
    (tmp_path / "mine").write_text("mine")
    settings = ConnectionSettings(host=api.host, token_file=str(tmp_path / "mine"))
    Client(connect(settings, {}, tmp_path / "pod")).recurring_runs()
    assert api.requests[0].headers["authorization"] == "Bearer mine"


def test_token_and_cookies_of_the_environment_are_sent_and_go_before_any_file(api: KfpApi) -> None:
    environment = {
        "KUBECAST_KFP_TOKEN": f"{SECRET}\n",
        "KUBECAST_KFP_COOKIES": "authservice_session=abc; b=c",
    }
    client(api, environment, token_file="/nowhere").recurring_runs()  # noqa: S106
    headers = api.requests[0].headers
    assert headers["authorization"] == f"Bearer {SECRET}"
    assert headers["cookie"] == "authservice_session=abc; b=c"


def test_without_credentials_none_are_sent(api: KfpApi) -> None:
    client(api).recurring_runs()
    assert not {"authorization", "cookie"} & api.requests[0].headers.keys()


@pytest.mark.parametrize("variable", ["KUBECAST_KFP_TOKEN", "KUBECAST_KFP_COOKIES"])
def test_credential_that_no_header_can_hold_is_refused_without_telling_it(variable: str) -> None:
    with pytest.raises(ConfigError, match=variable) as caught:
        connect(ConnectionSettings(host="http://h"), {variable: f"{SECRET}\nX-Other: 1"})
    assert SECRET not in str(caught.value)


def test_token_file_with_more_than_a_token_is_refused_without_telling_it(api: KfpApi, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"user {SECRET}")
    there = client(api, token_file=str(tmp_path / "token"))
    with pytest.raises(ConfigError, match="token: holds a blank") as caught:
        there.recurring_runs()
    assert SECRET not in str(caught.value)
    assert not api.requests


@pytest.mark.parametrize("key", ["token_file", "ca_file"])
def test_file_that_cannot_be_read_is_named(key: str, tmp_path: Path) -> None:
    settings = ConnectionSettings(host="http://h").model_copy(update={key: str(tmp_path / "none")})
    with pytest.raises(ConfigError, match=rf"{key} .*none: cannot be read \(No such file"):
        connect(settings, {})


@pytest.mark.parametrize("key", ["host", "dashboard"])
@pytest.mark.parametrize("address", [f"https://me:{SECRET}@host", f"https://host/?key={SECRET}"])
def test_address_that_holds_a_secret_is_refused_without_telling_it(key: str, address: str) -> None:
    settings = ConnectionSettings(host="http://h").model_copy(update={key: address})
    with pytest.raises(ConfigError, match=f"{key}: holds a user, a query or a fragment") as caught:
        connect(settings, {})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "kind", "text"),
    [
        (401, ClusterForbidden, "set KUBECAST_KFP_TOKEN, --token-file or KUBECAST_KFP_COOKIES"),
        (403, ClusterForbidden, "set --namespace to a profile of yours"),
        (404, ClusterNotFound, "404 not found: it is so"),
        (409, ClusterConflict, "409 it exists, or somebody else changed it first: it is so"),
        (500, ClusterError, "500 Internal Server Error: it is so"),
        (503, ClusterUnreachable, "503 not ready: it is so"),
        (400, ClusterError, "400 Bad Request: it is so"),
    ],
)
def test_refusal_is_one_line_that_says_where_and_why(
    api: KfpApi, status: int, kind: type[ClusterError], text: str
) -> None:
    api.fail("GET /runs", status, "it is\nso")
    with pytest.raises(ClusterError) as caught:
        client(api, namespace="team-a").run("run-1")
    assert type(caught.value) is kind
    message = str(caught.value)
    assert message.startswith(f"run run-1 ({api.host}, namespace team-a): ")
    assert text in message
    assert "\n" not in message


def test_what_a_server_says_of_the_credentials_is_masked_in_message_and_trace(api: KfpApi) -> None:
    api.token = "another"  # noqa: S105
    api.failures = []
    environment = {"KUBECAST_KFP_TOKEN": SECRET, "KUBECAST_KFP_COOKIES": f"session={SECRET}"}
    with pytest.raises(ClusterForbidden, match=r"no user for Bearer \*\*\*") as caught:
        client(api, environment).recurring_runs()
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_silent_server_is_a_time_out(api: KfpApi) -> None:
    api.failures = [Failure("GET /runs", None)]
    with pytest.raises(
        ClusterUnreachable, match=r"no answer in 0\.2 s; the request may have been carried out"
    ):
        client(api, timeout=0.2).run("run-1")
    assert len(api.requests) == 1


def test_server_that_hangs_while_it_creates_is_asked_once(api: KfpApi) -> None:
    api.failures = [Failure("POST /experiments", None)]
    with pytest.raises(ClusterUnreachable, match="no answer"):
        client(api, timeout=0.2).create_experiment("demand")
    assert len(api.requests) == 1


def test_no_server_is_told_as_such() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"http://127.0.0.1:{free.getsockname()[1]}"
        there = Client(connect(ConnectionSettings(host=host), {}))
        with pytest.raises(ClusterUnreachable, match=f"{host}.: cannot be reached; is the address right"):
            there.recurring_runs()


def test_host_that_speaks_no_tls_is_told_as_such(api: KfpApi) -> None:
    there = Client(connect(ConnectionSettings(host=api.host.replace("http:", "https:")), {}))
    with pytest.raises(ClusterUnreachable, match="its certificate is not trusted, or it does not speak TLS"):
        there.recurring_runs()


def test_redirect_to_a_login_page_is_not_followed(api: KfpApi) -> None:
    headers = {"Location": f"{api.host}/login?state={SECRET}"}
    api.failures = [Failure("GET /recurringruns", 302, headers=headers)]
    with pytest.raises(
        ClusterForbidden, match="it sends to a page to log in on; set KUBECAST_KFP_TOKEN"
    ) as caught:
        client(api).recurring_runs()
    assert len(api.requests) == 1
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("status", [200, 404])
@pytest.mark.parametrize(
    ("content_type", "body"),
    [("text/html", "<html>log in</html>"), ("application/json", "[1, 2]")],
    ids=["page", "list"],
)
def test_answer_of_another_server_is_told_as_such(
    api: KfpApi, status: int, content_type: str, body: str
) -> None:
    api.failures = [Failure("GET /experiments", status, body, content_type)]
    with pytest.raises(ClusterError, match="what answers is not the API of Kubeflow Pipelines; check --host"):
        client(api).find_experiment("demand")


def test_items_of_every_page_are_found(api: KfpApi) -> None:
    there = client(api)
    ids = [there.create_experiment(f"e{number}") for number in range(5)]
    assert there.find_experiment("e4") == ids[4]
    api.page_limit = 1
    api.requests.clear()
    pipeline = there.create_pipeline("p")
    assert there.find_version(pipeline, "v") is None
    assert [found for found in map(there.find_experiment, ["e0", "e9"])] == [ids[0], None]


def test_namespace_is_passed_to_each_call_and_written_nowhere(
    api: KfpApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    api.namespaces = {"team-a"}
    there = client(api, namespace="team-a")
    pipeline = there.create_pipeline("p")
    experiment = there.create_experiment("e")
    there.recurring_runs()
    assert (there.find_pipeline("p"), there.find_experiment("e")) == (pipeline, experiment)
    assert all(
        "team-a" in (each.query.get("namespace"), (each.body or {}).get("namespace")) for each in api.requests
    )
    assert not list(tmp_path.iterdir())
    with pytest.raises(ClusterForbidden, match=r"namespace team-b\): 403 not allowed; set --namespace"):
        client(api, namespace="team-b").find_experiment("e")
    with pytest.raises(ClusterError, match="namespace is empty in multi-user mode"):
        client(api).find_experiment("e")


@pytest.mark.parametrize("status", [409, 500])
def test_what_somebody_else_made_meanwhile_is_used(api: KfpApi, status: int) -> None:
    there = client(api)
    made: list[str] = []

    def create() -> str:
        made.append(there.create_experiment("e"))
        api.fail("POST /experiments", status, "exists", times=1)
        return there.create_experiment("e")

    assert ensure(lambda: there.find_experiment("e"), create) == made[0]


def test_what_cannot_be_made_stays_an_error(api: KfpApi) -> None:
    api.fail("POST /experiments", 403, "no")
    there = client(api)
    with pytest.raises(ClusterForbidden, match="create experiment e"):
        ensure(lambda: there.find_experiment("e"), lambda: there.create_experiment("e"))


@pytest.mark.slow
def test_help_imports_neither_kfp_nor_its_api() -> None:
    code = (
        "import sys\nfrom kubecast.cli.app import app\n"
        "for words in ([], ['submit'], ['schedule', 'apply'], ['status']):\n"
        "    try:\n        app([*words, '--help'])\n    except SystemExit:\n        pass\n"
        "print(sorted({'kfp', 'kfp_server_api', 'urllib3', 'yaml'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
