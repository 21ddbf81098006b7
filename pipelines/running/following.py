"""Following a run on a cluster: its progress at one moment, and waiting for its end."""

import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from kubecast.config.schedules import ConnectionSettings
from kubecast.errors import ClusterError, ClusterUnreachable, KubecastError
from kubecast.masking import masked
from kubecast.pipelines.pods import TASK_LABEL
from kubecast.pipelines.running import kfp_tasks, tasks
from kubecast.pipelines.running.client import Client
from kubecast.pipelines.running.defaults import KFP_NAMESPACE
from kubecast.pipelines.running.evidence import Evidence, Reader
from kubecast.pipelines.running.graph import Graph, GraphTask, Node, Path
from kubecast.pipelines.running.kubernetes import Kubernetes
from kubecast.pipelines.running.task_logs import SHOWN, headline, read_kept, tail
from kubecast.pipelines.running.tasks import ENDED, LOST, Observation, Run, Task
from kubecast.pipelines.running.workflow import RUN_LABEL

SUCCEEDED = "SUCCEEDED"
INTERVAL = 5.0  # seconds between two polls
PATIENCE = 10  # polls in a row without an answer, as while a forwarded port is set up again

_READ = 4 * SHOWN  # lines of a log, of which many may be the launcher's
_KFP = "kubeflow-pipelines"
_BLIND = (
    "Kubeflow Pipelines alone knows no pod and not why a task failed, and it stops following the tasks of a"
    " run whose workflow is larger than 1 MiB"
)


@dataclass(frozen=True)
class Progress:
    """A run at one moment.

    Attributes:
        run_id: Of Kubeflow Pipelines.
        name: Of the run.
        state: Of the run.
        error: Why it failed or does not start as a whole, in one line; empty where that is not so.
        tasks: Each graph followed by its own tasks.
        source: Of the tasks' states: ``workflow``, ``pods`` (where a task has none, Kubeflow Pipelines), or
            ``kubeflow-pipelines``.
        note: Gaps of that source, and how to fill them; empty where nothing is missing.
        command: What finds the pods that failed, where no task is known to have failed; else empty.
    """

    run_id: str
    name: str
    state: str
    error: str
    tasks: tuple[Task, ...]
    source: str = _KFP
    note: str = ""
    command: str = ""

    @property
    def ended(self) -> bool:
        """Whether no task will start any more."""
        return self.state in ENDED

    @property
    def failed(self) -> list[Task]:
        """The tasks that failed, as far as it is known which; graphs whose tasks did are left out."""
        return [task for task in self.tasks if task.state == "FAILED" and task.command]

    @property
    def stuck(self) -> list[Task]:
        """The tasks whose pods do not start, and that say why."""
        return [task for task in self.tasks if task.state == "PENDING" and task.reason]


