import pytest
from django.core.management import call_command


@pytest.mark.slow
def test_killed_processes_leave_every_agent_with_its_one_primary(capsys):
    """With its own server and database; a fixed seed, so that the same moments are hit."""
    call_command("storm_failover", episodes=40, kill_every=1.0, seed=7)
    output = capsys.readouterr().out
    assert "Every agent has exactly one primary" in output
    assert "server" in output.splitlines()[1]
