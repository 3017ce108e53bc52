from __future__ import annotations

from dbos import DBOS

DBOS(config={"name": "hello", "system_database_url": "sqlite:///hello.sqlite", "log_level": "CRITICAL"})


@DBOS.step()
def greet(name):
    return f"hello, {name}"


@DBOS.workflow()
def hello():
    return greet("world")


DBOS.launch()
hello()
DBOS.destroy()