class Follower:
    """Polls a run until it has ended.

    Args:
        client: Of Kubeflow Pipelines.
        reader: Of the cluster; None: there is none, and ``blind`` says why.
        blind: Why there is no reader, in one line.
        namespace: Of the run, for commands, where it is not found.
        context: Of the kubeconfig, for commands; empty for the current one.
        interval: Seconds between two polls; default: INTERVAL.
    """

    def __init__(
        self,
        client: Client,
        reader: Reader | None = None,
        blind: str = "",
        namespace: str = KFP_NAMESPACE,
        context: str = "",
        interval: float | None = None,
    ):
        self._client = client
        self._reader = reader
        self._blind = blind
        self._namespace = namespace
        self._context = context
        self._interval = INTERVAL if interval is None else interval
        self._graphs: dict[str, Graph] = {}
        self._store_answers = True
        self._logs: dict[str, tuple[str, ...]] = {}  # of pods that failed, which does not change

    def look(self, run_id: str) -> Progress:
        """The run as it is now."""
        run = self._client.run(run_id)
        if run_id not in self._graphs:
            self._graphs[run_id] = Graph(run.pipeline_spec or self._spec(run.pipeline_version_reference))
        graph = self._graphs[run_id]
        whole = Run(run.state or "PENDING", kfp_tasks.moment(run.finished_at))
        evidence = self._reader.look(run_id, graph, whole.ended) if self._reader else Evidence()
        details = (run.run_details.task_details if run.run_details else None) or []
        seen = _merged(graph, details, evidence)
        error = kfp_tasks.message_of(run) or masked(evidence.message or _reason(seen.get(())))
        seen = tasks.complete(graph, seen, whole, evidence.source == "workflow")
        last = (whole.end if whole.ended else None) or datetime.now(UTC)
        ordered = tuple(self._task(run_id, task, seen, last, evidence) for task in tasks.ordered(graph, seen))
        progress = Progress(run_id, run.display_name or run_id, whole.state, error, ordered)
        return self._explained(progress, evidence)

    def _spec(self, reference: Any) -> Mapping[str, Any]:
        version = self._client.version(reference.pipeline_id, reference.pipeline_version_id)
        spec: Mapping[str, Any] = version.pipeline_spec
        return spec

    def wait(self, run_id: str, show: Callable[[Progress], None]) -> Progress:
        """Poll until the run has ended.

        Args:
            run_id: The run.
            show: Called with every answer.

        Raises:
            ClusterError: It cannot be read, or was silent several times in a row.
        """
        silent = 0
        while True:
            try:
                progress = self.look(run_id)
            except ClusterUnreachable:
                silent += 1
                if silent > PATIENCE:
                    raise
            else:
                silent = 0
                show(progress)
                if progress.ended:
                    return progress
            time.sleep(self._interval)

    def _task(
        self,
        run_id: str,
        task: GraphTask,
        observations: Mapping[Path, Observation],
        last: datetime,
        evidence: Evidence,
    ) -> Task:
        seen = observations[task.path]
        culprit = seen.culprit
        result = Task(
            task.name,
            task.graphs,
            seen.state,
            tasks.seconds_of(seen, last),
            masked(seen.reason),
            culprit.pod if culprit and seen.state != SUCCEEDED else "",
            iterations=seen.progress,
            iteration=_iteration(culprit) if culprit and seen.state != SUCCEEDED else "",
        )
        driver = culprit if culprit and culprit.role == "driver" else None
        if seen.state == "PENDING" and result.pod and seen.reason:
            return replace(result, command=self._kubectl(evidence, f"describe pod {result.pod}"))
        if seen.state != "FAILED" or seen.reason == LOST or (task.is_graph and driver is None):
            return result
        alone = culprit is not None and culprit.pod and (driver or culprit.iteration)  # pods share its labels
        chosen = result.pod if alone else f"-l {RUN_LABEL}={run_id},{TASK_LABEL}={task.name}"
        command = self._kubectl(evidence, f"logs {chosen} -c main --tail={SHOWN}")
        if culprit is None:
            return replace(result, command=command)
        log, uri = self._log(evidence.namespace, culprit), _uri(culprit)
        return replace(result, reason=headline(log) or result.reason, log=log, log_uri=uri, command=command)

    def _log(self, namespace: str, culprit: Node) -> tuple[str, ...]:
        if culprit.pod not in self._logs:
            text = self._reader.log(namespace, culprit.pod, _READ) if self._reader and culprit.pod else None
            lines = tail(self._kept(culprit) if text is None else text)
            if not lines:
                return ()
            self._logs[culprit.pod] = lines
        return self._logs[culprit.pod]

    def _kept(self, culprit: Node) -> str:
        """The log in the store; empty where that holds none, or did not answer once."""
        if culprit.logs_uri and self._store_answers:
            try:
                return read_kept(culprit.logs_uri, culprit.attempt or 0)
            except KubecastError:
                self._store_answers = False
        return ""

    def _explained(self, progress: Progress, evidence: Evidence) -> Progress:
        """Add the source, its gaps, and where to look when no task is known to have failed."""
        missing = self._reader.note(evidence) if self._reader else self._blind
        notes = [missing] if evidence.source else [_BLIND, missing]
        command = ""
        if progress.state == "FAILED" and not progress.failed:
            chosen = f"-l {RUN_LABEL}={progress.run_id} --field-selector=status.phase=Failed"
            command = self._kubectl(evidence, f"get pods {chosen} -L {TASK_LABEL}")
        return replace(
            progress,
            source=evidence.source or _KFP,
            note="; ".join(note for note in notes if note),
            command=command,
        )

    def _kubectl(self, evidence: Evidence, words: str) -> str:
        context = f" --context {shlex.quote(self._context)}" if self._context else ""
        return f"kubectl{context} -n {evidence.namespace or self._namespace} {words}"


def follower(client: Client, connection: ConnectionSettings, interval: float | None = None) -> Follower:
    """A follower of a cluster's runs, by Kubernetes too where that can be reached."""
    context, profile = connection.context or "", connection.namespace
    try:
        cluster = Kubernetes.connect(connection.context)
    except ClusterError as error:
        return Follower(client, None, str(error), profile or KFP_NAMESPACE, context, interval)
    namespaces = [profile] if profile else [cluster.namespace, KFP_NAMESPACE]
    return Follower(client, Reader(cluster, namespaces), "", namespaces[-1], context, interval)


def _merged(graph: Graph, details: Sequence[Any], evidence: Evidence) -> dict[Path, Observation]:
    """The observation of each task from the best source, else from the next one."""
    if evidence.source == "workflow":
        return tasks.observe(graph, evidence.nodes)
    kfp = tasks.observe(graph, kfp_tasks.nodes(graph, details))
    if evidence.source == "pods":
        return tasks.derive_graphs(graph, kfp | tasks.observe(graph, evidence.nodes))
    return kfp


def _reason(root: Observation | None) -> str:
    return root.reason if root else ""


def _iteration(culprit: Node) -> str:
    """Which iteration a node is in, and its item; empty for what is in no loop."""
    numbers = f"iteration {'.'.join(map(str, culprit.iteration))}" if culprit.iteration else ""
    return ", ".join(each for each in (numbers, culprit.item) if each)


def _uri(culprit: Node) -> str:
    """The URI at which the launcher of KFP 2.17 keeps the log of this attempt."""
    return f"{culprit.logs_uri}-{culprit.attempt or 0}" if culprit.logs_uri else ""
