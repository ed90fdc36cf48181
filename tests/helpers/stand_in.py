"""Stand-in for Google's quantum engine service: its gRPC protocol on loopback, with faults on demand.

`with StandIn() as service: service.engine()` returns an unpatched client connected to it. `python -m tests.helpers.stand_in`
serves from a separate process and prints its port, to which `client(address)` connects.
"""

from __future__ import annotations

import argparse
import os
import queue
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

import cirq_google as cg
import grpc  # type: ignore[import-untyped]
from cirq_google.cloud import quantum
from cirq_google.cloud.quantum_v1alpha1.services.quantum_engine_service.transports import (
    QuantumEngineServiceGrpcAsyncIOTransport,
)
from cirq_google.engine.asyncio_executor import AsyncioExecutor
from cirq_google.engine.engine import EngineContext
from cirq_google.engine.engine_client import EngineClient
from cirq_google.engine.stream_manager import StreamError

sys.path.insert(0, str(Path(__file__).parent))  # for `python -m tests.helpers.stand_in`
from stand_in_service import MESSAGES, STATUSES, Code, Fault, Quantum, Refusal, State

__all__ = ["Fault", "StandIn", "break_client", "client", "disconnect"]
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # a service that stops is expected
SERVICE = "google.cloud.quantum.v1alpha1.QuantumEngineService"


