"""The cluster engine: a slot is an actor of Ray Core on any node. Nodes may join and leave while a sweep is trained.

Actors and not tasks: a task on a node that loses power never ends. Of an actor, Ray notices it after a minute or more,
so that each is asked for its pulse. gRPC's own, `RAY_grpc_client_keepalive_time_ms`, will not do: a server closes a
connection after a few of them without data in between ("too many pings"), and that ends every longer job.

Nothing of a node is relied on but its Python, and what is installed there: see `pipeline.sweep.engines.shipping`.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.errors import UserError
from pipeline.sweep.engines import Handshake, Loss
from pipeline.sweep.engines.joining import Head, connected, decided, listens, no_room, room
from pipeline.sweep.engines.node import Desk, Greeting, Worker
from pipeline.sweep.engines.shipping import Shipment, difference

if TYPE_CHECKING:
    from pipeline.sweep.news import News

Item = TypeVar("Item")
Result = TypeVar("Result")

LOOKS = 0.5
"""Seconds between two looks at the desk, at the least."""
PROBES = 5.0
"""Seconds between two looks at each actor."""
PULSE = 25.0
"""An actor is lost if it gives no sign of life for so many seconds."""
PATIENCE = 30.0
"""Seconds without a slot after which one is told that there is no room."""


class _GoneError(Exception):
    """There is no sign of life of an actor any more."""


class Slot:
    """An actor that works on one thing at a time.

    Args:
        engine: that it belongs to.
        number: unlike that of any other.
        actor: which may still wait for room.
        greeting: Ray's reference to what it says once it has begun.
    """

    where = "a node"
    node = ""

    def __init__(self, engine: "Cluster", number: int, actor: Any, greeting: Any) -> None:
        self.number, self.actor, self._engine = number, actor, engine
        self.epochs = self.settled = 0
        self._work: Future[Any] = Future()
        self._pulse: Future[None] | None = None
        self._pulsed = 0.0
        self.ready: Future[Handshake] = engine.future(greeting, self._greet)

    def _greet(self, greeting: Greeting | Exception) -> Handshake:
        """Take in what it says.

        Raises:
            UserError: its node differs from this machine, or has no such device.
        """
        if isinstance(greeting, Exception):
            raise greeting
        self.where, self.node = greeting.where, greeting.node
        if line := difference(self._engine.here, greeting.found):
            raise UserError(f"{self.where} {line}")
        return greeting.handshake

    def submit(self, function: Callable[[Item], Result], item: Item) -> "Future[Result]":
        """Have it call ``function``."""
        self._work = self._engine.future(self.actor.call.remote(function, item), self._result)
        return self._work

    def feel(self, now: float) -> None:
        """Ask for its pulse; give it up if there is none for long."""
        if not self.ready.done() or self.ready.exception() is not None:
            return
        if self._pulse is None or self._pulse.done():
            self._pulse, self._pulsed = self.actor.pulse.options(concurrency_group="pulse").remote().future(), now
        elif now > self._pulsed + PULSE and not self._work.done():
            self._work.set_exception(_GoneError())

    def _result(self, answer: tuple[Any, Exception | None, int]) -> Any:
        result, error, epochs = answer
        self.epochs = max(self.epochs, epochs)
        if error is not None:
            raise error
        return result

    def loss(self, error: BaseException) -> Loss | None:
        """Return how the actor or its node was lost, if ``error`` says so: a process that dies alone is to blame."""
        from ray.exceptions import ActorDiedError, OutOfMemoryError, RayError

        if not isinstance(error, RayError | _GoneError):
            return None
        if isinstance(error, OutOfMemoryError) or (
            isinstance(error, ActorDiedError) and "process has died" in str(error)
        ):
            return Loss("a worker process was ended from outside", to_blame=True)
        return Loss(f"{self.where} was lost", to_blame=False)

    def settle(self) -> None:
        """Count all epochs so far as settled: that work is done."""
        self.settled = self.epochs


class Cluster:
    """A Ray cluster that this machine belongs to.

    Args:
        address: HOST:PORT of its head, or `auto`.
        limit: the most slots that are wanted.
        jobs: the slots that the user asks for; None: as many as there is room for.
        device: as `--device` names it.
        shipment: what the nodes need.
        tell: called with a line that the user should know of.

    Raises:
        UserError, ExternalError: it cannot be used; why is one line.
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
        self.limit, self._tell = min(limit, jobs or limit), tell
        self.here = shipment.compared.found()
        with TemporaryDirectory() as folder:
            digests = shipment.pack(Path(folder))
            self._ray, self.address = connected(address, Path(folder))
        try:
            nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
            self.device, share = decided(device, nodes, jobs)
            self.room = min(self.limit, room(nodes, share))
            if self.room == 0:
                raise UserError(no_room(self.address, nodes, share))
            self._ready = self._told = False
            self._begun = self._looked = time.monotonic()
            self._head = Head(self.address, self._begun)
            self._slots: dict[int, Slot] = {}
            self._numbers = 0
            self._settle: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
            self._thread = threading.Thread(target=self._settle_futures, daemon=True, name="cluster")
            self._thread.start()
            self._files = {name: (digests[name], self._put(file)) for name, file in shipment.files.items()}
            self._desk = self._ray.remote(Desk).options(num_cpus=0, max_concurrency=8, **self._beside()).remote()
            self._drained: Future[tuple[dict[int, int], list[News]]] | None = None
            needs = {"num_cpus": 1, "num_gpus": share, "max_restarts": 0, "concurrency_groups": {"pulse": 1}}
            self._worker = self._ray.remote(**needs)(Worker)
            self._compared = shipment.compared
        except BaseException:
            self._ray.shutdown()
            raise

    def _beside(self) -> dict[str, Any]:
        """Return the options of an actor on this machine."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = self._ray.get_runtime_context().get_node_id()
        return {"scheduling_strategy": NodeAffinitySchedulingStrategy(here, soft=False)}

    def _put(self, file: Path) -> Any:
        return self._ray.put(file.read_bytes())

    def has(self, node: str) -> bool:
        """Return True if a node is there: Ray learns of a process that has died before it learns why."""
        found = [each for each in self._ray.nodes() if each["NodeID"] == node and each["Alive"]]
        return any(listens(f"{each['NodeManagerAddress']}:{each['NodeManagerPort']}") for each in found)

    def slot(self) -> Slot:
        """Begin an actor; it waits for room."""
        self._numbers += 1
        actor = self._worker.remote()
        greeting = actor.begin.remote(self._numbers, self.device, self._desk, self._files, self._compared)
        slot = self._slots[self._numbers] = Slot(self, self._numbers, actor, greeting)
        slot.ready.add_done_callback(lambda _: setattr(self, "_ready", True))
        return slot

    def future(self, reference: Any, turned: Callable[[Any], Any]) -> "Future[Any]":
        """Return a future of what ``turned`` makes of Ray's reference.

        It is set in a thread of its own: in Ray's, which sets Ray's futures, nothing may be asked of Ray.
        """
        found: Future[Any] = Future()

        def settle(done: "Future[Any]") -> None:
            if found.done():
                return  # it was given up
            try:
                found.set_result(turned(done.result()))
            except BaseException as error:
                found.set_exception(error)

        reference.future().add_done_callback(lambda done: self._settle.put(lambda: settle(done)))
        return found

    def _settle_futures(self) -> None:
        felt = time.monotonic()
        while True:
            with suppress(Empty):
                if (settle := self._settle.get(timeout=1)) is None:
                    return
                settle()
            if (now := time.monotonic()) >= felt + PROBES:
                felt = now
                for slot in [*self._slots.values()]:
                    slot.feel(now)

    def lost(self, slot: Slot) -> None:
        """Make sure that an actor that was lost does nothing any more, wherever it is."""
        del self._slots[slot.number]
        if slot.where != Slot.where:
            self._tell(f"a worker on {slot.where} was lost; what it did goes on elsewhere from its checkpoint")
        with suppress(Exception):
            self._ray.kill(slot.actor)

    def news(self) -> "list[News]":
        """Return what the actors have told of the runs that they train; they are asked without waiting."""
        found: list[News] = []
        if self._drained is not None and self._drained.done():
            with suppress(Exception):
                counts, found = self._drained.result()
                for number, epochs in counts.items():
                    if number in self._slots:
                        self._slots[number].epochs = max(self._slots[number].epochs, epochs)
            self._drained = None
        if self._drained is None and time.monotonic() >= self._looked + LOOKS:
            self._looked = time.monotonic()
            self._drained = self._desk.drain.remote().future()
        return found

    def check(self) -> None:
        """Look whether the head of the cluster is there, and tell if there is no room for long.

        Raises:
            ExternalError: it is gone.
        """
        now = time.monotonic()
        if not self._ready and not self._told and now > self._begun + PATIENCE:
            self._tell(f"no worker has begun yet in the cluster at {self.address}: do others use its cores?")
            self._told = True
        self._head.check(now)

    def kill(self) -> None:
        """End all actors at once, whatever they are doing, and leave the cluster."""
        for slot in self._slots.values():
            with suppress(Exception):
                self._ray.kill(slot.actor)
        self.end()

    def end(self) -> None:
        """Leave the cluster; what belongs to this sweep ends there."""
        if self._thread.is_alive():
            self._settle.put(None)
            self._thread.join()
        self._ray.shutdown()
