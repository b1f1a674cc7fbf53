"""Commands that an app adds."""

from __future__ import annotations

import json
from typing import Any

PROGRAM = '''
import beltline as bl
from beltline.cli import AppCommand, argument, option

app = bl.App("own", topic_partitions=1)
words = app.topic("words", value_type=str)


@app.command(argument("word"), option("--times", type=int, default=2, help="How often."))
async def say(word, times):
    """Send a word a few times."""
    for _ in range(times):
        await words.send(value=word)
    print("sent", times)


@app.command()
async def who(self):
    """Say which app this is."""
    self.say(f"app {self.app.conf.id}")


@app.command()
async def fail():
    """Fail."""
    raise LookupError("nothing found")


class Loud(AppCommand):
    """Print in capitals."""

    def shout(self, text):
        self.say(text.upper())


@app.command(base=Loud, name="loudly")
async def loudly(self):
    """Print loudly."""
    self.shout("hello")


@app.agent(words)
async def listen(stream):
    async for word in stream:
        print("heard", word, flush=True)
'''


def test_they_are_in_the_help_page(project: Any) -> None:
    project.write("own.py", PROGRAM)
    run = project.run("--help", app="own")
    assert "Commands of the app" in run.stdout
    assert "Send a word a few times." in run.stdout
    assert "How often." in project.run("say", "--help", app="own").stdout


def test_what_they_send_is_committed(project: Any) -> None:
    project.write("own.py", PROGRAM)
    run = project.run("say", "hej", "--times", "3", app="own")
    assert run.returncode == 0, run.stderr
    assert run.stdout == "sent 3\n"
    worker = project.start("worker", app="own")
    worker.wait_for("heard hej", 3)
    assert worker.stop() == 0


def test_self_is_the_command(project: Any) -> None:
    project.write("own.py", PROGRAM)
    assert project.run("who", app="own").stdout == "app own\n"
    assert project.run("loudly", app="own").stdout == "HELLO\n"


def test_what_they_raise_is_shown_from_the_users_line(project: Any) -> None:
    project.write("own.py", PROGRAM)
    run = project.run("fail", app="own")
    assert run.returncode == 1
    assert "LookupError: nothing found" in run.stderr
    assert "own.py" in run.stderr


def test_an_app_that_cannot_be_loaded_still_has_a_help_page(project: Any) -> None:
    project.write("broken.py", "1 / 0\n")
    run = project.run("--help", app="broken")
    assert run.returncode == 0
    assert "worker" in run.stdout


def test_call_command_runs_in_this_process(project: Any) -> None:
    project.write(
        "calls.py",
        """
        import json
        import beltline
        from beltline.cli import call_command

        app = beltline.App("calls")
        app.Table("one")
        print(json.dumps(call_command("tables", ["--json"], app=app)))
        """,
    )
    run = project.run_python("calls.py")
    assert run.returncode == 0, run.stderr
    code, out, err = json.loads(run.stdout)
    assert (code, err) == (0, "")
    assert json.loads(out) == [{"name": "one", "help": ""}]
