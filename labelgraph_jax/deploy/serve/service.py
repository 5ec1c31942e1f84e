"""The work behind the addresses: load, compile, tokenise, wait, score, answer.

Two threads work beside the one that talks to clients: one tokenises what comes in, one
scores what waits, so that JAX has one caller and all cores.
"""

import asyncio
import contextlib
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from labelgraph_jax.deploy.serve.compilations import Compilations
from labelgraph_jax.deploy.serve.errors import RefusedError, WorkerError, unreadable
from labelgraph_jax.deploy.serve.limits import Limits
from labelgraph_jax.deploy.serve.metrics import Metrics
from labelgraph_jax.deploy.serve.queues import (
    Job,
    Outcome,
    Versions,
    Waiting,
    hand_over,
)
from labelgraph_jax.deploy.serve.rows import RowScorer, scorer_of
from labelgraph_jax.deploy.serve.scoring import Asked, Scorer
from labelgraph_jax.predictors.model import Model
from labelgraph_jax.predictors.tables.model import TableModel

WAIT_SHARE = 0.6
"""Share of a batch's time that the next one waits for more texts, at most."""
READ_TOGETHER = 64
"""Texts that are tokenised at a time."""
READING, SCORING = "tokenising", "scoring"
"""The work of the two threads, in words."""
GIVE_UP_AFTER = 2
"""Times the time limit of a request that one piece of work may take; then the service
ends, for a thread that is stuck cannot be ended."""
RETRY_AFTER = {"Retry-After": "1"}


