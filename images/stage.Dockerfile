# The image of one stage: its code and that of components/core, on the dependencies of its group.
# Built by `python -m images.build STAGE`, which also builds those dependencies (docs/images.md).
#
#   STAGE         folder of components
#   DEPENDENCIES  image with the locked packages of the stage's group; what the stage can import
#   LOCKS         files of requirements/, without suffix, that the code version is a hash of, e.g. "train gpu"
#   CODE          the code beside core: the stage's folder, or components for a stage that checks all settings
#   DESCRIPTION   what the stage does
ARG DEPENDENCIES=localhost/vlm-posttrain/dependencies-core

FROM ${DEPENDENCIES} AS code
ARG STAGE
ARG LOCKS
ARG CODE=components/${STAGE}
USER 0
WORKDIR /app
RUN --mount=type=bind,source=requirements,target=/requirements \
    mkdir requirements && for lock in ${LOCKS}; do cp "/requirements/${lock}.lock" requirements/; done
COPY components/__init__.py components/stages.py components/
COPY components/core components/core
COPY ${CODE} ${CODE}
# Fails here, not in a cluster, where the stage imports what its dependencies lack. The bytecode is made once, now.
RUN python3 -m components.${STAGE} --help > /dev/null \
 && for config in components/*/config.py; do python3 -c "import $(echo "${config%.py}" | tr / .)"; done \
 && python3 -m compileall -q --invalidation-mode unchecked-hash /app

FROM ${DEPENDENCIES}
COPY --from=code /app /app
ARG STAGE
ARG CODE_VERSION=unknown
ARG REVISION=unknown
ARG DESCRIPTION=""
LABEL org.opencontainers.image.title="vlm-posttrain ${STAGE}" \
      org.opencontainers.image.description="${DESCRIPTION}" \
      org.opencontainers.image.version="${CODE_VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# For the two lines below, which arguments of the build do not reach.
ENV VLM_STAGE=${STAGE}
HEALTHCHECK --interval=5m --timeout=60s CMD python3 -c "import components.${VLM_STAGE}.stage"
CMD ["sh", "-c", "exec python3 -m components.${VLM_STAGE} --help"]
