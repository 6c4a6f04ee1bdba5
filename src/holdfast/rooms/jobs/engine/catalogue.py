"""The kinds of jobs that this process knows."""

from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any

from holdfast.kernel.errors import Misconfigured
from holdfast.ports.jobs import JobFunction, JobSpec, Retry
from holdfast.rooms.jobs.engine.calling import Plain, function_of, is_async
from holdfast.rooms.jobs.engine.isolation import Isolated
from holdfast.rooms.jobs.rules import payloads
from holdfast.rooms.jobs.rules.kinds import Kinds, Policy
from holdfast.rooms.jobs.rules.payloads import UniqueKey
from holdfast.rooms.jobs.rules.problems import UnknownKindOfJob
from holdfast.rooms.jobs.store.rows import Claimed


class Declared:
    """One kind of job, ready to be enqueued and run."""

    __slots__ = ("call", "is_async", "isolated", "name", "retries", "spec", "unique")

    def __init__(self, spec: JobSpec, isolated_env: Sequence[str] = ()) -> None:
        self.spec = spec
        self.name = spec.name
        self.call: JobFunction = spec.run
        self.is_async = is_async(spec.run)
        self.unique = UniqueKey(spec.name, spec.unique, spec.payload)
        self.retries: dict[str, Policy] = {
            kind: Policy(retry.delays_s, retry.heeds_retry_after) for kind, retry in spec.retries.items()
        }
        self.isolated: Isolated | None = None
        if spec.isolated:
            self.isolated = Isolated(spec.run, spec.payload, spec.memory_bytes, isolated_env)

    def encode(self, payload: Any) -> bytes:
        """The payload as JSON; raises BadPayload or PayloadTooLarge."""
        return payloads.encode(self.name, self.spec.payload, payload)

    def decode(self, job: Claimed) -> Any:
        """What the job is given; raises BadPayload or PayloadTooNew."""
        spec = self.spec
        return payloads.decode(self.name, spec.payload, job.payload, job.version, spec.version, spec.upgrades)

    def decode_raw(self, raw: str) -> Any:
        """A payload of today's version that stands elsewhere than in a job's row: in a schedule's."""
        return payloads.decode(self.name, self.spec.payload, raw, self.spec.version, self.spec.version, {})


class Catalogue:
    """Kinds of jobs by name and by function."""

    def __init__(self, kinds: Kinds, isolated_env: Sequence[str] = ()) -> None:
        self._kinds = kinds
        self._isolated_env = tuple(isolated_env)
        self._declared: dict[str, Declared] = {}
        self._by_function: dict[Any, Declared] = {}

    def declare(self, spec: JobSpec) -> Declared:
        """Make it known; raises Misconfigured for a name that is taken or what cannot be kept."""
        if not spec.name or len(spec.name) > 200:
            raise Misconfigured(f"{spec.name[:60]!r} is no name of a job", hint="use 1 to 200 characters")
        if spec.name in self._declared:
            raise Misconfigured(f"a job {spec.name!r} is declared already", hint="names are told apart")
        if spec.attempts < 1 or spec.timeout_s <= 0:
            raise Misconfigured(f"{spec.name}: attempts and timeout_s are at least one, and above zero")
        payloads.check_upgrades(spec.name, spec.version, spec.upgrades)
        declared = Declared(spec, self._isolated_env)
        self._kinds.check(declared.retries)
        self._declared[spec.name] = declared
        self._by_function.setdefault(function_of(spec.run), declared)
        return declared

    def get(self, name: str) -> Declared | None:
        return self._declared.get(name)

    def named(self, job: str | Callable[..., Any]) -> Declared:
        """By its name, or by its function; raises UnknownKindOfJob."""
        found = self._declared.get(job) if isinstance(job, str) else self._by_function.get(job)
        if found is None:
            said = job if isinstance(job, str) else getattr(job, "__qualname__", repr(job))
            near = get_close_matches(said, self._declared, n=1)
            raise UnknownKindOfJob(
                f"no job {said[:80]!r} is declared",
                hint=f"did you mean {near[0]!r}?" if near else "declare it before the start",
            )
        return found

    def __iter__(self) -> Iterator[Declared]:
        return iter(self._declared.values())

    def __len__(self) -> int:
        return len(self._declared)


def spec_of(
    function: Callable[..., Any],
    queue: str,
    *,
    name: str = "",
    retry: dict[str, Retry] | None = None,
    **options: Any,
) -> JobSpec:
    """The kind of job that a decorated function is: named as the function, given its parameters."""
    plain = Plain(function)
    module = function.__module__.rpartition(".")[2] or "main"
    named = name or f"{module.strip('_')}.{function.__name__}"
    return JobSpec(name=named, run=plain, payload=plain.payload, queue=queue, retries=retry or {}, **options)
