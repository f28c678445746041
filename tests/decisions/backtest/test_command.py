"""The command on small files, and on the server's own history."""

import builtins
import gzip
import json
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
import time_machine
from django.core.management import CommandError, call_command

from decisions.models import SpotAdvice
from instances.models import OnDemandPrice, Pool, SpotPriceHistory

START = datetime(2024, 5, 1, tzinfo=UTC)


def price_rows(year=2024, types=("m5.large", "m5.xlarge"), hours=200):
    yield "timestamp,region,az,instance_type,product,price_usd_per_hour"
    for hour in range(0, hours, 4):
        at = (START.replace(year=year) + timedelta(hours=hour)).isoformat().replace("+00:00", "Z")
        for number, az in enumerate(("us-east-1a", "us-east-1b")):
            for size, instance_type in enumerate(types):
                price = 0.03 * (1 + size / 4) + 0.004 * ((hour // 40 + number) % 2)
                yield f"{at},us-east-1,{az},{instance_type},Linux/UNIX,{price:.4f}"


@pytest.fixture
def files(tmp_path):
    with gzip.open(tmp_path / "prices.csv.gz", "wt") as stream:
        stream.write("\n".join(price_rows()))
    (tmp_path / "ondemand.csv").write_text(
        "region,instance_type,ondemand_usd_per_hour,era,source,kind\n"
        "us-east-1,m5.large,0.096,2018..2026,x,list\n"
        "us-east-1,m5.xlarge,0.192,2018..2026,x,list\n"
        "us-east-1,p3.2xlarge,3.06,2018..2026,x,list\n"
    )
    (tmp_path / "advisor.csv").write_text(
        "date,region,instance_type,bucket,savings_pct,vcpu,ram_gb\n"
        "2024-04-01,us-east-1,m5.large,4,60,2,8\n2024-04-01,us-east-1,m5.xlarge,0,60,4,16\n"
    )
    rows = ["kind,nodes,trace,zone,instance,offset_s,value,price_usd_per_hour"]
    for zone, shift in (("us-east-1a", 0), ("us-east-1b", 3)):
        for run in range(30):
            offset = 0 if run == 0 else run * 36000 + shift * 600
            rows.append(f"availability,1-node,aws-05-01-2024,{zone},v100_1,{offset},{(run + 1) % 2},")
        rows.append(f"availability,1-node,aws-05-01-2024,{zone},v100_1,1200000,-1,")
    (tmp_path / "traces.csv").write_text("\n".join(rows))
    return tmp_path


def run(*args, **options):
    out = StringIO()
    call_command("backtest", *args, stdout=out, stderr=StringIO(), **options)
    return out.getvalue()


def test_every_policy_and_the_optimum_are_in_the_table(files):
    text = run("--prices", files / "prices.csv.gz")
    assert "prices.csv.gz same-type: 2 workloads" in text
    assert [line.split()[0] for line in text.splitlines()[2:]] == [
        "optimum", "built-in", "greedy", "lowest-price", "on-demand",
    ]  # fmt: skip


def test_larger_types_need_sizes_and_may_be_safer(files):
    out = files / "out.json"
    prices, sizes = files / "prices.csv.gz", files / "advisor.csv"
    run("--prices", prices, "--advisor", sizes, "--json", out, "--set", "risk_value=1000")
    same, larger = json.loads(out.read_text())["groups"]
    assert [same["name"], larger["name"]] == ["prices.csv.gz same-type", "prices.csv.gz any-larger"]
    large = [
        next(m for m in group["markets"] if m["policy"] == "optimum" and "m5.large" in m["market"])
        for group in (same, larger)
    ]
    assert large[1]["reclaims"] < large[0]["reclaims"]
    with pytest.raises(CommandError, match="needs --advisor"):
        run("--prices", files / "prices.csv.gz", "--scope", "any-larger")


def test_settings_reach_the_limits_and_the_score(files):
    out = files / "out.json"
    common = ["--prices", files / "prices.csv.gz", "--policy", "greedy", "--json", out]
    run(*common, "--set", "max_switches_per_week=1", "risk_value=7")
    said = json.loads(out.read_text())
    assert said["settings"]["max_switches_per_week"] == 1
    assert said["settings"]["risk_value"] == 7
    greedy = next(row for row in said["groups"][0]["policies"] if row["policy"] == "greedy")
    assert greedy["moves_per_week"] <= 2
    assert greedy["refused"] > 0


def test_availability_traces_are_replayed_at_their_own_step(files):
    out = files / "out.json"
    text = run("--availability", files / "traces.csv", "--json", out)
    assert "traces.csv: 1 workloads" in text
    markets = json.loads(out.read_text())["groups"][0]["markets"]
    assert {market["market"] for market in markets} == {"aws-05-01-2024 us-east-1 p3.2xlarge"}
    assert next(market for market in markets if market["policy"] == "greedy")["reclaims_seen"] > 5


def test_a_sample_is_the_same_every_time(files):
    first = run("--prices", files / "prices.csv.gz", "--sample", "1")
    assert "1 of 2 workloads" in first
    assert run("--prices", files / "prices.csv.gz", "--sample", "1") == first


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "nonsense=1"], "knows no 'nonsense'"),
        (["--set", "risk_value=high"], "takes a number"),
        (["--policy", "luck"], "Unknown policy luck"),
        (["--scope", "everything"], "Unknown scope"),
        (["--advisor", "/nowhere.csv"], "cannot be read"),
        (["--ondemand", "/nowhere.csv"], "cannot be read"),
    ],
)
def test_a_wrong_option_is_explained(files, arguments, message):
    with pytest.raises(CommandError, match=message):
        run("--prices", files / "prices.csv.gz", *arguments)


