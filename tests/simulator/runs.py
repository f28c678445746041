"""Whole runs of `manage.py simulate_fleet --serve` as a person would start them, and the table at their end."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import MySQLdb
from django.conf import settings

ROOT = Path(__file__).resolve().parents[2]
DATABASE = settings.DATABASES["default"]
ON_MYSQL = DATABASE["ENGINE"].endswith("mysql")
NAME_WIDTH = 34  # of the first column of the table
LONGEST_SECONDS = 240  # of a run on a crowded machine


@dataclass
class Run:
    exit_code: int
    output: str
    pid: int

    @property
    def table(self):
        """The last row of each name: notes and progress lines before the table do not count."""
        rows = (line for line in self.output.splitlines() if len(line) > NAME_WIDTH)
        return {line[:NAME_WIDTH].strip(): line[NAME_WIDTH:].strip() for line in rows}

    @property
    def directory(self):
        return Path(re.search(r"files in (\S+)", self.output)[1])


def simulate(*arguments):
    """Runs to its end, on the kind of database that the tests themselves run on."""
    process = subprocess.Popen(
        [sys.executable, "manage.py", "simulate_fleet", "--serve", "--threads", "4", *arguments],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        output, _ = process.communicate(timeout=LONGEST_SECONDS)
    except BaseException:
        process.terminate()  # it ends its server and removes its database
        process.communicate(timeout=60)
        raise
    return Run(process.returncode, output, process.pid)


def environment():
    """Nothing of a .env file decides which database is used."""
    variables = os.environ | {"DEBUG": "1", "DB_HOST": ""}
    if ON_MYSQL:
        names = {"DB_HOST": "HOST", "DB_PORT": "PORT", "DB_USER": "USER", "DB_PASSWORD": "PASSWORD"}
        variables |= {variable: str(DATABASE[name]) for variable, name in names.items()}
    return variables


def databases_of(run):
    """Names of the databases on the MySQL server that the run has created and not dropped."""
    connection = MySQLdb.connect(
        host=DATABASE["HOST"], port=int(DATABASE["PORT"]), user=DATABASE["USER"], password=DATABASE["PASSWORD"]
    )
    try:
        cursor = connection.cursor()
        cursor.execute(f"SHOW DATABASES LIKE 'fleet\\_{run.pid}\\_%'")
        return [name for (name,) in cursor.fetchall()]
    finally:
        connection.close()
