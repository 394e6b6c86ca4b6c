"""Prefect flows: the night as an operator sees it, and its schedule.

Each task body is one call into `pipeline.night`; `zhijian score` makes the same calls without
Prefect. Flow parameters are URIs and counts only, results are not persisted: Prefect's database
and storage never hold words, audio or keys. The identity comes from the settings of the machine
that runs the flow.

The setting ``task_runner`` decides who hears the batches: worker processes of this machine, or those of
every machine of a Dask cluster. Then Dask carries paths, ids and counts; recordings are read and results
committed where they are worked on.

Usage
-----
``python flows.py nightly --recordings DIR --calls FILE --results DIR`` runs one night now;
``python flows.py serve`` serves all deployments: ``nightly`` at 01:30, ``health`` at 07:00, ``retention``
on Sundays at 04:00 (Asia/Shanghai), ``rescore`` on demand. ``prefect.yaml`` describes the same four for a
work pool.
"""

from __future__ import annotations

import os

# An offline machine must not wait for, or tell, anybody outside.
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")
# The temporary server starts slowly on a machine whose cores are busy.
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from prefect import flow, get_run_logger, task
from prefect import serve as prefect_serve
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.schedules import Cron
from prefect.settings import PREFECT_API_URL, PREFECT_HOME
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from pipeline.defects import without_words
from pipeline.disputes.rescore import Rescore
from pipeline.disputes.rescore import rescore as rescore_call
from pipeline.errors import ConfigError, RecordingError, TransientError, ZhijianError
from pipeline.night.batch import Batch, BatchCount, Entry, RunContext
from pipeline.night.health import HealthReport, inspect_recordings, markdown_health
from pipeline.night.run import Night, open_night
from pipeline.night.server import prefect_server
from pipeline.night.summary import NightSummary, markdown_summary
from pipeline.night.supervise import supervised
from pipeline.results.store import Store
from pipeline.settings import Settings, load_settings

TIMEZONE = "Asia/Shanghai"
NIGHTLY_CRON = "30 1 * * *"
HEALTH_CRON = "0 7 * * *"
RETENTION_CRON = "0 4 * * 0"
# A night that is told to end stops its workers and keeps what is committed; the next one goes on there.
STOP_GRACE_S = 20.0


