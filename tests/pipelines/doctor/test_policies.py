"""What `kubecast doctor` says of network policies."""

import pytest

from tests.pipelines.doctor.clusters import POLICIES, Examine
from tests.support.servers.kubernetes_api import KubernetesApi

pytestmark = pytest.mark.slow


def test_policies_for_other_pods_cut_no_run_off(examined: Examine, cluster: KubernetesApi) -> None:
    for path in [path for path in cluster.objects if path.startswith(POLICIES)]:
        del cluster.objects[path]
    assert examined()["network policies"].detail == "no policy cuts a run's pods off"
    policy = {
        "metadata": {"name": "database"},
        "spec": {"podSelector": {"matchLabels": {"app": "db"}}, "policyTypes": ["Egress"]},
    }
    cluster.add(POLICIES, policy)
    assert examined()["network policies"].state == "ok"
