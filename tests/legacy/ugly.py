"""Made-up old data with everything that was seen in old databases, and worse."""

import random
from datetime import datetime, timedelta

ZERO = "0000-00-00 00:00:00"
NOW = datetime(2026, 1, 5, 12)  # noqa: DTZ001 (as the old server wrote them)
ROCKET = "🚀 rakéta 火箭"
BROKEN_JSON = ['{"a": ', "[1, 2]", "null", "NaN", '{"deep": ' + "[" * 40 + "]" * 40 + "}", '{"ok": "\\ud83d"}', ""]
STATUSES = ["running_primary", "running_primary", "running_replica", "zombie", "terminated", "launching", "???", None]
CLIENTS, AGENTS_EACH = 8, 6
POOLS = [f"{kind}.us-east-1{zone}" for kind in ("t3.medium", "m5.large") for zone in "ab"]


class Ugly:
    def __init__(self, legacy, seed=1):
        self.legacy, self.chance = legacy, random.Random(seed)

    def fill(self, *, prices):
        clients = [f"c{n:07}-0000-4000-8000-00000000000{n}" for n in range(CLIENTS)]
        for n, client in enumerate(clients):
            self.add_client(client, n)
        agents = [(f"a{n:07}-0000-4000-8000-{n:012}", clients[n % CLIENTS]) for n in range(CLIENTS * AGENTS_EACH)]
        for n, (agent, client) in enumerate(agents):
            self.add_agent(agent, client, n)
        for n in range(4 * len(agents)):
            self.add_instance(*self.chance.choice(agents), n)
            self.add_replica(self.chance.choice(agents)[0], n)
            self.add_switch(*self.chance.choice(agents), n)
            self.add_messages(*self.chance.choice(agents), n)
        self.add_duplicates(clients, agents)
        self.add_sessions_and_savings(clients)
        self.add_prices(prices)

    def one_of(self, *values):
        return self.chance.choice(values)

    def time(self):
        at = NOW - timedelta(seconds=self.chance.randrange(40 * 24 * 3600))
        return self.one_of(at, at, at, at, ZERO, None)

    def text(self, length):
        return self.one_of("text", ROCKET, "x" * length * 2, "", "unknown", " padded ", None)

    def add_client(self, client, n):
        self.legacy.add(
            "clients",
            id=client,
            name=self.one_of(f"Client {n}", "Twin", "twin", ROCKET, "", "y" * 300),
            email=self.one_of(f"c{n}@example.com", "same@example.com", "nonsense", ""),
            client_token=self.one_of(f"token-{n}-abcdef", "token-shared", "", f" token-spaced-{n} "),
            status=self.one_of("active", None, "suspended"),
            is_active=self.one_of(1, 1, 0, None),
            total_savings=self.one_of("1.5", None, "-99999999.9999"),
            default_terminate_wait_seconds=self.one_of(300, -1, None, 2**31 - 1),
            created_at=self.time(),
            metadata=self.one_of(*BROKEN_JSON),
        )

    def add_agent(self, agent, client, n):
        self.legacy.add(
            "agents",
            id=agent,
            client_id=self.one_of(client, client, client, client, "nobody"),
            logical_agent_id=self.one_of(f"web-{n}", "web", "", ROCKET, "z" * 300),
            hostname=self.text(255),
            instance_id=self.one_of(f"i-{n:017x}", f"i-{n:017x}", "", "unknown", "replica-12", None),
            instance_type=self.one_of("t3.medium", None),
            az=self.one_of("us-east-1a", "", None),
            current_mode=self.one_of("spot", "on-demand", "unknown", None),
            current_pool_id=self.one_of(POOLS[0], None, "7"),
            agent_version=self.text(32),
            status=self.one_of("online", "offline", "switching", "deleted", "nonsense", None),
            enabled=self.one_of(1, 0, None),
            auto_switch_enabled=self.one_of(1, 0, None),
            manual_replica_enabled=self.one_of(1, 0, None),
            config_version=self.one_of(0, 7, -3, None),
            interruption_handled_count=self.one_of(0, -4, None),
            last_heartbeat_at=self.time(),
            terminated_at=self.time(),
            created_at=self.time(),
            installed_at=self.time(),
            updated_at=self.time(),
            metadata=self.one_of(*BROKEN_JSON),
        )
        self.legacy.add(
            "agent_configs",
            agent_id=self.one_of(agent, agent, "nobody"),
            min_savings_percent=self.one_of("15", "-5", "999.99", None),
            risk_threshold=self.one_of("0.3", "9.99", None),
            max_switches_per_week=self.one_of(10, -1, 2**31 - 1, None),
        )

    def add_instance(self, agent, client, n):
        number = self.chance.randrange(60)
        self.legacy.add(
            "instances",
            id=self.one_of(f"i-{number:017x}", f"i-{n + 1000:017x}", "replica-9", "i-" + "f" * 70, ""),
            client_id=self.one_of(client, client, client, "nobody", "c0000001-0000-4000-8000-000000000001"),
            agent_id=self.one_of(agent, agent, agent, None, "nobody"),
            instance_type=self.one_of("t3.medium", "", ROCKET),
            region=self.one_of("us-east-1", ""),
            az=self.one_of("us-east-1a", "", "w" * 60),
            current_mode=self.one_of("spot", "ondemand", "OD", None),
            instance_status=self.one_of(*STATUSES),
            is_active=self.one_of(1, 1, 0, None),
            is_primary=self.one_of(1, 0, None),
            installed_at=self.time(),
            last_switch_at=self.time(),
            terminated_at=self.one_of(None, None, None, ZERO, NOW),
            termination_confirmed=self.one_of(0, 0, 1, None),
            created_at=self.time(),
            updated_at=self.time(),
        )

    def add_replica(self, agent, n):
        self.legacy.add(
            "replica_instances",
            id=self.one_of(f"r{n}", f"r{n}", "r" * 200, "same"),
            agent_id=self.one_of(agent, agent, "nobody"),
            instance_id=self.one_of(f"i-{n % 60:017x}", f"i-{n + 1000:017x}", f"manual-{n}", f"emergency-{n}", ""),
            replica_type=self.one_of("manual", "automatic-rebalance", "automatic-termination"),
            pool_id=self.one_of(POOLS[1], "", None, "12"),
            status=self.one_of("launching", "syncing", "ready", "promoted", "terminated", "failed"),
            is_active=self.one_of(1, 0, None),
            sync_status=self.one_of("initializing", "synced", None),
            sync_latency_ms=self.one_of(5, -5, None),
            state_transfer_progress=self.one_of("50", "-1", "999", None),
            created_by=self.text(255),
            error_message=self.text(300),
            created_at=self.time(),
            terminated_at=self.time(),
            tags=self.one_of(*BROKEN_JSON),
        )

    def add_switch(self, agent, client, n):
        self.legacy.add(
            "switches",
            id=f"s{n}",
            client_id=self.one_of(client, client, "nobody"),
            agent_id=self.one_of(agent, agent, "nobody"),
            old_instance_id=self.one_of(f"i-{n % 9:017x}", None, ""),
            new_instance_id=self.one_of(f"i-{n % 7:017x}", f"i-{n:017x}", None),
            old_mode=self.one_of("spot", "ondemand", None),
            new_mode=self.one_of("spot", None, "???"),
            new_pool_id=self.one_of(POOLS[0], "3", None),
            on_demand_price=self.one_of("0.0416", "0", "-1", None),
            savings_impact=self.one_of("0.03", "-0.02", None),
            event_trigger=self.one_of("manual", "model", "emergency", "cosmic", None),
            timestamp=self.time(),
            created_at=self.time(),
            downtime_seconds=self.one_of(None, 0, 45, -5),
            success=self.one_of(1, 0, None),
            error_message=self.text(300),
        )

    def add_messages(self, agent, client, n):
        shared = {
            "client_id": self.one_of(client, client, "nobody"),
            "agent_id": self.one_of(agent, None),
            "message": self.one_of("Something", ROCKET, "long " * 10_000, "Bearer abcdef", ""),
            "severity": self.one_of("info", "warning", "critical", "odd", None),
            "created_at": self.time(),
        }
        kind = self.one_of("switch", "t" * 50, None)
        read = self.one_of(0, 1, None)
        self.legacy.add(
            "notifications", id=f"n{n}", notification_type=kind, title=self.text(255), is_read=read, **shared
        )
        metadata = self.one_of(*BROKEN_JSON)
        self.legacy.add("system_events", id=n, event_type=self.one_of("a", "b", ""), metadata=metadata, **shared)

    def add_duplicates(self, clients, agents):
        self.legacy.execute("INSERT INTO clients SELECT * FROM clients WHERE id = %s", [clients[0]])
        self.legacy.execute("INSERT INTO agents SELECT * FROM agents WHERE id = %s", [agents[0][0]])
        self.legacy.execute("INSERT INTO switches SELECT * FROM switches LIMIT 3")
        self.legacy.execute("INSERT INTO notifications SELECT * FROM notifications LIMIT 3")

    def add_sessions_and_savings(self, clients):
        for n in range(5):
            names = self.one_of('["a.pkl"]', *BROKEN_JSON)
            size = self.one_of(5, None, -1)
            session = {"file_names": names, "total_size_bytes": size, "uploaded_by": self.text(128)}
            self.legacy.add("model_upload_sessions", id=f"m{n}", is_live=1, created_at=self.time(), **session)
        for n, client in enumerate([*clients, clients[0], "nobody"]):
            month = {"year": 2025, "month": self.one_of(1, 12, 13), "savings": self.one_of("5", None)}
            self.legacy.add("client_savings_monthly", id=n, client_id=client, **month)

    def add_prices(self, number):
        for pool in POOLS[:3]:
            zone = pool.rpartition(".")[2]
            known = {"instance_type": pool.rpartition(".")[0], "region": "us-east-1", "az": zone}
            self.legacy.add("spot_pools", id=pool, is_active=self.one_of(1, 0, None), **known)
        self.legacy.add("spot_pools", id="12", instance_type="", region="", az="")
        for pool in [*POOLS, "12", ""]:
            self.legacy.add_prices(pool, self.prices_of(number // (len(POOLS) + 2)))
        for n in range(50):
            quote = {"region": self.one_of("us-east-1", ""), "price": self.one_of("0.0416", "0.1", "0", "-1")}
            known = {"instance_type": self.one_of("t3.medium", "m5.large", ROCKET), "captured_at": self.time()}
            self.legacy.add("ondemand_price_snapshots", id=n, **quote, **known)
            known["recorded_at"] = known.pop("captured_at")
            self.legacy.add("ondemand_prices", id=f"o{n}", **quote, **known)

    def prices_of(self, number):
        """Out of order, with repeats of one moment, gaps, zero dates and nonsense."""
        price, rows = 0.0125, []
        for n in range(number):
            if self.chance.random() < 0.1:
                price = self.chance.randrange(100, 200) / 10_000
            at = NOW - timedelta(minutes=5 * (number - n) // 2)
            said = price if self.chance.random() > 0.01 else self.one_of(-1, 0, 9999.999999)
            rows.append((at if self.chance.random() > 0.005 else self.one_of(ZERO, None, "2037-01-01"), said))
        self.chance.shuffle(rows)
        return rows
