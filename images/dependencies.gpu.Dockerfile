# Dependencies of training stages on GPUs: the locked packages of requirements/gpu.lock, vLLM, DeepSpeed and flash-attn
# among them, on a CUDA base. Python is Ubuntu 24.04's 3.12, for which the lock was made. Not tried: needs hours of
# compilation for flash-attn, a registry for the base, and a GPU to run.
#
# torch's wheels bring the CUDA libraries; the base brings what the driver's container toolkit looks for. A C compiler
# stays in this image: Triton, which vLLM and torch.compile use, builds its launchers when a kernel is first called.
ARG BASE_IMAGE=docker.io/nvidia/cuda:13.0.1-base-ubuntu24.04@sha256:f8ef28f579ea42a44b415d2c5d46f788e6a9b395c6c83f2929416e1fc192c143
ARG BUILD_IMAGE=docker.io/nvidia/cuda:13.0.1-devel-ubuntu24.04@sha256:7d2f6a8c2071d911524f95061a0db363e24d27aa51ec831fcccf9e76eb72bc92

FROM scratch AS wheels

FROM ${BUILD_IMAGE} AS builder
ARG GROUP=gpu
# Compute capabilities that flash-attn is compiled for: 8.0 is A100, 9.0 is H100 and H200.
ARG FLASH_ATTN_CUDA_ARCHS="80;90"
ARG MAX_JOBS=8
COPY images/packages.sh /tmp/packages.sh
RUN sh /tmp/packages.sh python3 python3-dev python3-venv git ninja-build
COPY requirements/${GROUP}.lock /tmp/requirements.lock
# Two steps: flash-attn and DeepSpeed have no wheels and import torch to be built. DeepSpeed's operators are compiled when
# they are first used.
RUN --mount=type=bind,from=wheels,target=/wheels \
    --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    python3 -m venv /opt/pip \
 && python3 -m venv --without-pip /opt/venv \
 && awk '/^[a-z]/ {late = /^(deepspeed|flash-attn)==/} {print > (late ? "/tmp/late.lock" : "/tmp/early.lock")}' \
      /tmp/requirements.lock \
 && install="/opt/pip/bin/pip --python /opt/venv/bin/python install --no-cache-dir --disable-pip-version-check \
      --no-deps --require-hashes --find-links /wheels" \
 && ${install} --only-binary :all: --requirement /tmp/early.lock \
 && ${install} --no-build-isolation --requirement /tmp/late.lock

FROM ${BASE_IMAGE}
ARG GROUP=gpu
ARG PACKAGES=""
COPY images/packages.sh /tmp/packages.sh
RUN sh /tmp/packages.sh python3 tini gcc libc6-dev python3-dev ${PACKAGES} && rm /tmp/packages.sh
COPY --from=builder /opt/venv /opt/venv
COPY images/bill_of_materials.py /opt/bill_of_materials.py
RUN mkdir -p /usr/share/sbom \
 && /opt/venv/bin/python /opt/bill_of_materials.py --name "vlm-posttrain-dependencies-${GROUP}" \
      --output /usr/share/sbom/bom.json \
 && rm /opt/bill_of_materials.py
ENV PATH=/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    TMPDIR=/tmp \
    HF_HOME=/tmp/huggingface \
    MPLCONFIGDIR=/tmp/matplotlib \
    TRITON_CACHE_DIR=/tmp/triton \
    VLLM_NO_USAGE_STATS=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    USER=stage \
    LANG=C.UTF-8
LABEL org.opencontainers.image.title="vlm-posttrain dependencies: ${GROUP}"
USER 65532:0
WORKDIR /tmp
ENTRYPOINT ["/usr/bin/tini", "--"]
