"""Workers of a cluster, through joblib's backends for Dask and Ray."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bnncli.compare.engine import SECONDS_TO_CONNECT, Died, JoblibPool
from bnncli.errors import BnnError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future


def missing_package(engine: str) -> BnnError:
    """Build the error for an engine whose package is not installed."""
    return UsageError(
        f"--engine {engine}: the package is not installed; pip install 'bnncli[{engine}]'"
    )


AT_LEAST = 2
"""Joblib would do what is for one job in this process."""


def _dask_backend(client: Any) -> Any:
    from joblib._dask import DaskDistributedBackend

    class Killed(list[Any]):
        """The results of a batch whose workers were killed."""

    class Backend(DaskDistributedBackend):  # type: ignore[misc]
        """Joblib's backend, which of itself never hears of a task whose workers were killed."""

        def effective_n_jobs(self, n_jobs: int) -> int:
            # While a worker that was killed starts again, there are fewer, or none.
            return max(AT_LEAST, len(self.client.ncores()))

        def submit(self, func: Any, callback: Callable[[Any], None]) -> Any:
            future: Future[Any] = super().submit(func, callback)

            def hear(done: Future[Any]) -> None:
                error = done.exception()
                if error is not None:
                    # A result, not an exception: the runs on other workers go on.
                    _, (_, index, _), _ = func.items[0]
                    callback(Killed([(index, Died(error))]))

            future.add_done_callback(hear)
            return future

        def retrieve_result_callback(self, out: Any) -> Any:
            if isinstance(out, Killed):
                return list(out)
            return super().retrieve_result_callback(out)

    return Backend(client=client)


@contextmanager
def dask_pool(address: str) -> Iterator[JoblibPool]:
    """Reach the workers of a Dask scheduler."""
    try:
        import distributed
    except ImportError as error:
        raise missing_package("dask") from error
    import joblib

    connect: Any = distributed.Client
    try:
        client = connect(address, timeout=SECONDS_TO_CONNECT, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise BnnError(
            f"--scheduler {address}: no Dask scheduler answers there; "
            f"start one with: dask scheduler"
        ) from error
    with client:
        cores = client.ncores()
        if not cores:
            raise BnnError(
                f"--scheduler {address}: it has no workers; "
                f"start some with: dask worker {address} --nthreads 1"
            )
        if max(cores.values()) > 1:
            raise BnnError(
                f"--scheduler {address}: a worker has {max(cores.values())} threads, but runs in "
                f"one process disturb each other; start workers with --nthreads 1"
            )
        with joblib.parallel_config(backend=_dask_backend(client)):
            yield JoblibPool(len(cores), (), streams=True)


@contextmanager
def ray_pool(address: str) -> Iterator[JoblibPool]:
    """Reach the workers of a Ray cluster; results come all at once, as its backend gives them."""
    try:
        import ray
        from ray.util.joblib import register_ray
    except ImportError as error:
        raise missing_package("ray") from error
    import joblib

    try:
        ray.init(address=address, ignore_reinit_error=True, log_to_driver=False)
    except (ConnectionError, OSError, ValueError) as error:
        raise BnnError(
            f"--scheduler {address}: no Ray cluster answers there; start one with: ray start --head"
        ) from error
    register_ray()
    jobs = max(AT_LEAST, int(ray.cluster_resources().get("CPU", 1)))
    try:
        with joblib.parallel_config(backend="ray", n_jobs=jobs):
            yield JoblibPool(jobs, (ray.exceptions.RayError,), streams=False)
    finally:
        ray.shutdown()
