"""A program of Prefect 2 that asks flow runs for input and answers them; prints the input as JSON."""

from __future__ import annotations

import json
import sys
import warnings

warnings.simplefilter("ignore")

from prefect import flow, pause_flow_run, resume_flow_run  # noqa: E402
from prefect.input import RunInput  # noqa: E402
from prefect.input.run_input import receive_input, send_input  # noqa: E402


class Order(RunInput):
    pieces: int
    colour: str = "red"


def resume(run: str, answer: str) -> object:
    resume_flow_run(run, run_input=json.loads(answer))
    return "resumed"


@flow
def asking() -> dict[str, object]:
    model = Order.with_initial_data("How many?", colour="green")
    return pause_flow_run(wait_for_input=model, timeout=60, poll_interval=0.2).dict()


@flow
def sending(run: str) -> object:
    send_input(5, run)
    Order(pieces=6).send_to(run)
    return receive_input(int, timeout=30, poll_interval=0.2).next()


@flow
def receiving() -> object:
    number = receive_input(int, timeout=30, poll_interval=0.2).next()
    return [number, Order.receive(timeout=30, poll_interval=0.2).next().pieces]


def main(word: str, *arguments: str) -> None:
    words = {"resume": resume, "asking": asking, "sending": sending, "receiving": receiving}
    print(json.dumps(words[word](*arguments)))


if __name__ == "__main__":
    main(*sys.argv[1:])
