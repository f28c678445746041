"""What the fleet was promised, looked up in the tables themselves."""

from collections import Counter
from collections.abc import Iterator, Set

from spotopt.e2e.database import Database
from spotopt.simulator.checks import FINAL
from spotopt.simulator.promises import Promises


def lost(promises: Promises, database: Database) -> list[str]:
    """Acknowledged and not on record, in words."""
    return [
        *_lost_instances(promises, database),
        *_lost_switches(promises, database),
        *_lost_orders(promises, database),
    ]


def doubtful_primaries(database: Database) -> list[str]:
    """Living agents that have not exactly one primary."""
    statement = (
        "SELECT a.public_id, COUNT(i.id) FROM agents a LEFT JOIN instances i "
        "ON i.agent_id = a.id AND i.status = 'running_primary' "
        "WHERE a.status <> 'deleted' GROUP BY a.id HAVING COUNT(i.id) <> 1"
    )
    return [f"agent {agent} has {count} primaries" for agent, count in database.rows(statement)]


def _lost_instances(promises: Promises, database: Database) -> Iterator[str]:
    status = dict(database.rows("SELECT instance_id, status FROM instances"))
    for instance_id in promises.registered.keys() - status.keys():
        yield f"registration of {instance_id}"
    for instance_id in promises.terminated:
        if status.get(instance_id) != "terminated":
            yield f"termination of {instance_id}, which is {status.get(instance_id, 'unknown')}"


def _lost_switches(promises: Promises, database: Database) -> Iterator[str]:
    found = Counter(database.rows("SELECT old_instance_id, new_instance_id FROM switches"))
    for pair in promises.switched:
        if found[pair] != 1:
            yield f"switch {' → '.join(pair)}, on record {found[pair]} times"


def _lost_orders(promises: Promises, database: Database) -> Iterator[str]:
    rows = database.rows("SELECT public_id, request_id, status FROM commands")
    known: Set[str] = {identifier for public_id, request_id, _ in rows for identifier in (public_id, request_id)}
    ended = {identifier for *both, status in rows if status in FINAL for identifier in both}
    for identifier in promises.ordered.keys() - known:
        yield f"order {identifier}"
    for identifier in promises.executed.keys() - ended:
        yield f"result of order {identifier}"
