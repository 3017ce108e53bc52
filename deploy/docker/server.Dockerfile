# Orion's server, services, agents and command line in one image; which of them runs is the command.
#   make wheels && docker build -f deploy/docker/server.Dockerfile -t orion:0.1.0 .
FROM python:3.11-slim AS wheels

COPY dist/*.whl requirements/product.txt /wheels/
# The tested versions, by their hashes, and only then the two wheels of this repository.
RUN python -m venv /opt/orion \
    && /opt/orion/bin/pip install --no-cache-dir --require-hashes -r /wheels/product.txt \
    && /opt/orion/bin/pip install --no-cache-dir docker==7.2.0 kubernetes==37.0.1 \
    && /opt/orion/bin/pip install --no-cache-dir --no-deps /wheels/*.whl

FROM python:3.11-slim

# git: agents that execute runs as processes fetch flows from repositories.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 orion \
    && mkdir /home/orion/.orion \
    && chown orion:orion /home/orion/.orion
COPY --from=wheels /opt/orion /opt/orion

# A number, so that a cluster can see that it is not root.
USER 10001
WORKDIR /home/orion
ENV PATH=/opt/orion/bin:$PATH ORION_HOME=/home/orion/.orion PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
EXPOSE 4200
# Ends what a run leaves behind.
ENTRYPOINT ["tini", "--"]
CMD ["orion", "--help"]
