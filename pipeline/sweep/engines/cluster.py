"""The cluster engine, whose slots are Ray Core actors on the cluster's nodes. Nodes may join and leave during a sweep.

Slots are actors, not Ray tasks, because a Ray task never ends if its node loses power. Ray notices a lost actor only
after a minute or more, so the engine asks each actor for heartbeats. The keepalive pings of gRPC (see
`RAY_grpc_client_keepalive_time_ms`) cannot replace these heartbeats: if a connection carries only pings for a while,
the server closes it ("too many pings"), and a long job is lost.

A node needs only Python and the same installed packages as this machine. Everything else is shipped to the node; see
`pipeline.sweep.engines.shipping`.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.errors import UserError
from pipeline.sweep.engines import KILLED, Handshake, WorkerLostError, converted
from pipeline.sweep.engines.joining import Head, chosen_device, connected, no_room, room
from pipeline.sweep.engines.node import Coordinator, Greeting, Worker
from pipeline.sweep.engines.shipping import Shipment, difference

if TYPE_CHECKING:
    from pipeline.sweep.run_progress import RunProgress

Item = TypeVar("Item")
Result = TypeVar("Result")

REPORTS = 0.5
"""The minimum number of seconds between two requests for progress reports."""
HEARTBEATS = 5.0
"""The minimum number of seconds between two requests for a heartbeat from the same worker."""
SILENCE = 25.0
"""A worker counts as lost if it does not answer a request for a heartbeat within this many seconds."""
PATIENCE = 30.0
"""If no worker has started after this many seconds, the user gets a hint."""


class ClusterSlot:
    """A Ray actor that executes one call at a time. The actor may first have to wait for room in the cluster.

    ``versions`` is the result of `Compared.versions` on this machine; the actor's node must give the same result.
    ``greeting`` is Ray's reference to the actor's `Greeting`.
    """

    where = "a node"

    def __init__(self, versions: dict[str, str], actor: Any, greeting: Any) -> None:
        self.actor, self._versions = actor, versions
        self.has_greeted = False
        self._calls: list[Future[Any]] = []
        """The submitted calls that may still be running or waiting."""
        self._heartbeat: Future[None] = Future()
        self._heartbeat.set_result(None)
        self._asked = 0.0
        self.ready: Future[Handshake] = converted(greeting.future(), self._greeted)

    def _greeted(self, reply: "Future[Greeting | Exception]") -> Handshake:
        """Return the handshake from the actor's greeting.

        Raises:
            UserError: the node lacks the device, or its versions differ from those on this machine.
        """
        greeting = self._reply(reply)
        if isinstance(greeting, Exception):
            raise greeting
        self.where, self.has_greeted = greeting.where, True
        if line := difference(self._versions, greeting.versions):
            raise UserError(f"{self.where} {line}")
        return greeting.handshake

    def submit(self, function: Callable[[Item], Result], item: Item) -> "Future[Result]":
        """Call ``function`` in the actor; the future raises a `WorkerLostError` if the actor or its node is lost."""
        call = converted(self.actor.call.remote(function, item).future(), self._result)
        self._calls = [*(earlier for earlier in self._calls if not earlier.done()), call]
        return call

    def _result(self, reply: "Future[tuple[Any, Exception | None]]") -> Any:
        result, error = self._reply(reply)
        if error is not None:
            raise error
        return result

    def _reply(self, reply: "Future[Result]") -> Result:
        """Return what the actor's method returned.

        Raises:
            WorkerLostError: the actor was lost. If its process died but its node is still running, the call may be
                the cause.
        """
        from ray.exceptions import ActorDiedError, OutOfMemoryError, RayError

        try:
            return reply.result()
        except RayError as error:
            process_died = isinstance(error, ActorDiedError) and "process has died" in str(error)
            if process_died or isinstance(error, OutOfMemoryError):
                raise WorkerLostError(KILLED, counts_against_work=True) from None
            raise self._lost() from None

    def _lost(self) -> WorkerLostError:
        return WorkerLostError(f"{self.where} was lost", counts_against_work=False)

    def check(self, now: float) -> None:
        """Request the next heartbeat if it is due; make all calls fail if the last request was not answered in time."""
        if not self.has_greeted:
            return
        if self._heartbeat.done():
            if now >= self._asked + HEARTBEATS:
                reference = self.actor.heartbeat.options(concurrency_group="heartbeat").remote()
                self._heartbeat, self._asked = reference.future(), now
        elif now > self._asked + SILENCE:
            for call in self._calls:
                with suppress(InvalidStateError):  # the call has ended
                    call.set_exception(self._lost())


class ClusterEngine:
    """An engine that uses the Ray cluster that this machine belongs to.

    Args:
        address: HOST:PORT of the cluster's head, or `auto`.
        limit: the maximum number of slots to use.
        jobs: the number of slots that the user asked for; None for as many as fit.
        device: the value of `--device`.
        shipment: the code and files that the nodes need.
        tell: prints a line for the user.

    Raises:
        UserError, ExternalError: the cluster cannot be used. The message has one line.
    """

    def __init__(
        self,
        address: str,
        limit: int,
        jobs: int | None,
        device: str,
        shipment: Shipment,
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.limit, self._tell, self._compared = min(limit, jobs or limit), tell, shipment.compared
        self._versions = shipment.compared.versions()
        with TemporaryDirectory() as folder:
            digests = shipment.pack(Path(folder))
            self._ray, self.address = connected(address, Path(folder))
        try:
            nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
            self.device, share = chosen_device(device, nodes, jobs)
            self.room = min(self.limit, room(nodes, share))
            if self.room == 0:
                raise UserError(no_room(self.address, nodes, share))
            self._slots: list[ClusterSlot] = []
            self._needs_hint = True
            self._begun = self._next_reports = time.monotonic()
            self._head = Head(self.address, self._begun)
            files = shipment.files.items()
            self._files = {name: (digests[name], self._ray.put(file.read_bytes())) for name, file in files}
            self._coordinator = self._start_coordinator()
            self._reports: Future[list[RunProgress]] | None = None
            needs = {"num_cpus": 1, "num_gpus": share, "max_restarts": 0, "concurrency_groups": {"heartbeat": 1}}
            self._worker = self._ray.remote(**needs)(Worker)
        except BaseException:
            self._ray.shutdown()
            raise

    def _start_coordinator(self) -> Any:
        """Start the coordinator on this machine."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(self._ray.get_runtime_context().get_node_id(), soft=False)
        options = {"num_cpus": 0, "max_concurrency": 8, "scheduling_strategy": here}
        return self._ray.remote(Coordinator).options(**options).remote()

    def start_slot(self) -> ClusterSlot:
        """Start an actor, which waits until the cluster has room for it."""
        actor = self._worker.remote()
        greeting = actor.begin.remote(self.device, self._coordinator, self._files, self._compared)
        self._slots.append(ClusterSlot(self._versions, actor, greeting))
        return self._slots[-1]

    def remove(self, slot: ClusterSlot) -> None:
        """Kill a lost actor, which may still be running on a node that has lost its connection."""
        self._slots.remove(slot)
        if slot.has_greeted:
            self._tell(f"a worker on {slot.where} was lost; its work resumes elsewhere from its checkpoint")
        with suppress(Exception):
            self._ray.kill(slot.actor)

    def reports(self) -> "list[RunProgress]":
        """Return the progress reports that have arrived since the previous call, without waiting for new reports."""
        reports: list[RunProgress] = []
        if self._reports is not None and self._reports.done():
            with suppress(Exception):
                reports = self._reports.result()
            self._reports = None
        if self._reports is None and time.monotonic() >= self._next_reports:
            self._next_reports = time.monotonic() + REPORTS
            self._reports = self._coordinator.reports.remote().future()
        return reports

    def check(self) -> None:
        """Check the head and all workers; give the user a hint if no worker has started after `PATIENCE` seconds.

        Raises:
            ExternalError: the head is gone.
        """
        now = time.monotonic()
        self._needs_hint = self._needs_hint and not any(slot.has_greeted for slot in self._slots)
        if self._needs_hint and now > self._begun + PATIENCE:
            self._tell(f"no worker has begun yet in the cluster at {self.address}; do other programs use its cores?")
            self._needs_hint = False
        for slot in self._slots:
            slot.check(now)
        self._head.check(now)

    def kill(self) -> None:
        """End all actors at once, even in the middle of a call, and leave the cluster."""
        for slot in self._slots:
            with suppress(Exception):
                self._ray.kill(slot.actor)
        self.end()

    def end(self) -> None:
        """End the actors of this sweep by leaving the cluster."""
        self._ray.shutdown()