class StandIn:
    """Stand-in service, which keeps its programs and jobs when it is stopped and started again.

    Args:
        port: Port to listen on; 0 takes a free one.
        settings: Settings of `Quantum`.
    """

    def __init__(self, *, port: int = 0, **settings: Any) -> None:
        self.port, self.quantum = port, Quantum(**settings)
        self.calls: list[tuple[str, Any]] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._clients: list[EngineClient] = []

    def __enter__(self) -> StandIn:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._clients:
            disconnect(each)
        self.stop()

    @property
    def executions(self) -> Counter[str]:
        """Number of executions of each job id."""
        return self.quantum.executions

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        self._closing = threading.Event()
        self._server = grpc.server(ThreadPoolExecutor(max_workers=32), options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, self._handlers())])
        self.port = self._server.add_insecure_port(self.address)
        self._server.start()

    def stop(self) -> None:
        self._closing.set()
        self._server.stop(None).wait()

    def engine(self, project: str = "p", *, streaming: bool = False) -> cg.Engine:
        """Return the real client, connected to this service."""
        engine = client(self.address, project, streaming=streaming)
        self._clients.append(engine.context.client)
        return engine

    def connected(self) -> AbstractContextManager[None]:
        """Let all projects of a block be reached at this service."""
        return connected(lambda project, **options: self.engine(project, **options))

    def inject(self, *faults: Fault) -> None:
        """Replace the faults of the following calls and jobs."""
        with self._lock:
            self.quantum.faults[:] = faults

    def count(self, method: str) -> int:
        """Return the number of calls of a method."""
        return sum(name == method for name, _ in self.calls)

    def _handlers(self) -> dict[str, Any]:
        known = self.quantum
        unary: dict[str, tuple[Any, Callable[[Any], Any]]] = {
            "CreateQuantumProgram": (quantum.CreateQuantumProgramRequest, lambda r: known.create_program(r.quantum_program)),
            "GetQuantumProgram": (quantum.GetQuantumProgramRequest, lambda r: known.get(known.programs, r.name)),
            "CreateQuantumJob": (quantum.CreateQuantumJobRequest, lambda r: known.create_job(r.quantum_job).now()),
            "GetQuantumJob": (quantum.GetQuantumJobRequest, lambda r: known.get(known.jobs, r.name).now()),
            "CancelQuantumJob": (quantum.CancelQuantumJobRequest, lambda r: known.cancel(r.name)),
            "GetQuantumResult": (quantum.GetQuantumResultRequest, lambda r: known.result(r.parent)),
            "GetQuantumProcessor": (quantum.GetQuantumProcessorRequest, lambda r: known.get_processor(r.name)),
            "ListQuantumProcessors": (quantum.ListQuantumProcessorsRequest, lambda r: known.list_processors(r.parent)),
            "ListQuantumTimeSlots": (quantum.ListQuantumTimeSlotsRequest, lambda r: known.list_time_slots(r.parent)),
            "GetQuantumProcessorConfig": (quantum.GetQuantumProcessorConfigRequest, lambda r: known.get_config(r.name)),
        }
        handlers: dict[str, Any] = {
            method: grpc.unary_unary_rpc_method_handler(
                self._handler(method, answer), request.deserialize, lambda message: message.SerializeToString()
            )
            for method, (request, answer) in unary.items()
        }
        handlers["QuantumRunStream"] = grpc.stream_stream_rpc_method_handler(
            self._stream, quantum.QuantumRunStreamRequest.deserialize, quantum.QuantumRunStreamResponse.serialize
        )
        return handlers

    def _handler(self, method: str, answer: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
        def handle(request: Any, context: grpc.ServicerContext) -> Any:
            fault = self._record_call(method, request)
            try:
                message: Any = None if fault == "hang" else self._perform(fault, lambda: answer(request))
            except Refusal as error:
                context.abort(error.status, str(error))
            if fault in ("hang", "no_answer"):
                self._wait(context)
            return getattr(message, "_pb", message)

        return handle

    def _stream(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        """Answer each request once its job has finished, in any order."""
        inbox: queue.Queue[Any] = queue.Queue()

        def read() -> None:
            try:
                for request in requests:
                    inbox.put(request)
            except grpc.RpcError:  # the client is gone
                pass

        threading.Thread(target=read, daemon=True).start()
        waiting: dict[str, str] = {}
        while context.is_active() and not self._closing.is_set():
            for message_id, name in list(waiting.items()):
                if (ended := self._ended(name)) is not None:
                    yield quantum.QuantumRunStreamResponse(message_id=message_id, **ended)
                    del waiting[message_id]
            try:
                request = inbox.get(timeout=0.005)
            except queue.Empty:
                continue
            fault = self._record_call("QuantumRunStream", request)
            try:
                name = "" if fault == "hang" else self._perform(fault, partial(self._on_stream, request))
            except Refusal as error:
                if error.code is None:
                    context.abort(error.status, str(error))
                problem = quantum.StreamError(code=error.code, message=str(error))
                yield quantum.QuantumRunStreamResponse(message_id=request.message_id, error=problem)
            else:
                if fault not in ("hang", "no_answer"):
                    waiting[request.message_id] = name

    def _ended(self, name: str) -> dict[str, Any] | None:
        """Return the result of a job that succeeded or the job itself if it failed; None while it is under way."""
        job = self.quantum.jobs[name].now()
        state = quantum.QuantumJob.pb(job).execution_status.state
        if state == State.SUCCESS:
            return {"result": self.quantum.result(name)}
        return {"job": job} if state in (State.FAILURE, State.CANCELLED) else None

    def _on_stream(self, request: quantum.QuantumRunStreamRequest) -> str:
        """Execute a request on the stream and return the name of the job whose end answers it."""
        known = self.quantum
        if "get_quantum_result" in request:
            return str(known.get(known.jobs, request.get_quantum_result.parent, Code.JOB_DOES_NOT_EXIST).job.name)
        if "create_quantum_program_and_job" in request:
            both = request.create_quantum_program_and_job
            known.create_program(both.quantum_program)
            return str(known.create_job(both.quantum_job).job.name)
        return str(known.create_job(request.create_quantum_job.quantum_job).job.name)

    def _record_call(self, method: str, request: Any) -> str:
        with self._lock:
            self.calls.append((method, request))
            return self.quantum.fault(method).kind

    def _perform(self, fault: str, action: Callable[[], Any]) -> Any:
        if fault in STATUSES:
            raise Refusal(STATUSES[fault], None, MESSAGES.get(fault, f"injected: {fault}"))
        with self._lock:
            done = action()
        if fault.removeprefix("after_") in STATUSES:
            raise Refusal(STATUSES[fault.removeprefix("after_")], None, f"injected: {fault}")
        if fault == "lost":
            raise Refusal(grpc.StatusCode.UNAVAILABLE, None, "injected: the connection broke")
        return done

    def _wait(self, context: grpc.ServicerContext) -> NoReturn:
        """Block without an answer until the client hangs up or the service stops."""
        while context.is_active() and not self._closing.wait(0.02):
            pass
        context.abort(grpc.StatusCode.CANCELLED, "the client hung up")
        raise AssertionError


def client(address: str, project: str = "p", *, streaming: bool = False) -> cg.Engine:
    """Return the real client of cirq_google, connected to a loopback address, with a transport in its own event loop."""

    async def transport() -> QuantumEngineServiceGrpcAsyncIOTransport:
        quick = [(f"grpc.{which}_reconnect_backoff_ms", 50) for which in ("initial", "min", "max")]
        channel = grpc.aio.insecure_channel(address, options=[*quick, ("grpc.use_local_subchannel_pool", 1)])
        return QuantumEngineServiceGrpcAsyncIOTransport(channel=channel)

    made = AsyncioExecutor.instance().submit(transport).result()
    engine_client = EngineClient(service_args={"transport": made}, verbose=False, max_retry_delay_seconds=0)
    context = EngineContext(client=engine_client, enable_streaming=streaming, compress_run_context=True)
    return cg.Engine(project, context=context)


@contextmanager
def connected(connect: Callable[..., cg.Engine]) -> Iterator[None]:
    """Let a function connect the library, and with it the command line, to all projects of a block."""
    with ExitStack() as stack:
        for module in ("google", "google_calls"):
            stack.enter_context(mock.patch(f"hattriq_cirq.execution.backends.{module}.connect", connect))
        yield


def break_client(engine: cg.Engine, method: str, error: BaseException, *, times: float = 1, after: bool = False) -> None:
    """Let the client's own call of a method raise an error, such as a broken connection, for a number of times.

    Args:
        engine: Client from `client`.
        method: Method of the service in the words of the client, such as create_quantum_job.
        error: Error to raise.
        times: Number of calls.
        after: True to raise it after the service has answered.
    """
    grpc_client: Any = engine.context.client.grpc_client
    original, left = getattr(grpc_client, method), [times]

    async def broken(*arguments: Any, **settings: Any) -> Any:
        fails, left[0] = left[0] > 0, left[0] - 1
        answer = await original(*arguments, **settings) if after or not fails else None
        if fails:
            raise error
        return answer

    setattr(grpc_client, method, broken)


def disconnect(engine_client: EngineClient) -> None:
    """Close a client's stream and channel; an open stream would try to reconnect for ever."""
    transport: Any = engine_client.grpc_client.transport  # created in the event loop, which must not request it again

    async def close() -> None:
        manager = vars(engine_client).get("_stream_manager")
        if manager is not None and manager._manage_stream_loop_future is not None:
            manager._manage_stream_loop_future.cancel()
            manager._response_demux.publish_exception(StreamError("the client was closed"))
        await transport.close()

    AsyncioExecutor.instance().submit(close).result(timeout=10)


def main() -> None:
    """Serve until the process is terminated."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--job-seconds", type=float, default=0.0, help="duration of every job")
    parser.add_argument("--log", type=Path, help="file that gets a line for each job that ran")
    options = parser.parse_args()
    with StandIn(port=options.port, job_seconds=options.job_seconds, log=options.log) as service:
        print(service.port, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