def task_runner() -> TaskRunner[Any]:
    """The runner of batches that the settings ask for.

    Read when this file is loaded, because a flow's runner is part of its definition. Settings that are
    wrong are reported by the flow itself, which reads them again.

    Returns
    -------
    TaskRunner
        Threads that wait for worker processes, or a client of the Dask cluster at ``dask_address``.
    """
    try:
        settings, _ = load_settings()
    except ZhijianError:
        return ThreadPoolTaskRunner(max_workers=2)
    if settings.task_runner == "dask":
        from prefect_dask import DaskTaskRunner

        return DaskTaskRunner(address=settings.dask_address)
    return ThreadPoolTaskRunner(max_workers=1 + -(-settings.worker_count() // settings.batch_calls))


async def heals(_task: Any, _run: TaskRun, state: State[Any]) -> bool:
    """Retry only what may heal: a wrong key never does.

    Returns
    -------
    bool
        True for `TransientError`; False for every other error.
    """
    try:
        await state.aresult(raise_on_failure=True)
    except TransientError:
        return True
    except Exception:  # noqa: BLE001 - the question is only whether it is transient
        return False
    return False


_RETRY: dict[str, Any] = {
    "retries": 3,
    "retry_delay_seconds": [10, 60, 300],
    "retry_condition_fn": heals,
    "cache_policy": NO_CACHE,
    "persist_result": False,
    "log_prints": False,
}


@task(name="plan the night", **_RETRY)
@without_words
def plan_night(settings: Settings, retry_quarantined: bool) -> Night:
    """Read call records and recordings, decide what is left to hear."""
    return open_night(settings, retry_quarantined=retry_quarantined)


@task(name="hear and judge a batch", task_run_name="batch {batch.number} ({batch.size} calls)", **_RETRY)
@without_words
def score_batch(night: Night, batch: Batch) -> BatchCount:
    """Score one batch with the night's worker processes and commit it."""
    return night.score_batch(batch)


@task(
    name="hear and judge a batch elsewhere",
    task_run_name="batch {batch.number} ({batch.size} calls)",
    **_RETRY,
)
@without_words
def score_batch_elsewhere(settings: Settings, batch: Batch, context: RunContext) -> tuple[Entry, ...]:
    """Score one batch on whatever machine this task is sent to."""
    from pipeline.night.remote import score_batch_here

    return score_batch_here(settings, batch, context)


@task(name="account for every call", **_RETRY)
@without_words
def close_night(night: Night) -> NightSummary:
    """Check calls in = scored + quarantined + skipped, and record the run."""
    return night.close()


@flow(
    name="nightly",
    task_runner=task_runner(),
    persist_result=False,
    validate_parameters=True,
)
def nightly(
    recordings: str | None = None,
    calls: str | None = None,
    results: str | None = None,
    *,
    workers: int | None = None,
    rulebook: str | None = None,
    retry_quarantined: bool = False,
) -> dict[str, int]:
    """Score one night's calls: the same work as ``zhijian score``.

    Parameters
    ----------
    recordings, calls, results : str, optional
        Folder or URI of the recordings, file of the call records, folder of the results. What is
        not given comes from the settings (environment ``ZHIJIAN_…`` or ``zhijian.toml``).
    workers : int, optional
        Worker processes; default one per core.
    rulebook : str, optional
        Folder of another rulebook.
    retry_quarantined : bool
        Try quarantined recordings again though nothing has changed.

    Returns
    -------
    dict of str to int
        ``calls_in, scored, quarantined, skipped``.
    """
    flags = {
        "recordings": recordings,
        "calls": calls,
        "results": results,
        "workers": workers,
        "rulebook": rulebook,
    }
    settings, _ = load_settings(flags)
    log = get_run_logger()
    night = plan_night(settings, retry_quarantined)
    try:
        log.info("%s", night.describe())
        if settings.task_runner == "dask":
            sent = [
                (batch, score_batch_elsewhere.submit(settings, batch, night.context))
                for batch in night.batches
            ]
            for batch, future in sent:
                night.book(batch, future.result())
        else:
            for count in [score_batch.submit(night, batch) for batch in night.batches]:
                count.result()
        summary = close_night(night)
    finally:
        night.stop()
    create_markdown_artifact(
        key="night-summary", markdown=markdown_summary(summary), description=summary.headline()
    )
    log.info("%s", summary.headline())
    return summary.counts()


@task(name="inspect recordings", **_RETRY)
@without_words
def inspect(settings: Settings) -> HealthReport:
    """Hold call records against recordings, and listen into each."""
    return inspect_recordings(settings)


@flow(name="health", persist_result=False)
def health(recordings: str | None = None, calls: str | None = None) -> dict[str, int]:
    """Inspect the recordings (系统巡检), before 07:30. Fails when one is missing or cannot be judged.

    Parameters
    ----------
    recordings, calls : str, optional
        As for `nightly`.

    Returns
    -------
    dict of str to int
        ``calls, recordings, opened, sound``.

    Raises
    ------
    RecordingError
        After the report is stored: something needs a person this morning.
    """
    settings, _ = load_settings({"recordings": recordings, "calls": calls})
    report = inspect(settings)
    create_markdown_artifact(
        key="health-report", markdown=markdown_health(report), description=report.headline_zh()
    )
    get_run_logger().info("%s", report.headline())
    if report.findings:
        raise RecordingError(f"{report.headline()}; see the artifact health-report")
    return {
        "calls": report.calls,
        "recordings": report.recordings,
        "opened": report.opened,
        "sound": report.sound,
    }


@task(name="put small files together", **_RETRY)
@without_words
def compact_results(settings: Settings) -> tuple[int, int]:
    """Compact every partition that holds many small files; returns the files before and after."""
    if settings.results is None:
        raise ConfigError("setting results is empty; set ZHIJIAN_RESULTS")
    done = list(Store.open(settings.results, write=True).compact())
    return sum(d.files_before for d in done), sum(d.files_after for d in done)


@task(name="apply retention", **_RETRY)
@without_words
def apply_retention(settings: Settings, apply: bool) -> str:
    """Say, or do, what retention asks for; returns a page about it."""
    from pipeline.retention import markdown_retention, run_retention

    return markdown_retention(run_retention(settings, apply=apply))


@flow(name="retention", persist_result=False)
def retention(results: str | None = None, recordings: str | None = None, apply: bool = False) -> None:
    """Weekly upkeep: small files put together, and what may be deleted (3 years; 5 in disputes).

    Parameters
    ----------
    results, recordings : str, optional
        As for `nightly`.
    apply : bool
        Delete. By default only a report is made.
    """
    settings, _ = load_settings({"results": results, "recordings": recordings})
    before, after = compact_results(settings)
    get_run_logger().info("%d small files put together in %d", before, after)
    page = apply_retention(settings, apply)
    create_markdown_artifact(key="retention-report", markdown=page)


@task(name="score one call again", **_RETRY)
@without_words
def score_again(settings: Settings, call_id: str, reason: str, by: str, from_audio: bool) -> Rescore:
    """Store a new version of a call's score beside the old one."""
    return rescore_call(settings, call_id, who=by, why=reason, from_audio=from_audio)


@flow(name="rescore", persist_result=False)
def rescore(
    call_id: str, reason: str, by: str, from_audio: bool = False, results: str | None = None
) -> dict[str, Any]:
    """Score one call again, on demand: what ``zhijian rescore`` does.

    Parameters
    ----------
    call_id, reason, by : str
        Call, why, and who asks; the last two stand in the new version.
    from_audio : bool
        Hear the recording again instead of judging what was stored.
    results : str, optional
        As for `nightly`.

    Returns
    -------
    dict
        ``call_id, version, score, grade``.
    """
    settings, _ = load_settings({"results": results})
    done = score_again(settings, call_id, reason, by, from_audio)
    get_run_logger().info("call %s: version %d, score %s", done.call_id, done.version, done.score)
    return {"call_id": done.call_id, "version": done.version, "score": done.score, "grade": done.grade}


def deployments() -> list[Any]:
    """What `serve` offers: each at most once at a time.

    Returns
    -------
    list of RunnerDeployment
    """
    at = {
        name: Cron(cron, timezone=TIMEZONE)
        for name, cron in (("nightly", NIGHTLY_CRON), ("health", HEALTH_CRON), ("retention", RETENTION_CRON))
    }
    return [
        flow_.to_deployment(
            name=name,
            schedule=at.get(name),
            concurrency_limit=1,
            tags=["zhijian"],
            description=(flow_.__doc__ or "").splitlines()[0],
        )
        for name, flow_ in (
            ("nightly", nightly),
            ("health", health),
            ("retention", retention),
            ("rescore", rescore),
        )
    ]


cli = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@cli.command("nightly")
def run_nightly(
    recordings: Annotated[str | None, typer.Option(help="Folder or URI of the encrypted recordings.")] = None,
    calls: Annotated[str | None, typer.Option(help="Call detail records.")] = None,
    results: Annotated[str | None, typer.Option(help="Folder of the results.")] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes.")] = None,
    rulebook: Annotated[Path | None, typer.Option(help="Folder of another rulebook.")] = None,
) -> None:
    """Run one night now; what is not given comes from the settings.

    Example: python flows.py nightly --recordings r/ --calls c.csv --results out/
    """
    counts = nightly(
        recordings, calls, results, workers=workers, rulebook=str(rulebook) if rulebook else None
    )
    typer.echo("  ".join(f"{name}={count}" for name, count in counts.items()))


@cli.command("serve")
def serve() -> None:
    """Serve all deployments: nightly 01:30, health 07:00, retention on Sundays, rescore on demand."""
    with prefect_server(PREFECT_API_URL.value(), PREFECT_HOME.value()) as url:
        typer.echo(f"Prefect API {url}, its pages at {url.removesuffix('/api')}; Ctrl-C stops serving.")
        # In a process of its own: Prefect's runner may hang when it is told to end while a run is ending.
        status = supervised(
            [sys.executable, __file__, "serve-here"],
            {**os.environ, "PREFECT_API_URL": url},
            grace_s=STOP_GRACE_S,
        )
    raise typer.Exit(status)


@cli.command("serve-here", hidden=True)
def serve_here() -> None:
    """Serve against the server of the settings, in this process."""
    prefect_serve(*deployments())


if __name__ == "__main__":
    try:
        cli()
    except ZhijianError as error:
        typer.echo(f"zhijian: {error}", err=True)
        raise SystemExit(1) from None
