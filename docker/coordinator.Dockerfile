# The coordinator: `docker run -p 31337:31337 btard-coordinator`. docs/containers.md tells how it is built and run.
#
# It computes held-out losses of checkpoints, with torch on the CPU. EXTRAS are packages that a run may need besides:
# scikit-learn for the task digits, datasets for corpora from the Hub, wandb for --wandb.
ARG BASE=docker.io/library/python:3.11-slim-bookworm
# hadolint ignore=DL3006
FROM ${BASE} AS python
# A CUDA base has no Python. Debian's own versions are taken: a pinned one is gone with the next security update.
# hadolint ignore=DL3008
RUN command -v python3 >/dev/null || { apt-get update && \
    apt-get install -y --no-install-recommends ca-certificates python3 python3-venv && rm -rf /var/lib/apt/lists/*; }

FROM python AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG EXTRAS=""
WORKDIR /build
COPY constraints.txt ./
COPY docker/install.sh docker/*.txt docker/
RUN --mount=type=secret,id=pip --mount=type=secret,id=ca sh docker/install.sh dependencies coordinator.txt
COPY . .
RUN --mount=type=secret,id=pip --mount=type=secret,id=ca sh docker/install.sh project coordinator

FROM python
LABEL org.opencontainers.image.title="btard-coordinator" org.opencontainers.image.licenses="Apache-2.0"
RUN { getent passwd 1000 >/dev/null || useradd --uid 1000 --home-dir /data --no-create-home btard; } && \
    install -d -o 1000 -g 1000 -m 700 /data
COPY --from=build /opt/btard /opt/btard
ENV PATH=/opt/btard/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/data \
    BTARD_DIRECTORY=/data \
    BTARD_CACHE_DIR=/data/cache \
    BTARD_EXPERIMENT=btard
USER 1000:1000
WORKDIR /data
VOLUME /data
EXPOSE 31337
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s --retries=2 CMD ["python", "-m", "btard.cli.health"]
ENTRYPOINT ["btard-coordinator"]
