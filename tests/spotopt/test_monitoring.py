"""docs/monitoring.md and deploy/monitoring/ name the metrics that the server really exposes, and no others."""

import json
import re
import shutil
import subprocess

import pytest
import yaml
from django.conf import settings
from prometheus_client.parser import text_string_to_metric_families

from tests.spotopt.test_metrics import answer_of, world

pytestmark = pytest.mark.django_db

DEPLOYED = settings.BASE_DIR / "deploy/monitoring"
GUIDE = (settings.BASE_DIR / "docs/monitoring.md").read_text()
RULES = yaml.safe_load((DEPLOYED / "spotopt-alerts.yml").read_text())
DASHBOARD = json.loads((DEPLOYED / "grafana-dashboard.json").read_text())

ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
ON_DASHBOARD = [target["expr"] for panel in PANELS for target in panel["targets"]]
EXPRESSIONS = [alert["expr"] for alert in ALERTS] + ON_DASHBOARD

needs_promtool = pytest.mark.skipif(
    not shutil.which("promtool"), reason="promtool is not installed (Debian: apt-get install prometheus)"
)


@pytest.fixture
def exposed(anonymous_api):
    """What a scrape says of a server where something of everything goes on."""
    world(1)
    anonymous_api.get("/health")
    return answer_of(anonymous_api).content.decode()


def families_of(text):
    return list(text_string_to_metric_families(text))


def samples_of(text):
    """{name: [labels]}, the `spotopt_…_bucket` of histograms included."""
    found = {}
    for family in families_of(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


def test_the_guide_lists_each_metric_with_its_type_and_labels(exposed):
    documented = {
        (name, kind, frozenset(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels in re.findall(r"^\| `(spotopt_\w+)` \| (\w+) \| (.*?) ?\|", GUIDE, re.MULTILINE)
    }
    real = set()
    for family in families_of(exposed):
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        name = f"{family.name}_total" if family.type == "counter" else family.name
        real.add((name, family.type, frozenset(labels)))
    assert documented == real


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_rules_and_dashboard_ask_for_metrics_and_labels_that_there_are(exposed, expression):
    samples = samples_of(exposed)
    named = re.findall(r"\b(spotopt_\w+)(?:\{(.*?)\})?", expression)
    assert named or expression.startswith("up{")
    for name, matchers in named:
        assert name in samples
        for label, operator, value in re.findall(r'(\w+)(=~|!=|=)"(.*?)"', matchers):
            assert all(label in labels for labels in samples[name])
            if label in ("kind", "outcome", "percentile") or (
                label == "status" and name != "spotopt_http_requests_total"
            ):
                values = {labels[label] for labels in samples[name]}
                assert set(value.split("|")) <= values, operator


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_they_group_by_labels_that_there_are(exposed, expression):
    samples = samples_of(exposed)
    names = re.findall(r"\bspotopt_\w+", expression)
    for group in re.findall(r"by \(([\w, ]+)\)", expression):
        wanted = set(re.split(r",\s*", group)) - {"instance"}  # Prometheus's own
        assert any(wanted <= set(labels) for name in names for labels in samples[name])


def test_each_alert_is_explained_and_no_other():
    explained = re.findall(r"^\| `(Spotopt\w+)` \|", GUIDE, re.MULTILINE)
    assert sorted(explained) == sorted(alert["alert"] for alert in ALERTS)


def test_each_alert_says_how_bad_it_is_and_what_is_wrong():
    for alert in ALERTS:
        assert alert["labels"]["severity"] in ("warning", "critical")
        assert alert["annotations"]["summary"]
        assert alert["for"]


def test_the_test_of_the_rules_knows_how_many_there_are():
    tests = yaml.safe_load((DEPLOYED / "spotopt-alerts.test.yml").read_text())["tests"]
    assert tests[-1]["promql_expr_test"][0]["exp_samples"][0]["value"] == len(ALERTS)


def test_the_scrape_configuration_has_the_job_that_the_rules_name():
    configuration = yaml.safe_load((DEPLOYED / "prometheus.yml").read_text())
    (job,) = configuration["scrape_configs"]
    assert f'job="{job["job_name"]}"' in ALERTS[0]["expr"]
    assert all((DEPLOYED / file).is_file() for file in configuration["rule_files"])


def test_nginx_keeps_the_internet_out():
    nginx = (settings.BASE_DIR / "deploy/nginx.conf").read_text()
    assert re.search(r"location = /metrics \{\s+return 404;", nginx)


def test_the_dashboard_can_be_imported_into_any_grafana():
    (variable,) = DASHBOARD["templating"]["list"]
    assert variable["type"] == "datasource"
    used = {target["datasource"]["uid"] for panel in PANELS for target in panel["targets"]}
    assert used == {f"${{{variable['name']}}}"}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_the_dashboards_panels_do_not_overlap():
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken
        assert all(x < 24 for x, _ in cells)
        taken |= cells


def promtool(*arguments, **options):
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, cwd=DEPLOYED, **options)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", "spotopt-alerts.yml"),
        ("check", "config", "prometheus.yml"),
        ("test", "rules", "spotopt-alerts.test.yml"),
    ],
)
def test_promtool_is_content(arguments):
    promtool(*arguments)


@needs_promtool
def test_promtool_understands_what_the_server_exposes(exposed):
    promtool("check", "metrics", input=exposed)


@needs_promtool
def test_promtool_understands_the_dashboards_expressions(tmp_path):
    rules = [{"record": f"panel:{number}", "expr": expression} for number, expression in enumerate(ON_DASHBOARD)]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", str(file))
