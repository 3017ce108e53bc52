"""Pools of the type docker: attempts in containers of a stand-in engine that really executes them."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.agents.running import Api, eventually, running_agent
from tests.containers.conftest import Pool, StartAgent
from tests.containers.engine import Engine

pytestmark = pytest.mark.long


def test_a_run_executes_completely_in_a_container(
    api: Api, engine: Engine, docker_pool: Pool, start_docker_agent: StartAgent
):
    agent = start_docker_agent()

    run = docker_pool.run("doubling", x=4, variables={"mem_limit": "512m", "cpus": 0.5, "labels": {"team": "ice"}})

    assert api.until_ended(run)["name"] == "Completed", api.logs(run)
    assert api.history(run) == ["Scheduled", "Pending", "Running", "Completed"]
    eventually(lambda: engine.removed == [f"orion-{run}-1"], lambda: agent.output)
    assert "ended as Completed" in agent.output


def test_the_container_has_limits_labels_and_its_order_in_the_environment(
    api: Api, engine: Engine, docker_pool: Pool, start_docker_agent: StartAgent, tmp_path: Path
):
    start_docker_agent(ORION_TASK_DEFAULT_RETRIES="2", MY_OWN="stays here")
    variables = {
        "mem_limit": "512m", "cpus": 0.5, "labels": {"team": "ice"}, "env": {"COLOUR": "blue"},
        "volumes": ["cache:/cache:ro"], "working_dir": str(tmp_path), "auto_remove": False, "pids_limit": 99,
    }  # fmt: skip

    run = docker_pool.run("seeing", into=str(tmp_path / "seen"), variables=variables)

    assert api.until_ended(run)["name"] == "Completed", api.logs(run)
    seen = (tmp_path / "seen").read_text()
    assert seen.startswith(f"{tmp_path}\n")
    assert {"COLOUR=blue", "ORION_TASK_DEFAULT_RETRIES=2", f"ORION_FLOW_RUN_ID={run}"} <= set(seen.splitlines())
    assert "MY_OWN" not in seen
    assert "ORION_ATTEMPT" not in seen
    (container,) = engine.of_run(run)
    host = container.body["HostConfig"]
    assert (host["Memory"], host["NanoCpus"], host["PidsLimit"]) == (512 << 20, 500_000_000, 99)
    assert host["Binds"] == ["cache:/cache:ro"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert container.labels["team"] == "ice"
    assert container.labels["orion.epoch"] == "1"
    assert run not in " ".join(container.body["Cmd"])


def test_an_agent_that_is_killed_adopts_its_container_and_nothing_runs_twice(
    api: Api, engine: Engine, docker_pool: Pool, start_docker_agent: StartAgent, tmp_path: Path
):
    first = start_docker_agent("--name", "smith")
    mark = tmp_path / "mark"
    run = docker_pool.run("waiting", mark=str(mark), until=str(tmp_path / "until"))
    eventually(mark.exists)

    first.process.kill()
    first.process.wait()
    second = start_docker_agent("--name", "smith")
    (tmp_path / "until").touch()

    assert api.until_ended(run)["name"] == "Completed"
    assert mark.read_text() == "began\nended\n"
    assert api.history(run) == ["Scheduled", "Pending", "Running", "Completed"]
    assert "was started before this agent was restarted" in second.output
    eventually(lambda: engine.removed == [f"orion-{run}-1"], lambda: second.output)


def test_a_container_that_died_while_no_agent_was_there_is_reported_with_its_cause(
    api: Api, engine: Engine, docker_pool: Pool, start_docker_agent: StartAgent, tmp_path: Path
):
    first = start_docker_agent("--name", "smith")
    mark = tmp_path / "mark"
    run = docker_pool.run("sleeping", mark=str(mark))
    eventually(mark.exists)
    first.process.kill()
    first.process.wait()
    (container,) = engine.of_run(run)
    engine.run_out_of_memory(container)
    eventually(lambda: container.state["Status"] == "exited")

    start_docker_agent("--name", "smith")

    ended = api.until_ended(run)
    assert (ended["name"], "ran out of memory" in ended["message"]) == ("Crashed", True)


def test_an_agent_that_is_asked_to_stop_hands_its_containers_to_its_next_start(
    api: Api, engine: Engine, docker_pool: Pool, start_docker_agent: StartAgent, tmp_path: Path
):
    first = start_docker_agent("--name", "smith", "--drain-timeout", "0")
    mark = tmp_path / "mark"
    run = docker_pool.run("waiting", mark=str(mark), until=str(tmp_path / "until"))
    eventually(mark.exists)

    first.signal(signal.SIGTERM)
    assert first.ended() == 0
    assert "continues" in first.output
    start_docker_agent("--name", "smith")
    (tmp_path / "until").touch()

    assert api.until_ended(run)["name"] == "Completed"
    assert mark.read_text() == "began\nended\n"


def test_a_container_that_ran_out_of_memory_is_the_cause(
    api: Api, engine: Engine, docker_pool: Pool, start_docker_agent: StartAgent, tmp_path: Path
):
    start_docker_agent()
    mark = tmp_path / "mark"
    run = docker_pool.run("sleeping", mark=str(mark), variables={"mem_limit": "512m"})
    eventually(mark.exists)

    engine.run_out_of_memory(engine.of_run(run)[0])

    ended = api.until_ended(run)
    assert ended["name"] == "Crashed"
    assert "ran out of memory: it needed more than its limit of 512 MiB" in ended["message"]


def test_an_image_that_is_missing_is_the_cause(
    api: Api, engine: Engine, docker_pool: Pool, start_docker_agent: StartAgent
):
    start_docker_agent()

    run = docker_pool.run("doubling", variables={"image": "nowhere:9"})

    ended = api.until_ended(run)
    assert ended["name"] == "Crashed"
    assert "'nowhere:9'. manifest for nowhere:9 not found" in ended["message"]
    assert not engine.of_run(run)


def test_an_image_is_pulled_though_the_registry_is_busy_at_first(
    api: Api, engine: Engine, docker_pool: Pool, start_docker_agent: StartAgent
):
    engine.fail("POST", "/images/create", 500, "toomanyrequests: slow down", times=2)
    engine.fail("POST", "/containers/create", 429, "later", headers={"Retry-After": "1"})
    start_docker_agent()

    run = docker_pool.run("doubling", variables={"image": "remote:1"})

    assert api.until_ended(run)["name"] == "Completed", api.logs(run)
    assert engine.count("POST /v[^/]*/images/create") == 3


def test_a_start_that_takes_too_long_is_the_cause(
    api: Api, engine: Engine, docker_pool: Pool, start_docker_agent: StartAgent
):
    engine.fail("POST", "/images/create", 500, "dial tcp: lookup registry: no route", times=99)
    start_docker_agent()

    run = docker_pool.run("doubling", variables={"image": "remote:1", "start_timeout_seconds": 1})

    ended = api.until_ended(run)
    assert ended["name"] == "Crashed"
    assert "did not start within 1 s" in ended["message"]
    assert "no route" in ended["message"]


def test_a_program_that_is_missing_in_the_image_is_the_cause(
    api: Api, engine: Engine, docker_pool: Pool, start_docker_agent: StartAgent
):
    start_docker_agent()

    run = docker_pool.run("doubling", variables={"command": "/nowhere/python -m flows"})

    assert "OCI runtime create failed" in api.until_ended(run)["message"]
    eventually(lambda: not engine.of_run(run))


def test_the_cause_of_a_crash_without_a_report_has_the_last_lines_of_the_log(
    api: Api, docker_pool: Pool, start_docker_agent: StartAgent
):
    start_docker_agent()

    run = docker_pool.run("dying", code=3)

    message = api.until_ended(run)["message"]
    assert "exited with code 3" in message
    assert "the last words of a flow" in message


def test_a_cancelled_run_is_asked_to_stop(
    api: Api, engine: Engine, docker_pool: Pool, start_docker_agent: StartAgent, tmp_path: Path
):
    start_docker_agent()
    mark = tmp_path / "mark"
    run = docker_pool.run("sleeping", mark=str(mark))
    eventually(mark.exists)

    api.post(f"/flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}})

    assert api.until_ended(run)["name"] == "Cancelled"
    eventually(lambda: not engine.of_run(run))


def test_a_container_that_does_not_stop_is_killed_after_its_grace_period(
    api: Api, engine: Engine, docker_pool: Pool, start_docker_agent: StartAgent, tmp_path: Path
):
    start_docker_agent("--stop-timeout", "1")
    mark = tmp_path / "mark"
    run = docker_pool.run("stubborn", mark=str(mark))
    eventually(mark.exists)

    api.post(f"/flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}})

    assert api.until_ended(run)["name"] == "Cancelled"
    eventually(lambda: not engine.of_run(run))


def test_a_run_that_takes_too_long_ends_with_its_limit(api: Api, docker_pool: Pool, start_docker_agent: StartAgent):
    start_docker_agent()

    run = docker_pool.run("sleeping", variables={"timeout_seconds": 1.5})

    ended = api.until_ended(run)
    assert ended["name"] == "Crashed"
    assert "its limit of 1.5 s (timeout_seconds in its job variables)" in ended["message"]


def test_ends_are_seen_though_events_are_cut_and_the_engine_was_away(
    api: Api, engine: Engine, docker_pool: Pool, start_docker_agent: StartAgent, tmp_path: Path
):
    start_docker_agent()
    mark = tmp_path / "mark"
    run = docker_pool.run("sleeping", seconds=1, mark=str(mark))
    eventually(mark.exists)

    engine.fail("GET", "/containers/json", 500, "the engine starts", times=2)
    engine.drop_streams()

    assert api.until_ended(run)["name"] == "Completed"
    eventually(lambda: engine.removed == [f"orion-{run}-1"])


def test_a_removed_container_is_the_cause_of_the_crash(
    api: Api, engine: Engine, docker_pool: Pool, start_docker_agent: StartAgent, tmp_path: Path
):
    start_docker_agent()
    mark = tmp_path / "mark"
    run = docker_pool.run("sleeping", mark=str(mark))
    eventually(mark.exists)

    (container,) = engine.of_run(run)
    with engine.lock:
        del engine.containers[container.name]
        container.process.kill()
    engine._notify(container, "destroy")

    assert "removed by another program" in api.until_ended(run)["message"]


def test_a_container_that_was_never_started_leads_to_a_new_start(
    api: Api, engine: Engine, docker_pool: Pool, start_docker_agent: StartAgent
):
    engine.fail("POST", "/start", 500, "busy", times=99)
    first = start_docker_agent("--name", "smith")
    run = docker_pool.run("doubling")
    eventually(lambda: engine.of_run(run), lambda: first.output)
    first.process.kill()
    first.process.wait()
    engine.faults.clear()

    start_docker_agent("--name", "smith")

    assert api.until_ended(run)["name"] == "Completed", api.logs(run)
    assert api.history(run).count("Running") == 1


def test_the_hooks_of_a_cancelled_run_are_those_of_cancelling(
    api: Api, docker_pool: Pool, start_docker_agent: StartAgent, tmp_path: Path
):
    start_docker_agent()
    mark, hooked = tmp_path / "mark", tmp_path / "hooked"
    run = docker_pool.run("hooked", mark=str(mark), hooked=str(hooked))
    eventually(mark.exists)

    api.post(f"/flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}})

    assert api.until_ended(run)["name"] == "Cancelled"
    eventually(hooked.exists)
    assert hooked.read_text() == "cancelled"


def test_a_container_stopped_by_another_program_is_the_cause_of_the_crash(
    api: Api, engine: Engine, docker_pool: Pool, start_docker_agent: StartAgent, tmp_path: Path
):
    start_docker_agent()
    mark = tmp_path / "mark"
    run = docker_pool.run("sleeping", mark=str(mark))
    eventually(mark.exists)

    engine.of_run(run)[0].process.signal(signal.SIGTERM)

    ended = api.until_ended(run)
    assert ended["name"] == "Crashed"
    assert "stopped from outside" in ended["message"]


def test_an_agent_of_the_same_name_in_another_pool_leaves_containers_alone(
    api: Api, engine: Engine, docker_pool: Pool, start_docker_agent: StartAgent, tmp_path: Path
):
    start_docker_agent("--name", "smith")
    mark = tmp_path / "mark"
    run = docker_pool.run("waiting", mark=str(mark), until=str(tmp_path / "until"))
    eventually(mark.exists)
    other = Pool(api, "docker", image="flows:1", network_mode="host")
    home = tmp_path / "other"
    home.mkdir()

    with running_agent(home, api, None, "--pool", other.name, "--name", "smith", DOCKER_HOST=engine.url):
        assert api.until_ended(other.run("doubling"))["name"] == "Completed"
        (tmp_path / "until").touch()

        assert api.until_ended(run)["name"] == "Completed"


def test_a_container_that_is_to_be_kept_stays_when_the_agent_starts_again(
    api: Api, engine: Engine, docker_pool: Pool, start_docker_agent: StartAgent
):
    first = start_docker_agent("--name", "smith")
    run = docker_pool.run("doubling", variables={"auto_remove": False})
    assert api.until_ended(run)["name"] == "Completed"
    first.process.kill()
    first.process.wait()

    start_docker_agent("--name", "smith")

    assert api.until_ended(docker_pool.run("doubling"))["name"] == "Completed"
    assert engine.of_run(run)


def test_a_run_is_cancelled_at_once_while_its_image_is_pulled(
    api: Api, engine: Engine, docker_pool: Pool, start_docker_agent: StartAgent
):
    engine.fail("POST", "/images/create", 500, "the registry is busy", times=999)
    start_docker_agent()
    run = docker_pool.run("doubling", variables={"image": "remote:1"})
    eventually(lambda: engine.count("/images/create"))

    api.post(f"/flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}})

    assert api.until_ended(run)["name"] == "Cancelled"
    assert not engine.of_run(run)


def test_nothing_is_claimed_while_the_engine_is_away(
    api: Api, engine: Engine, docker_pool: Pool, start_docker_agent: StartAgent
):
    agent = start_docker_agent()
    eventually(lambda: "can be read again" in agent.output, lambda: agent.output)
    engine.fail("GET", "/containers/json", 500, "the engine starts", times=4)
    engine.drop_streams()
    eventually(lambda: "cannot be read now" in agent.output, lambda: agent.output)

    run = docker_pool.run("doubling")

    assert api.until_ended(run)["name"] == "Completed"
    assert api.history(run) == ["Scheduled", "Pending", "Running", "Completed"]


def test_a_request_with_a_lost_answer_creates_one_container(
    api: Api, engine: Engine, docker_pool: Pool, start_docker_agent: StartAgent
):
    engine.fail("POST", "/containers/create", 500, "the answer is lost", answers_only=True)
    engine.fail("POST", "/start", 500, "the answer is lost", answers_only=True)
    start_docker_agent()

    run = docker_pool.run("doubling")

    assert api.until_ended(run)["name"] == "Completed", api.logs(run)
    assert api.history(run) == ["Scheduled", "Pending", "Running", "Completed"]
    assert engine.count("POST .*/containers/create") == 2
    eventually(lambda: engine.removed == [f"orion-{run}-1"])
