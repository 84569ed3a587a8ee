{{- define "fencepost.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* 45 letters leave room for what is put behind, up to the 63 that a name may have. */}}
{{- define "fencepost.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := .Values.fullnameOverride -}}
{{- if not $full -}}
{{- $full = contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{- end -}}
{{- $full | trunc 45 | trimSuffix "-" -}}
{{- end -}}

{{- define "fencepost.namespace" -}}
{{- default .Release.Namespace .Values.forceNamespace -}}
{{- end -}}

{{- define "fencepost.selector" -}}
app.kubernetes.io/name: {{ include "fencepost.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "fencepost.labels" -}}
{{ include "fencepost.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "fencepost.meta" -}}
name: {{ include "fencepost.fullname" . }}
namespace: {{ include "fencepost.namespace" . }}
labels:
  {{- include "fencepost.labels" . | nindent 2 }}
{{- end -}}

{{- define "fencepost.serviceAccount" -}}
{{- $sa := .Values.server.serviceAccount -}}
{{- default ($sa.create | ternary (include "fencepost.fullname" .) "default") $sa.name -}}
{{- end -}}

{{- define "fencepost.image" -}}
{{- $i := .Values.server.image -}}
{{- $version := default .Chart.AppVersion $i.version -}}
{{- with $i.registry }}{{ . }}/{{ end }}{{ $i.repository }}{{ hasPrefix "sha256:" $version | ternary "@" ":" }}{{ $version }}
{{- end -}}

{{/* There is a record if it is wanted and the keys are worth one. */}}
{{- define "fencepost.audited" -}}
{{- if and .Values.audit.enabled (not .Values.server.dev) }}true{{ end -}}
{{- end -}}

{{- define "fencepost.scheme" -}}
{{ empty .Values.server.tls.secret | or .Values.server.dev | ternary "http" "https" }}
{{- end -}}

{{- define "fencepost.config" -}}
{{- $server := .Values.server -}}
{{- $own := dict
    "listen" (list (printf "%s://0.0.0.0:%v" (include "fencepost.scheme" .) $server.args.port))
    "admin" (printf "0.0.0.0:%v" .Values.metrics.port)
    "log" (dict "format" ($server.logging.production | ternary "json" "text"))
    "limits" (dict "drain-delay" (printf "%vs" $server.drainSeconds)) -}}
{{- if $server.tls.secret -}}
{{- $_ := set $own "tls" (dict "certificate" "/etc/fencepost/tls/tls.crt" "key" "/etc/fencepost/tls/tls.key") -}}
{{- end -}}
{{- if include "fencepost.audited" . -}}
{{- $audit := dict "dir" "/var/lib/fencepost/audit" "stamp" .Values.audit.stamp -}}
{{- with .Values.audit.retention }}{{ $_ := set $audit "retention" . }}{{ end -}}
{{- $_ := set $own "audit" $audit -}}
{{- $_ := set $own "tsa" (dict "history" "/var/lib/fencepost/chains") -}}
{{- end -}}
{{- mergeOverwrite $own (deepCopy $server.config) | toYaml -}}
{{- end -}}

{{/* What of the configuration needs a way out of the pod; empty if nothing does. */}}
{{- define "fencepost.outward" -}}
{{- if not .Values.server.dev -}}
{{- $config := include "fencepost.config" . | fromYaml -}}
{{- $tsa := $config.tsa -}}
{{- $keys := list $tsa.key -}}
{{- range $tsa.standby }}{{ $keys = append $keys .key }}{{ end -}}
{{- range $keys }}{{ if regexMatch "^(awskms|gcpkms|azurekms|hashivault|openbao|tink):" (toString .) }}{{ . }} {{ end }}{{ end -}}
{{- range dig "clock" "servers" list $tsa }}{{ . }} {{ end -}}
{{- range dig "audit" "stamp" list $config }}{{ if hasPrefix "http" . }}{{ . }} {{ end }}{{ end -}}
{{- dig "traces" "endpoint" "" $config -}}
{{- end -}}
{{- end -}}

{{/* The pod, the same in a StatefulSet and a Deployment. */}}
{{- define "fencepost.pod" -}}
{{- $server := .Values.server -}}
metadata:
  labels:
    {{- include "fencepost.labels" . | nindent 4 }}
    {{- with $server.podLabels }}{{ toYaml . | nindent 4 }}{{ end }}
  {{- with $server.podAnnotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "fencepost.serviceAccount" . }}
  automountServiceAccountToken: {{ $server.serviceAccount.mountToken }}
  # Variables for each service of the namespace are of no use, and some begin as ours do.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ $server.terminationGracePeriodSeconds }}
  securityContext: {{- toYaml $server.securityContext | nindent 4 }}
  {{- with $server.imagePullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $server.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $server.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $server.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $server.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $server.topologySpreadConstraints }}
  topologySpreadConstraints:
  {{- range . }}
  {{- $selector := dict "labelSelector" (dict "matchLabels" (include "fencepost.selector" $ | fromYaml)) }}
  - {{- toYaml (mergeOverwrite $selector .) | nindent 4 }}
  {{- end }}
  {{- end }}
  containers:
  - name: fencepost
    image: {{ include "fencepost.image" . | quote }}
    imagePullPolicy: {{ $server.image.pullPolicy }}
    command: [fencepost]
    {{- if $server.dev }}
    args: [serve, --dev, --listen, "0.0.0.0:{{ $server.args.port }}", --admin, "0.0.0.0:{{ .Values.metrics.port }}"]
    {{- else }}
    args: [serve, --config, /etc/fencepost/fencepost.yaml]
    {{- end }}
    {{- with $server.env }}
    env:
    {{- range $name, $value := . }}
    - name: {{ $name }}
      value: {{ $value | quote }}
    {{- end }}
    {{- end }}
    {{- with $server.envFrom }}
    envFrom: {{- toYaml . | nindent 4 }}
    {{- end }}
    ports:
    - name: http
      containerPort: {{ $server.args.port }}
    - name: metrics
      containerPort: {{ .Values.metrics.port }}
    # They ask the administration: it speaks no TLS, and so wants no certificate of the kubelet (tls.client-ca), and
    # a flood of clients does not keep it from answering.
    # A start proves each key, which may be far away.
    startupProbe:
      httpGet: {path: /healthz, port: metrics}
      periodSeconds: 2
      failureThreshold: 60
    # A restart repairs neither a clock nor a certificate: liveness is that the process answers.
    livenessProbe:
      httpGet: {path: /healthz, port: metrics}
      periodSeconds: 10
      timeoutSeconds: 5
      failureThreshold: 6
    readinessProbe:
      httpGet: {path: /readyz, port: metrics}
      periodSeconds: 5
      timeoutSeconds: 3
      failureThreshold: 2
    resources: {{- toYaml $server.resources | nindent 6 }}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: [ALL]}
    {{- if or (not $server.dev) $server.extraVolumeMounts }}
    volumeMounts:
    {{- if not $server.dev }}
    # Folders, not single files (subPath): Kubernetes changes only those in a running pod.
    - {name: config, mountPath: /etc/fencepost, readOnly: true}
    {{- if $server.secret }}
    - {name: key, mountPath: /etc/fencepost/key, readOnly: true}
    {{- end }}
    {{- if $server.tls.secret }}
    - {name: tls, mountPath: /etc/fencepost/tls, readOnly: true}
    {{- end }}
    {{- if include "fencepost.audited" . }}
    - {name: data, mountPath: /var/lib/fencepost}
    {{- end }}
    {{- end }}
    {{- with $server.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- end }}
  {{- if or (not $server.dev) $server.extraVolumes }}
  volumes:
  {{- if not $server.dev }}
  - name: config
    configMap: {name: {{ include "fencepost.fullname" . }}}
  {{- with $server.secret }}
  - name: key
    secret: {secretName: {{ . | quote }}, defaultMode: 0440}
  {{- end }}
  {{- with $server.tls.secret }}
  - name: tls
    secret: {secretName: {{ . | quote }}, defaultMode: 0440}
  {{- end }}
  {{- end }}
  {{- with $server.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- end }}
{{- end -}}
