# An image for flows: the SDK alone, without the server. Copy this file beside your flows and add what they import.
#   make wheels && docker build -f deploy/docker/flows.Dockerfile -t flows:1 .
FROM python:3.11-slim

RUN apt-get update \
    && apt-get install --yes --no-install-recommends git \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10002 flows
COPY dist/orionflow-*.whl /tmp/wheels/
RUN pip install --no-cache-dir /tmp/wheels/orionflow-*.whl && rm -rf /tmp/wheels
# RUN pip install --no-cache-dir --require-hashes -r requirements.txt
# COPY flows.py /app/

USER 10002
WORKDIR /app
ENV PYTHONUNBUFFERED=1
# Agents give the command: `python -m orionflow.agent.contained`, which passes signals on and reaps by itself.
