"""Prefect flows: the night as an operator sees it, and its schedule.

Each task body is one call into `pipeline.night`; `zhijian score` makes the same calls without
Prefect. Flow parameters are URIs and counts only, results are not persisted: Prefect's database
and storage never hold words, audio or keys. The identity comes from the settings of the machine
that runs the flow.

Usage
-----
``python flows.py nightly --recordings DIR --calls FILE --results DIR`` runs one night now;
``python flows.py serve`` serves it every night at 01:30 Asia/Shanghai.
"""

from __future__ import annotations

import os

# An offline machine must not wait for, or tell, anybody outside.
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")
# The temporary server starts slowly on a machine whose cores are busy.
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.schedules import Cron
from prefect.settings import PREFECT_API_URL, PREFECT_HOME
from prefect.task_runners import ThreadPoolTaskRunner

from pipeline.errors import StorageError, TransientError, ZhijianError
from pipeline.night.batch import Batch, BatchCount
from pipeline.night.run import Night, open_night
from pipeline.night.summary import NightSummary, markdown_summary
from pipeline.night.supervise import supervised
from pipeline.settings import Settings, load_settings

TIMEZONE = "Asia/Shanghai"
NIGHTLY_CRON = "30 1 * * *"
SERVER_START_S = 180.0
# A night that is told to end stops its workers and keeps what is committed; the next one goes on there.
STOP_GRACE_S = 20.0


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
def plan_night(settings: Settings) -> Night:
    """Read call records and recordings, decide what is left to hear."""
    return open_night(settings)


@task(name="hear and judge a batch", task_run_name="batch {batch.number} ({batch.size} calls)", **_RETRY)
def score_batch(night: Night, batch: Batch) -> BatchCount:
    """Score one batch with the night's worker processes and commit it."""
    return night.score_batch(batch)


@task(name="account for every call", **_RETRY)
def close_night(night: Night) -> NightSummary:
    """Check calls in = scored + quarantined + skipped, and record the run."""
    return night.close()


@flow(
    name="nightly",
    task_runner=ThreadPoolTaskRunner(max_workers=2),  # type: ignore[arg-type]
    persist_result=False,
    validate_parameters=True,
)
def nightly(
    recordings: str | None = None,
    calls: str | None = None,
    results: str | None = None,
    workers: int | None = None,
    rulebook: str | None = None,
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
    night = plan_night(settings)
    try:
        log.info("%s", night.describe())
        futures = [score_batch.submit(night, batch) for batch in night.batches]
        for future in futures:
            future.result()
        summary = close_night(night)
    finally:
        night.stop()
    create_markdown_artifact(
        key="night-summary", markdown=markdown_summary(summary), description=summary.headline()
    )
    log.info("%s", summary.headline())
    return summary.counts()


cli = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@cli.command("nightly")
def run_nightly(
    recordings: Annotated[str, typer.Option(help="Folder or URI of the encrypted recordings.")],
    calls: Annotated[str, typer.Option(help="Call detail records.")],
    results: Annotated[str, typer.Option(help="Folder of the results.")],
    workers: Annotated[int | None, typer.Option(help="Worker processes.")] = None,
    rulebook: Annotated[Path | None, typer.Option(help="Folder of another rulebook.")] = None,
) -> None:
    """Run one night now. Example: python flows.py nightly --recordings r/ --calls c.csv --results out/."""
    counts = nightly(recordings, calls, results, workers, str(rulebook) if rulebook else None)
    typer.echo("  ".join(f"{name}={count}" for name, count in counts.items()))


@cli.command("serve")
def serve() -> None:
    """Serve the nightly deployment: every night at 01:30 Asia/Shanghai, one run at a time."""
    with prefect_server() as url:
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
    nightly.serve(
        name="nightly",
        schedule=Cron(NIGHTLY_CRON, timezone=TIMEZONE),
        limit=1,
        tags=["zhijian"],
        description="Hears and judges the calls that have not been scored yet.",
    )


@contextmanager
def prefect_server() -> Iterator[str]:
    """Use the Prefect server of the settings, or run one on this machine while it is needed.

    A schedule needs a server: the temporary one that a single flow run starts has no scheduler.

    Yields
    ------
    str
        Address of its API.

    Raises
    ------
    StorageError
        The server did not answer in time.
    """
    configured = PREFECT_API_URL.value()
    if configured:
        yield configured
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    home = PREFECT_HOME.value()
    home.mkdir(parents=True, exist_ok=True)
    log_path = home / "server.log"
    with log_path.open("ab") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603 - a fixed program
    try:
        deadline = time.monotonic() + SERVER_START_S
        while not _answers(url):
            if server.poll() is not None or time.monotonic() > deadline:
                raise StorageError(f"the Prefect server at {url} did not start; read {log_path}")
            time.sleep(0.5)
        yield url
    finally:
        server.terminate()
        server.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).is_success
    except httpx.HTTPError:
        return False


if __name__ == "__main__":
    try:
        cli()
    except ZhijianError as error:
        typer.echo(f"zhijian: {error}", err=True)
        raise SystemExit(1) from None
