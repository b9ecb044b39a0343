# Everything below a stage's own code: Python, a virtual environment with the locked packages of one dependency group,
# the environment of an arbitrary user. The images of all stages of a group share these layers.
#
#   GROUP        requirements/<GROUP>.lock is what is installed: core, data, train, cli
#   ONLY_BINARY  which packages must be wheels; all but for the cli, one of whose packages has no wheel
#   PACKAGES     Debian packages that the group's wheels link against
#
# Packages come from pip's index with checked hashes. `--secret id=pip.conf,src=FILE` names another index without leaving
# its credentials in a layer; `--build-context wheels=DIR` brings wheels that no index has, or all of them.
ARG BASE_IMAGE=docker.io/library/python:3.11-slim-bookworm@sha256:0bee7276f83efd4a1ee05bbbf4281d95ed28e079220a9457f25a93e3f1e3c31b

FROM scratch AS wheels

FROM ${BASE_IMAGE} AS builder
ARG GROUP
ARG ONLY_BINARY=:all:
COPY requirements/${GROUP}.lock /tmp/requirements.lock
# pip stays behind in an environment of its own. Locks are complete, so nothing is resolved.
RUN --mount=type=bind,from=wheels,target=/wheels \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    python3 -m venv /opt/pip \
 && python3 -m venv --without-pip /opt/venv \
 && /opt/pip/bin/pip --python /opt/venv/bin/python install --no-cache-dir --disable-pip-version-check \
      --no-deps --require-hashes --only-binary "${ONLY_BINARY}" --find-links /wheels --requirement /tmp/requirements.lock

FROM ${BASE_IMAGE}
ARG GROUP
ARG PACKAGES=""
COPY images/packages.sh /tmp/packages.sh
# tini forwards signals to the stage, which as process 1 would not get them.
RUN sh /tmp/packages.sh tini ${PACKAGES} && rm /tmp/packages.sh
COPY --from=builder /opt/venv /opt/venv
COPY images/bill_of_materials.py /opt/bill_of_materials.py
RUN mkdir -p /usr/share/sbom \
 && /opt/venv/bin/python /opt/bill_of_materials.py --name "vlm-posttrain-dependencies-${GROUP}" \
      --output /usr/share/sbom/bom.json \
 && rm /opt/bill_of_materials.py
# /tmp is the one place to write to: mount memory or a disk there when the root is read-only. USER is a name for programs
# that ask who they are where no user database knows the id.
ENV PATH=/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    TMPDIR=/tmp \
    HF_HOME=/tmp/huggingface \
    MPLCONFIGDIR=/tmp/matplotlib \
    USER=stage \
    LANG=C.UTF-8
LABEL org.opencontainers.image.title="vlm-posttrain dependencies: ${GROUP}"
USER 65532:0
WORKDIR /tmp
ENTRYPOINT ["/usr/bin/tini", "--"]