def test_a_file_of_another_kind_is_explained(files):
    with pytest.raises(CommandError, match="no column"):
        run("--prices", files / "advisor.csv")


def test_the_plot_is_a_picture(files):
    pytest.importorskip("matplotlib", reason="a development dependency")
    run("--prices", files / "prices.csv.gz", "--plot", files / "out.png")
    assert (files / "out.png").read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_a_plot_says_what_to_install(files, monkeypatch):
    real = builtins.__import__

    def no_matplotlib(name, *args, **more):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", no_matplotlib)
    with pytest.raises(CommandError, match="pip install matplotlib"):
        run("--prices", files / "prices.csv.gz", "--plot", files / "out.png")


def test_in_the_years_of_bidding_prices_tell_of_losses(files):
    rows = list(price_rows(year=2015, types=("m5.large",), hours=48))
    rows += [f"2015-05-02T{hour:02}:00:00Z,us-east-1,us-east-1a,m5.large,Linux/UNIX,0.5" for hour in (1, 2)]
    (files / "old.csv").write_text("\n".join(rows))
    out = files / "out.json"
    run("--prices", files / "old.csv", "--policy", "lowest-price", "--json", out)
    assert json.loads(out.read_text())["groups"][0]["policies"][1]["reclaims_per_week"] > 0


@pytest.mark.django_db
def test_without_files_the_servers_own_history_is_replayed():
    quote = OnDemandPrice.objects.create(
        instance_type="m5.large", region="us-east-1", price="0.096", changed_at=START, last_confirmed_at=START
    )
    for number, az in enumerate(("us-east-1a", "us-east-1b")):
        pool = Pool.objects.create(
            pool_id=f"m5.large.{az}", instance_type="m5.large", region="us-east-1", az=az, ondemand=quote
        )
        SpotPriceHistory.objects.bulk_create(
            SpotPriceHistory(pool=pool, at=START + timedelta(hours=6 * step), price=0.03 + number * 0.01)
            for step in range(40)
        )
    SpotAdvice.objects.create(
        instance_type="m5.large", region="us-east-1", bucket=1, savings_percent=60, vcpu=2, ram_gb=8
    )
    with time_machine.travel(START + timedelta(days=10), tick=False):
        text = run("--policy", "built-in")
    assert "own history same-type: 1 workloads" in text


@pytest.mark.django_db
def test_an_empty_history_is_explained():
    with pytest.raises(CommandError, match="Nothing to replay"):
        run()
