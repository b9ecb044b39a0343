{{/* Names. Room is left for the longest suffix: names of Services and labels end at 63 characters. */}}
{{- define "vlm.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 32 | trimSuffix "-" -}}
{{- end -}}

{{- define "vlm.fullname" -}}
{{- $name := include "vlm.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 32 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 32 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 32 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels of every object. */}}
{{- define "vlm.labels" -}}
{{ include "vlm.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: vlm-posttrain
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The labels that pods of this release have and selectors ask for. */}}
{{- define "vlm.selector" -}}
app.kubernetes.io/name: {{ include "vlm.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Istio adds no sidecar: a server behind one answers pods without one 403, and a job with one never ends. Newer releases of Istio
read the label, older ones the annotation. */}}
{{- define "vlm.noSidecar" -}}
sidecar.istio.io/inject: "false"
{{- end -}}

{{/* Selector of all pods of one component: (list $ "model"). */}}
{{- define "vlm.component" -}}
{{ include "vlm.selector" (index . 0) }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* Selector of one model's pods: (list $ "teacher"). */}}
{{- define "vlm.modelSelector" -}}
{{ include "vlm.component" (list (index . 0) "model") }}
vlm-posttrain/model: {{ index . 1 }}
{{- end -}}

{{/* The enabled models with the defaults merged in, as YAML of name -> settings. */}}
{{- define "vlm.models" -}}
{{- $models := dict -}}
{{- range $key, $stated := .Values.models -}}
{{- $model := mergeOverwrite (deepCopy $.Values.modelDefaults) (deepCopy (default dict $stated)) -}}
{{- if $model.enabled -}}
{{- include "vlm.checkModel" (list $key $model) -}}
{{- $_ := set $models $key $model -}}
{{- end -}}
{{- end -}}
{{- toYaml $models -}}
{{- end -}}

{{/* What a schema cannot say about a model. */}}
{{- define "vlm.checkModel" -}}
{{- $where := printf "models.%s" (index . 0) -}}
{{- $model := index . 1 -}}
{{- $source := default dict $model.model -}}
{{- $cache := $model.cache -}}
{{- if not $source.name -}}
{{- fail (printf "%s.model.name: is missing; give the name on the hub, or the one to serve a path under" $where) -}}
{{- end -}}
{{- range $variable := keys $model.env -}}
{{- if regexMatch `(?i)(^|_)(token|secret|passw(or)?d|key|credentials?)$` $variable -}}
{{- fail (printf "%s.env.%s: is the name of a secret; take its value from one with secretEnv" $where $variable) -}}
{{- end -}}
{{- end -}}
{{- if and $source.claim (not $source.path) -}}
{{- fail (printf "%s.model.claim: is mounted for a path, but model.path is empty; set it, e.g. /models/NAME" $where) -}}
{{- end -}}
{{- if and $source.path (not $source.claim) (eq $cache.type "emptyDir") -}}
{{- fail (printf "%s.model.path: lies on no volume; name the claim that holds it in model.claim" $where) -}}
{{- end -}}
{{- if and (eq $cache.type "existingClaim") (not $cache.claim) -}}
{{- fail (printf "%s.cache.claim: is missing; name an existing claim, or set cache.type to createdClaim or emptyDir" $where) -}}
{{- end -}}
{{- $several := gt (int (include "vlm.maxReplicas" $model)) 1 -}}
{{- if and $several (eq $cache.type "createdClaim") (ne $cache.accessMode "ReadWriteMany") -}}
{{- fail (printf "%s.cache.accessMode: several replicas cannot share a %s volume; use ReadWriteMany, or cache.type emptyDir" $where $cache.accessMode) -}}
{{- end -}}
{{- if gt (int $model.autoscaling.minReplicas) (int $model.autoscaling.maxReplicas) -}}
{{- fail (printf "%s.autoscaling.minReplicas: is above maxReplicas" $where) -}}
{{- end -}}
{{- if and (eq $model.strategy.type "RollingUpdate") (eq (toString $model.strategy.maxSurge) "0") (eq (toString $model.strategy.maxUnavailable) "0") -}}
{{- fail (printf "%s.strategy: maxSurge and maxUnavailable cannot both be 0" $where) -}}
{{- end -}}
{{- end -}}

{{/* The fewest and the most replicas that a model can have. */}}
{{- define "vlm.minReplicas" -}}
{{- ternary .replicas .autoscaling.minReplicas (eq .autoscaling.type "none") | int -}}
{{- end -}}

{{- define "vlm.maxReplicas" -}}
{{- ternary .replicas .autoscaling.maxReplicas (eq .autoscaling.type "none") | int -}}
{{- end -}}

{{/* hub: the server downloads its weights; path: they are on a volume. */}}
{{- define "vlm.modelSource" -}}
{{- ternary "path" "hub" (not (empty .model.path)) -}}
{{- end -}}

{{/* Reference of an image, by digest where one is given: (list "values.path" $image). */}}
{{- define "vlm.image" -}}
{{- $image := index . 1 -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else if $image.tag -}}
{{- printf "%s:%s" $image.repository $image.tag -}}
{{- else -}}
{{- fail (printf "%s: has neither tag nor digest; `make images` prints both" (index . 0)) -}}
{{- end -}}
{{- end -}}

{{/* The restricted profile of the Pod Security Standards: pod and container. */}}
{{- define "vlm.podSecurity" -}}
runAsNonRoot: true
{{- range $key := list "runAsUser" "runAsGroup" "fsGroup" }}
{{- $value := index $.Values.podSecurity $key }}
{{- if not (kindIs "invalid" $value) }}
{{ $key }}: {{ int64 $value }}
{{- end }}
{{- end }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "vlm.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "vlm.pullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Names of service accounts. */}}
{{- define "vlm.pipelineAccount" -}}
{{- default (printf "%s-pipeline" (include "vlm.fullname" .)) .Values.pipeline.serviceAccount.name -}}
{{- end -}}

{{- define "vlm.modelAccount" -}}
{{- printf "%s-models" (include "vlm.fullname" .) -}}
{{- end -}}

{{/* Pipeline pods as a peer of a network policy. */}}
{{- define "vlm.pipelinePeer" -}}
{{- with .Values.pipeline.namespace -}}
namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ . | quote }}}}
{{ end -}}
podSelector:
  matchLabels:
    {{- toYaml .Values.pipeline.podLabels | nindent 4 }}
{{- end -}}

{{/* Variables for S3, from the object store's secret by reference. */}}
{{- define "vlm.objectStoreEnv" -}}
{{- with .Values.objectStore }}
{{- if .endpoint }}
- {name: S3_ENDPOINT, value: {{ .endpoint | quote }}}
{{- end }}
{{- if .region }}
- {name: AWS_REGION, value: {{ .region | quote }}}
{{- end }}
{{- if .secret }}
- name: AWS_ACCESS_KEY_ID
  valueFrom: {secretKeyRef: {name: {{ .secret | quote }}, key: {{ .accessKeyIdKey | quote }}}}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ .secret | quote }}, key: {{ .secretAccessKeyKey | quote }}}}
{{- end }}
{{- end }}
{{- end -}}
