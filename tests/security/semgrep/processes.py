from __future__ import annotations

import os
import subprocess


def started(words, token, allowed):
    # ruleid: whole-environment-for-a-process
    subprocess.run(words, env={**os.environ, "MORE": "1"}, check=True)
    # ruleid: whole-environment-for-a-process
    subprocess.run(words, env=os.environ.copy(), check=True)
    # ok: whole-environment-for-a-process
    subprocess.run(words, env={name: os.environ[name] for name in allowed}, check=True)


def printed(words, token):
    # ruleid: shell
    subprocess.run(" ".join(words), shell=True, check=True)
    # ruleid: shell
    os.system(words[0])
    # ok: shell
    subprocess.run(words, check=True)


def asked(token):
    # ruleid: secret-among-the-words-of-a-command
    subprocess.run(["curl", "--header", f"Authorization: Bearer {token}"], check=True)
    # ok: secret-among-the-words-of-a-command
    subprocess.run(["curl", "--config", "-"], input=f"header = {token}", text=True, check=True)
