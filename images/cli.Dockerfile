# cli: compiles, submits and schedules pipelines; the one image with kfp. What it can import: requirements/cli.lock.
# Built by `python -m images.build cli`, which also builds the dependencies that this stands on (docs/images.md).
ARG DEPENDENCIES=localhost/vlm-posttrain/dependencies-cli

FROM ${DEPENDENCIES} AS code
USER 0
WORKDIR /app
COPY requirements requirements
COPY configs configs
# The Dockerfile asks for the folder, because digests.yaml is there only after a release.
COPY images images
COPY components components
COPY pipelines pipelines
RUN python3 -m pipelines compile --help > /dev/null \
 && python3 -m compileall -q --invalidation-mode unchecked-hash /app

FROM ${DEPENDENCIES}
COPY --from=code /app /app
ARG CODE_VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="vlm-posttrain cli" \
      org.opencontainers.image.description="compiles, submits and schedules pipelines" \
      org.opencontainers.image.version="${CODE_VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
WORKDIR /app
HEALTHCHECK --interval=5m --timeout=60s CMD ["python3", "-c", "import pipelines.cli"]
CMD ["python3", "-m", "pipelines", "--help"]
