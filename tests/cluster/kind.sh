#!/usr/bin/env bash
# A Kubeflow on this machine, and the cluster's tests against it: `up`; `down` deletes it. For `make cluster`.
# Needs docker, kind, kubectl, helm and git. NOT TRIED: no machine with Docker has run it yet.
set -euo pipefail
cd "$(dirname "$0")/../.."

NAME=${CLUSTER_NAME:-vlm-posttrain}
KFP_VERSION=${KFP_VERSION:-2.17.0}
PYTHON=${PYTHON:-.venv/bin/python}
HERE=$PWD/build/cluster
REGISTRY_PORT=5001
TEACHERS_PORT=8765
export KUBECONFIG=$HERE/kubeconfig

say() { echo "== $*" >&2; }

down() {
    if [ -f "$HERE/pids" ]; then while read -r pid; do kill "$pid" 2>/dev/null || true; done <"$HERE/pids"; fi
    kind delete cluster --name "$NAME"
    docker rm --force "$NAME-registry" >/dev/null 2>&1 || true
    # The digests name a registry that is no more.
    if grep -qs "localhost:$REGISTRY_PORT/" images/digests.yaml; then rm images/digests.yaml; fi
    rm -rf "$HERE"
}

# A process of its own, which `down` ends.
background() {
    local log=$1
    shift
    "$@" >"$HERE/$log.log" 2>&1 &
    echo $! >>"$HERE/pids"
}

make_cluster() {
    say "a cluster, and a registry beside it"
    docker inspect "$NAME-registry" >/dev/null 2>&1 ||
        docker run -d --restart=always -p "127.0.0.1:$REGISTRY_PORT:5000" --name "$NAME-registry" registry:2
    if ! kind get clusters | grep -qx "$NAME"; then
        kind create cluster --name "$NAME" --wait 5m --config - <<EOF
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
containerdConfigPatches:
  - |-
    [plugins."io.containerd.grpc.v1.cri".registry]
      config_path = "/etc/containerd/certs.d"
nodes:
  - role: control-plane
    extraMounts: [{hostPath: $HERE/volumes, containerPath: /volumes}]
EOF
    fi
    kind export kubeconfig --name "$NAME"
    local certs=/etc/containerd/certs.d/localhost:$REGISTRY_PORT
    docker exec "$NAME-control-plane" mkdir -p "$certs"
    echo "[host.\"http://$NAME-registry:5000\"]" | docker exec -i "$NAME-control-plane" cp /dev/stdin "$certs/hosts.toml"
    docker network connect kind "$NAME-registry" 2>/dev/null || true
}

install_kubeflow() {
    say "Kubeflow Pipelines $KFP_VERSION"
    local manifests="github.com/kubeflow/pipelines/manifests/kustomize"
    kubectl apply -k "$manifests/cluster-scoped-resources?ref=$KFP_VERSION"
    kubectl wait --for condition=established --timeout=120s crd/applications.app.k8s.io
    kubectl apply -k "$manifests/env/platform-agnostic?ref=$KFP_VERSION"
    kubectl -n kubeflow wait --for=condition=available --timeout=20m deployment --all
}

make_claims() {
    say "claims on a folder of this machine"
    local claim
    for claim in vlm-data vlm-models vlm-work; do
        mkdir -p "$HERE/volumes/$claim"
        chmod 0777 "$HERE/volumes/$claim"
        kubectl apply -f - <<EOF
apiVersion: v1
kind: PersistentVolume
metadata: {name: $claim}
spec:
  capacity: {storage: 20Gi}
  accessModes: [ReadWriteMany]
  storageClassName: ""
  claimRef: {namespace: kubeflow, name: $claim}
  hostPath: {path: /volumes/$claim}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: $claim, namespace: kubeflow}
spec:
  accessModes: [ReadWriteMany]
  storageClassName: ""
  volumeName: $claim
  resources: {requests: {storage: 20Gi}}
EOF
    done
}

make_world() {
    say "the miniature world, and its teachers"
    "$PYTHON" -m demo.build --mini --out "$HERE/volumes/vlm-data/world"
    chmod -R a+rX "$HERE/volumes/vlm-data"
    background teachers "$PYTHON" -m demo.teachers --world "$HERE/volumes/vlm-data/world" --host 0.0.0.0 --port "$TEACHERS_PORT"
}

up() {
    local tool
    for tool in docker kind kubectl helm git; do
        command -v "$tool" >/dev/null || { echo "error: $tool is needed: docs/kubeflow.md" >&2; exit 69; }
    done
    mkdir -p "$HERE/volumes"
    make_cluster
    install_kubeflow
    make_claims

    say "images"
    export VLM_POSTTRAIN_REGISTRY=localhost:$REGISTRY_PORT/vlm-posttrain
    "$PYTHON" -m images.build --registry "$VLM_POSTTRAIN_REGISTRY" --push

    # Docker's gateway of the cluster's network is this machine.
    local gateway
    gateway=$(docker network inspect kind --format '{{range .IPAM.Config}}{{.Gateway}} {{end}}' | tr ' ' '\n' | grep -m1 '\.')
    say "the chart; pods reach the teachers at $gateway"
    helm upgrade --install vlm charts/vlm-posttrain --namespace kubeflow --wait \
        --set networkPolicies.defaultDeny=release \
        --set "networkPolicies.pipelineEgress.teachers.to[0].ipBlock.cidr=$gateway/32" \
        --set "networkPolicies.pipelineEgress.teachers.ports[0]=$TEACHERS_PORT"
    make_world

    say "the tests"
    background ml-pipeline kubectl -n kubeflow port-forward svc/ml-pipeline 8888:8888
    background seaweedfs kubectl -n kubeflow port-forward svc/seaweedfs 9000:9000
    secret() { kubectl -n kubeflow get secret mlpipeline-minio-artifact -o "jsonpath={.data.$1}" | base64 -d; }
    export KFP_ENDPOINT=http://localhost:8888 S3_ENDPOINT=http://localhost:9000
    AWS_ACCESS_KEY_ID=$(secret accesskey) && AWS_SECRET_ACCESS_KEY=$(secret secretkey)
    export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY CLUSTER_TEACHERS=http://$gateway:$TEACHERS_PORT/v1
    sleep 5
    "$PYTHON" -m pytest -x -n 0 tests/cluster
}

case ${1:-} in
up | down) "$1" ;;
*) echo "usage: $0 up | down" >&2 && exit 64 ;;
esac