class Service:
    """A model that answers many requests at a time.

    Args:
        load: gives the model; called in the thread that scores.
        limits: of the service.
        metrics: where it counts.
        say: takes what went wrong.

    Attributes:
        state: `loading`, `compiling`, `ready`, `draining` or `failed`.
        failure: what `load` or compiling raised, or why it works no more.
        shapes, seconds: how many were compiled, in what time.
        about: what /model tells, once there is a model.
    """

    def __init__(
        self,
        load: Callable[[], Model | TableModel],
        limits: Limits,
        metrics: Metrics,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.limits, self.metrics, self._say = limits, metrics, say
        self.state = "loading"
        self.failure: BaseException | None = None
        self.shapes, self.seconds = 0, 0.0
        self.scorer: Scorer | RowScorer | None = None
        self.about: dict[str, Any] = {}
        self._load = load
        self._changed = threading.Condition()
        self._inbox: deque[Job] = deque()
        self._waiting = 0
        self._stopped = False
        self._queues: Versions | None = None
        self._threads: list[threading.Thread] = []
        self._jobs: set[Job] = set()
        self._busy: dict[str, float] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._on_change: Callable[[], None] = lambda: None

    def start(self, on_change: Callable[[], None] = lambda: None) -> None:
        """Begin to load; to be called in the event loop.

        Args:
            on_change: called in the event loop once it is ready, or has failed.
        """
        self._loop, self._on_change = asyncio.get_running_loop(), on_change
        self.metrics.waiting.set_function(lambda: self._waiting)
        for work, target in ((SCORING, self._score_all), (READING, self._read_all)):
            named: dict[str, Any] = {"name": f"serve {work}", "args": (work, target)}
            thread = threading.Thread(target=self._work, daemon=True, **named)
            self._threads.append(thread)
            thread.start()
        self._watch()

    def stop(self, seconds: float = 5.0) -> bool:
        """End both threads; say whether they have ended within so many seconds."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    @property
    def trouble(self) -> str:
        """The reason why a request would not be answered in time; mostly empty."""
        work, seconds = self._longest()
        if self.state != "ready" or seconds <= self.limits.timeout / 2:
            return ""
        return f"its {work} has not come back for {seconds:.0f} seconds"

    def _longest(self) -> tuple[str, float]:
        """The work that has been going on for longest, and for how many seconds."""
        now = time.monotonic()
        began = ((since, work) for work, since in self._busy.copy().items())
        since, work = min(began, default=(now, ""))
        return work, now - since

    def _watch(self) -> None:
        """Give up once a thread is stuck; called again and again in the event loop."""
        if self._stopped or self.state == "failed":
            return
        work, seconds = self._longest()
        if seconds > GIVE_UP_AFTER * self.limits.timeout:
            said = f"{work} has not come back for {seconds:.0f} seconds"
            self._fail(WorkerError(said))
            return
        assert self._loop is not None
        self._loop.call_later(min(1.0, self.limits.timeout / 8), self._watch)

    def _work(self, work: str, target: Callable[[], None]) -> None:
        """A thread's work; that it fails ends the service."""
        try:
            target()
        except BaseException as error:
            self._say(traceback.format_exc())
            failure = WorkerError(f"{work} has failed: {type(error).__name__}: {error}")
            self._call(lambda: self._fail(failure))

    def _fail(self, error: BaseException) -> None:
        """Answer nothing any more; in the event loop."""
        self.failure, self.state = error, "failed"
        for job in self._jobs:
            if not job.future.done():
                reason = f"the service must work; {error}: come back later"
                refused = RefusedError(503, reason, "failed", RETRY_AFTER)
                job.future.set_exception(refused)
        self._on_change()

    @property
    def model(self) -> Any:
        """The model, of texts or of a table.

        Raises:
            RefusedError: it is not ready.
        """
        if self.scorer is None or self.state not in ("ready", "draining"):
            raise RefusedError(
                503,
                f"the service must be ready; it is {self.state}: come back later",
                "not_ready",
                RETRY_AFTER,
            )
        if trouble := self.trouble:
            reason = f"the service must be ready; {trouble}: come back later"
            raise RefusedError(503, reason, "stuck", RETRY_AFTER)
        return self.scorer.model

    async def answer(self, texts: Sequence[Any], asked: Asked) -> list[dict[str, Any]]:
        """Return the prediction of each text, or row of a table.

        Raises:
            RefusedError: not ready, too much waits, it takes too long, or a text is
                not read.
        """
        assert self._loop is not None
        # One job for all texts of a request.
        if not texts:
            return []
        job = Job(texts, asked, self._loop.create_future(), [None] * len(texts))
        job.left = len(texts)
        job.scorer = self.scorer
        job.what = "text" if self.scorer is None else self.scorer.what
        # Queue it, where there is room.
        with self._changed:
            if self._stopped or self._waiting + len(texts) > self.limits.max_queue:
                raise RefusedError(
                    503,
                    f"at most {self.limits.max_queue:,} texts may wait; "
                    f"{self._waiting:,} do, and {len(texts):,} came: come back later",
                    "queue_full",
                    RETRY_AFTER,
                )
            self._waiting += len(texts)
            self._inbox.append(job)
            self._changed.notify_all()
        self._jobs.add(job)
        # Wait for its rows, but no longer than the limit.
        try:
            async with asyncio.timeout(self.limits.timeout):
                await job.future
        except TimeoutError:
            raise RefusedError(
                504,
                f"an answer must come within {self.limits.timeout:g} seconds, and did "
                "not: ask for fewer texts at once",
                "timeout",
            ) from None
        finally:
            job.cancelled = True
            self._jobs.discard(job)
        return job.rows

    def _read_all(self) -> None:
        """The thread that tokenises."""
        while True:
            with self._changed:
                while not self._stopped and (not self._inbox or self._queues is None):
                    self._changed.wait()
                if self._stopped:
                    return
                jobs: list[Job] = []
                count = 0
                own = self._inbox[0].scorer
                while (
                    self._inbox
                    and count < READ_TOGETHER
                    and self._inbox[0].scorer is own
                ):
                    jobs.append(self._inbox.popleft())
                    count += len(jobs[-1].texts)
            with self._working(READING):
                self._read(jobs)

    @contextlib.contextmanager
    def _working(self, work: str) -> Iterator[None]:
        self._busy[work] = time.monotonic()
        try:
            yield
        finally:
            del self._busy[work]

    def _read(self, jobs: list[Job]) -> None:
        # What is cancelled from here on is read all the same: results stay in order.
        going = [job for job in jobs if not job.cancelled]
        gone = sum(len(job.texts) for job in jobs) - sum(len(j.texts) for j in going)
        texts = [text for job in going for text in job.texts]
        for job in going:  # one that came before there was a model has none
            job.scorer = job.scorer or self.scorer
        results = iter(self._texts(texts, jobs[0].scorer or self.scorer))
        now = time.monotonic()
        ready: list[Waiting] = []
        failed: list[Outcome] = []
        for job in going:
            for place in range(len(job.texts)):
                found = next(results)
                waiting = Waiting(job, place, found, now)
                if isinstance(found, Exception):
                    failed.append((waiting, found))
                else:
                    ready.append(waiting)
        with self._changed:
            self._waiting -= len(failed) + gone
            assert self._queues is not None
            for waiting in ready:
                self._queues.add(waiting)
            self._changed.notify_all()
        self._deliver(failed)

    def _texts(self, texts: list[Any], scorer: Any) -> Sequence[Any]:
        """Texts as the model reads them; why in place of one that it fails at."""
        try:
            return scorer.read(texts) if texts else []
        except BaseException as error:  # a panic of Rust is no Exception
            if len(texts) > 1:
                return [read for text in texts for read in self._texts([text], scorer)]
            self._say(traceback.format_exc())
            return [unreadable(error)]

    def _score_all(self) -> None:
        """The thread that loads, compiles and scores."""
        if not self._prepare():
            return
        answered, took = 0, 0.0
        while batch := self._next(answered, took):
            started = time.monotonic()
            with self._working(SCORING):
                self._deliver(self._scored(batch))
            answered, took = len(batch), time.monotonic() - started

    def _prepare(self) -> bool:
        try:
            scorer = scorer_of(self._load(), self.limits)
            self.about = scorer.about
            self.state = "compiling"
            started = time.perf_counter()
            self.shapes = scorer.compile_all(lambda: not self._stopped)
            self.seconds = time.perf_counter() - started
        except BaseException as error:
            self.failure, self.state = error, "failed"
            self._call(self._on_change)
            return False
        self.metrics.before_ready.set(Compilations.count)
        with self._changed:
            self.scorer, self._queues = scorer, Versions()
            self._queues.begin(scorer)
            if self.state == "compiling":
                self.state = "ready"
            self._changed.notify_all()
        self._call(self._on_change)
        return True

    async def swap(self, load: Callable[[], Model | TableModel]) -> None:
        """Answer with another model from now on; it is compiled beside this one."""

        def compiled() -> Scorer | RowScorer:
            scorer = scorer_of(load(), self.limits)
            scorer.compile_all(lambda: not self._stopped)
            return scorer

        scorer = await asyncio.to_thread(compiled)
        about = scorer.about
        self.metrics.before_ready.set(Compilations.count)
        with self._changed:
            self.scorer, self.about = scorer, about

    def _next(self, answered: int, took: float) -> list[Waiting]:
        """The next batch, once there is one; nothing once the service is stopped.

        Args:
            answered: texts of the last batch. Whoever got an answer may well ask
                again: so many, and those that wait already, are waited for as long as
                they keep coming.
            took: seconds of the last batch; the wait is a fraction of them.
        """
        queues = self._queues
        assert queues is not None
        with self._changed:
            expected = min(answered + len(queues), self.limits.max_batch)
            pause = self.limits.wait / 1000
            latest = time.monotonic() + pause + WAIT_SHARE * took
            held = -1
            while not self._stopped:
                if len(queues) >= max(expected, 1):
                    break
                if len(queues) > held:
                    held = len(queues)
                    end = min(latest, time.monotonic() + pause)
                left = end - time.monotonic()
                if left <= 0:
                    if len(queues):
                        break
                    expected = 1
                    self._changed.wait()
                else:
                    self._changed.wait(left)
            while not self._stopped:
                before = len(queues)
                batch = queues.take()
                self._waiting -= before - len(queues)
                if batch:
                    return batch
                self._changed.wait()
        return []

    def _scored(self, batch: list[Waiting]) -> list[Outcome]:
        started = time.perf_counter()
        try:
            read: list[Any] = [waiting.text for waiting in batch]
            rows = batch[0].job.scorer.answer(
                read,
                [waiting.job.asked for waiting in batch],
            )
        except BaseException as error:
            self._say(traceback.format_exc())
            failure = error if isinstance(error, Exception) else WorkerError(str(error))
            return [(waiting, failure) for waiting in batch]
        self.metrics.batch_seconds.observe(time.perf_counter() - started)
        self.metrics.batch_texts.observe(len(batch))
        self.metrics.documents.inc(len(batch))
        return list(zip(batch, rows, strict=True))

    def _deliver(self, outcomes: list[Outcome]) -> None:
        if outcomes:
            self._call(lambda: hand_over(outcomes))

    def _call(self, what: Callable[[], None]) -> None:
        """In the event loop, if there still is one."""
        assert self._loop is not None
        if not self._loop.is_closed():
            try:
                self._loop.call_soon_threadsafe(what)
            except RuntimeError:
                return
