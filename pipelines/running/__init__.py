"""Runs of compiled pipelines: on this machine, or on a cluster through its APIs.

- On this machine: ``local``, ``local_runner``, ``local_events``.
- APIs of a cluster: ``connection``, ``client`` (Kubeflow Pipelines), ``kubernetes``, ``defaults``.
- Before a run: ``submitting``, ``parameters``, ``preflight``, ``gpu_nodes``, ``katib``; ``doctor``.
- During a run: ``following`` polls; ``graph``, ``tasks`` and ``evidence`` put its state together from
  ``workflow``, ``pods``, ``kfp_tasks`` and ``task_logs``.
- Schedules: ``scheduling``, ``schedule_orphans``.
"""
