"""Start the processes that train one network together, relay their messages, and end them together."""

from __future__ import annotations

import logging
import os
import signal
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Protocol

import torch
from torch import distributed

from genre_pipeline.errors import ComputeError, ConfigError, GenrePipelineError, RepeatFailedError
from genre_pipeline.progress import show_no_bars
from genre_pipeline.training.devices import choose_device, n_devices
from genre_pipeline.training.epochs import EpochCallback, EpochRecord
from genre_pipeline.training.ranks import Ranks
from genre_pipeline.training.relaying import Fault, Line, log_level, overheard
from genre_pipeline.work.processes import START_METHOD, Ended, begin_worker, no_main, worker_context

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

# [?] Longer than any epoch's validation, for which the other ranks wait.
_PATIENCE = timedelta(hours=6)
# [?] Many times the launcher's interval of 0.1 s, for a busy machine.
_GRACE_S = 5.0


class Work(Protocol):
    """A training that several processes do together: each calls it with its rank."""

    def __call__(self, *, tell: EpochCallback, slot: int, ranks: Ranks) -> object:
        """Train; only the first process reports epochs and writes."""


def train_in_ranks(work: Work, *, label: str, device: str, n_ranks: int, slot: int, tell: EpochCallback) -> None:
    """Train one network in several processes of this machine, each on a device of its own or on the processor.

    torch's elastic launcher starts and watches them: if one ends early, it ends the others.

    Args:
        work: The training, picklable.
        label: Names it in messages.
        device: ``cpu``, ``cuda`` or ``auto``.
        n_ranks: How many processes.
        slot: Number of this training among those that run side by side; the devices are assigned in turn.
        tell: Called with each epoch.

    Raises:
        ConfigError: If there are not as many devices.
        RepeatFailedError: If the training cannot go on, or one of the processes dies. Other errors are raised as they
            came.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    _check_devices(device, n_ranks)
    # The launcher starts its processes from the same fork server.
    context = worker_context()
    lines = [context.Pipe(duplex=False) for _ in range(n_ranks)]
    listener = _Listener([receiving for receiving, _ in lines], [sending for _, sending in lines], tell)
    n_threads = max(1, torch.get_num_threads() // n_ranks)
    # Its log of each start and failure is long.
    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)
    with TemporaryDirectory() as folder, _own_signals():
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=n_ranks,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="127.0.0.1:0",
            local_addr="127.0.0.1",
            max_restarts=0,
            monitor_interval=0.1,
            start_method=START_METHOD,
            logs_specs=DefaultLogsSpecs(log_dir=folder),
        )
        try:
            with listener, no_main():
                launch = elastic_launch(config, _train_rank)
                reasons = launch(work, device, slot, n_threads, log_level(), listener.sending)
        except SignalException as error:
            raise Ended(error.sigval) from error
        except ChildFailedError as error:
            listener.raise_errors()
            raise RepeatFailedError(
                f"{label}: of the {n_ranks} processes that train it together, {_ends(error, listener.faults)}. What "
                "they had reached is kept. Rerun the command to resume."
            ) from error
    listener.raise_errors()
    if reasons[0] is not None:
        raise RepeatFailedError(reasons[0])


def _check_devices(device: str, n_ranks: int) -> None:
    kind = choose_device(device).type
    if kind == "mps":
        raise ConfigError(f"training.n_ranks is {n_ranks}, and torch trains on one MPS device only: leave it at 1.")
    if kind == "cuda" and n_ranks > n_devices(kind):
        raise ConfigError(
            f"training.n_ranks is {n_ranks}, and each process needs a CUDA device of its own: this machine has "
            f"{n_devices(kind)}."
        )


class _Listener:
    """Receives the processes' messages in a thread: the launcher occupies the main thread, where signals arrive."""

    def __init__(self, receiving: list[Connection], sending: list[Connection], tell: EpochCallback) -> None:
        self.sending = sending
        self.faults: dict[int, Fault] = {}
        self._receiving = receiving
        self._tell = tell
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        # The processes are gone, so these are the last open ends: closing them ends the thread.
        for line in self.sending:
            line.close()
        self._thread.join()

    def raise_errors(self) -> None:
        """Raise an error of a callback, or an error of a process that would affect every other training too."""
        if self._error is not None:
            raise self._error
        for rank, fault in self.faults.items():
            if isinstance(fault.error, GenrePipelineError):
                raise fault.error from ComputeError(f"Rank {rank}:\n{fault.trace}")

    def _listen(self) -> None:
        heard = dict(zip(self._receiving, range(len(self._receiving)), strict=True))
        try:
            while heard:
                for line in wait(list(heard)):
                    assert isinstance(line, Connection)
                    try:
                        message = line.recv()
                    except (EOFError, OSError):
                        heard.pop(line)
                    else:
                        self._hear(message, heard[line])
        except BaseException as error:
            self._error = error
        finally:
            # A process that still sends finds the connection closed, and ends.
            for line in self._receiving:
                line.close()

    def _hear(self, message: EpochRecord | Line | Fault, rank: int) -> None:
        if isinstance(message, EpochRecord):
            self._tell(message)
        elif isinstance(message, Line):
            message.log()
        else:
            self.faults[rank] = message


def _ends(error: ChildFailedError, faults: Mapping[int, Fault]) -> str:
    """Return how processes ended, for people."""
    ends = [f"rank {rank} failed with {type(each.error).__name__}: {each.error}" for rank, each in faults.items()]
    for rank, failure in error.failures.items():
        if failure.exitcode < 0:
            ends.append(f"rank {rank} was killed by {signal.Signals(-failure.exitcode).name}")
    return "; ".join(ends) or "one ended without a word"


def _train_rank(work: Work, device: str, slot: int, n_threads: int, level: int, lines: list[Connection]) -> str | None:
    """Run one process's part; return why the training cannot continue, or ``None``."""
    begin_worker()
    show_no_bars()
    torch.set_num_threads(n_threads)
    ranks = Ranks(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    line = lines[ranks.rank]
    own_slot = slot * ranks.n + ranks.rank
    place = choose_device(device, own_slot)
    try:
        if place.type == "cuda":
            torch.cuda.set_device(place)
        distributed.init_process_group("nccl" if place.type == "cuda" else "gloo", timeout=_PATIENCE)
        with overheard(line.send, level if ranks.is_first else logging.CRITICAL):
            work(tell=line.send, slot=own_slot, ranks=ranks)
    except RepeatFailedError as error:
        return str(error)
    except Exception as error:
        line.send(Fault.of(error))
        if isinstance(error, RuntimeError):
            # torch raises this for a lost connection. The launcher reports only one end, which should be that of the
            # other process: the launcher sees it first, and then ends this one.
            threading.Event().wait(_GRACE_S)
        raise
    distributed.destroy_process_group()
    return None


@contextmanager
def _own_signals() -> Iterator[None]:
    """Restore the signal handlers that the launcher replaces; only the main thread has any."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)}
    try:
        yield
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)
