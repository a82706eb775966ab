# A peer: `docker run btard-peer --initial-peers host:31337`. docs/containers.md tells how it is built and run.
#
# BASE is any Debian or Ubuntu, with Python 3.11 or newer or without Python, such as NVIDIA's CUDA runtime images;
# TORCH_INDEX is where torch comes from, such as https://download.pytorch.org/whl/cu130, or empty for PyPI alone.
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
# First what the coordinator has too, so that the second of the two images finds it in the cache.
RUN --mount=type=secret,id=pip --mount=type=secret,id=ca sh docker/install.sh dependencies coordinator.txt
RUN --mount=type=secret,id=pip --mount=type=secret,id=ca sh docker/install.sh dependencies peer.txt
COPY . .
RUN --mount=type=secret,id=pip --mount=type=secret,id=ca sh docker/install.sh project peer

FROM python
LABEL org.opencontainers.image.title="btard-peer" org.opencontainers.image.licenses="Apache-2.0"
RUN { getent passwd 1000 >/dev/null || useradd --uid 1000 --home-dir /data --no-create-home btard; } && \
    install -d -o 1000 -g 1000 -m 700 /data
COPY --from=build /opt/btard /opt/btard
ENV PATH=/opt/btard/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/data \
    BTARD_DIRECTORY=/data \
    BTARD_CACHE_DIR=/data/cache \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 1000:1000
WORKDIR /data
VOLUME /data
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s --retries=2 CMD ["python", "-m", "btard.cli.health"]
ENTRYPOINT ["btard-peer"]
