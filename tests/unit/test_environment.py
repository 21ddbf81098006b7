"""Plain variables for every task: what is taken, and what is refused."""

from typing import Any

import pytest
from pydantic import ValidationError

from kubecast.environment import OWN
from kubecast.errors import ConfigError
from kubecast.logs import RUN_VARIABLE, TASK_VARIABLE
from kubecast.settings.cluster import ClusterSettings
from kubecast.settings.loading import load_settings
from kubecast.steps.notify import URL_VARIABLE
from kubecast.tuning import trial


def cluster(environment: Any, **others: Any) -> ClusterSettings:
    return ClusterSettings.model_validate({"environment": environment, **others})


@pytest.mark.parametrize(
    "environment",
    [
        {"AWS_ENDPOINT_URL": "http://kubecast-seaweedfs:8333", "AWS_ALLOW_HTTP": "true"},
        {"KUBECAST_MINIO_ENDPOINT": "http://store:9000", "KUBECAST_LOG_FORMAT": "text"},
        {"AWS_WEB_IDENTITY_TOKEN_FILE": "/run/token", "GOOGLE_APPLICATION_CREDENTIALS": "/run/key.json"},
        {"KUBECAST_OPTUNA_URL": "postgresql://optuna@kubecast-postgres/optuna"},
        {"HTTPS_PROXY": "http://proxy.example.com:3128", "NO_PROXY": "10.0.0.0/8,.svc"},
    ],
)
def test_plain_variables_are_taken(environment: dict[str, str]) -> None:
    assert cluster(environment).environment == environment


@pytest.mark.parametrize(
    "name",
    [
        *("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "PGPASSWORD", "db_passwd"),
        *("AZURE_STORAGE_ACCOUNT_KEY", "API_KEY", "MYSECRET"),
    ],
)
def test_what_is_named_like_a_secret_is_pointed_to_secrets(name: str) -> None:
    with pytest.raises(ValidationError, match=f"{name} looks like a secret.*allowed: cluster.secrets"):
        cluster({name: "hunter2"})


def test_a_url_with_a_password_is_a_secret_whatever_it_is_called() -> None:
    with pytest.raises(ValidationError, match="KUBECAST_OPTUNA_URL looks like a secret"):
        cluster({"KUBECAST_OPTUNA_URL": "postgresql://optuna:hunter2@kubecast-postgres/optuna"})


def test_no_value_is_in_a_message(tmp_path: Any) -> None:
    (tmp_path / "cluster.yaml").write_text("cluster:\n  environment: {PASSWORD: hunter2, OTHER: hunter3}\n")
    with pytest.raises(ConfigError, match=r"cluster\.environment: PASSWORD looks like a secret") as caught:
        load_settings(tmp_path)
    assert "hunter" not in str(caught.value)


def test_what_kubecast_and_pipelines_set_is_theirs() -> None:
    assert {RUN_VARIABLE, TASK_VARIABLE, URL_VARIABLE, trial.VARIABLE} <= OWN
    for name in (*OWN, "KFP_POD_NAME", "ARGO_TEMPLATE"):
        with pytest.raises(ValidationError, match=f"{name} is set by kubecast or Kubeflow Pipelines"):
            cluster({name: "x"})


@pytest.mark.parametrize("value", [True, 8333, None, ""])
def test_a_value_without_quotes_is_told_to_take_them(value: Any) -> None:
    with pytest.raises(
        ValidationError, match="the value of AWS_ALLOW_HTTP is no text; allowed: one in quotes"
    ):
        cluster({"AWS_ALLOW_HTTP": value})


def test_a_name_that_no_shell_takes_is_refused() -> None:
    with pytest.raises(ValidationError, match="should match pattern"):
        cluster({"AWS-REGION": "eu"})


def test_a_variable_comes_from_one_place() -> None:
    secrets = [{"secret": "store", "variables": {"AWS_REGION": "region"}}]
    with pytest.raises(ValidationError, match="AWS_REGION is in environment and in secrets, from store"):
        cluster({"AWS_REGION": "us-east-1"}, secrets=secrets)
