{{- define "citadel.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- /* What names of objects begin with; 40 characters leave room for what follows. */}}
{{- define "citadel.fullname" -}}
{{- $name := include "citadel.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- /* The labels by which pods of one component are found. Takes (list $ "component"). */}}
{{- define "citadel.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "citadel.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- /* Labels of every object. Takes (list $ "component"). */}}
{{- define "citadel.labels" -}}
{{- $root := index . 0 -}}
{{ include "citadel.selector" . }}
app.kubernetes.io/part-of: citadel
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end }}

{{- /* An image's reference. Takes (list $ "key"). */}}
{{- define "citadel.image" -}}
{{- $root := index . 0 -}}
{{- $key := index . 1 -}}
{{- $message := printf "images.%s is not set: `make images` builds the images and writes their references to build/images.yaml; add `-f build/images.yaml`" $key -}}
{{- required $message (get $root.Values.images $key) }}
{{- end }}

{{- /* Labels and annotations of a pod; nothing that changes with a version, or the upgrade of a part would restart them all.
Takes (list $ "component"). */}}
{{- define "citadel.podMetadata" -}}
{{- $root := index . 0 -}}
{{- $values := get $root.Values (index . 1) -}}
labels:
  {{- include "citadel.selector" . | nindent 2 }}
  app.kubernetes.io/part-of: citadel
  app.kubernetes.io/managed-by: {{ $root.Release.Service }}
{{- $annotations := deepCopy $values.podAnnotations }}
{{- if and $root.Values.metrics.annotations (ne (index . 1) "postgres") }}
{{- $annotations = merge $annotations (dict "prometheus.io/scrape" "true" "prometheus.io/port" "8080" "prometheus.io/path" "/metrics") }}
{{- end }}
{{- if eq (index . 1) "controller" }}
{{- /* Another database starts without a schema: a new pod brings it. */}}
{{- $volume := ternary "claim" "pod" $root.Values.postgres.persistence.enabled }}
{{- $_ := set $annotations "citadel.dev/database" (ternary $volume "url" $root.Values.postgres.enabled) }}
{{- end }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* What all pods have in common. Takes (list $ "component" uid). No service links: a Service named citadel-gateway
would otherwise put CITADEL_ variables into the environment. */}}
{{- define "citadel.podSpec" -}}
{{- $root := index . 0 -}}
{{- $values := get $root.Values (index . 1) -}}
serviceAccountName: {{ include "citadel.fullname" $root }}-{{ index . 1 }}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ index . 2 }}
  runAsGroup: {{ index . 2 }}
  fsGroup: {{ index . 2 }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with $root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- range $key := list "nodeSelector" "tolerations" "affinity" }}
{{- with get $values $key }}
{{ $key }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{- define "citadel.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* Of a process of ours. Takes (list $ "component"). */}}
{{- define "citadel.container" -}}
{{- $root := index . 0 -}}
image: {{ include "citadel.image" (list $root "operator") }}
imagePullPolicy: {{ $root.Values.imagePullPolicy }}
securityContext:
  {{- include "citadel.containerSecurityContext" $root | nindent 2 }}
resources:
  {{- toYaml (get $root.Values (index . 1)).resources | nindent 2 }}
{{- end }}

{{- /* Ports and probes of a serving process; the first seconds are asked often, so that an installation is ready soon. */}}
{{- define "citadel.health" -}}
startupProbe:
  httpGet: {path: /healthz, port: health}
  periodSeconds: 1
  failureThreshold: 120
readinessProbe:
  httpGet: {path: /readyz, port: health}
  periodSeconds: 2
  timeoutSeconds: 3
livenessProbe:
  httpGet: {path: /healthz, port: health}
  periodSeconds: 10
  timeoutSeconds: 5
{{- end }}

{{- /* Environment of every process of ours. */}}
{{- define "citadel.env" -}}
- {name: CITADEL_NAME, value: {{ include "citadel.fullname" . | quote }}}
- {name: CITADEL_NAMESPACE, value: {{ .Release.Namespace | quote }}}
- {name: CITADEL_SANDBOX_NAMESPACE, value: {{ .Values.sandboxes.namespace | quote }}}
- {name: CITADEL_GATEWAY_SERVICE, value: {{ include "citadel.fullname" . }}-gateway}
- {name: CITADEL_EGRESS_SERVICE, value: {{ include "citadel.fullname" . }}-egress}
- {name: CITADEL_MODELS_SERVICE, value: {{ include "citadel.fullname" . }}-models}
- {name: CITADEL_LOG_LEVEL, value: {{ .Values.logLevel }}}
{{- with .Values.tracing.endpoint }}
- {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ . | quote }}}
{{- end }}
- {name: CITADEL_POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
- {name: CITADEL_POD_UID, valueFrom: {fieldRef: {fieldPath: metadata.uid}}}
{{- end }}

{{- /* What bootstrap must know, also when the controller renews certificates later. */}}
{{- define "citadel.bootstrapEnv" -}}
- {name: CITADEL_API_SERVICE, value: {{ include "citadel.fullname" . }}-api}
- {name: CITADEL_CLUSTER_DOMAIN, value: {{ .Values.clusterDomain }}}
- {name: CITADEL_DATABASE_BUNDLED, value: {{ .Values.postgres.enabled | quote }}}
{{- end }}

{{- /* How a process reaches the database. Takes (list $ "controller|gateway|models|tools|api|migrate" "file with the password"). */}}
{{- define "citadel.databaseEnv" -}}
{{- $root := index . 0 -}}
{{- $process := index . 1 -}}
{{- if $root.Values.postgres.enabled }}
{{- $role := ternary "postgres" (printf "citadel_%s" $process) (eq $process "migrate") -}}
- {name: CITADEL_DATABASE_URL, value: "postgresql://{{ $role }}@{{ include "citadel.fullname" $root }}-postgres:5432/citadel"}
- {name: CITADEL_DATABASE_PASSWORD_FILE, value: {{ index . 2 }}}
{{- else }}
{{- $own := get $root.Values.database.urlSecrets $process | default dict }}
{{- $name := $own.name | default $root.Values.database.urlSecret.name }}
{{- $key := ternary $own.key $root.Values.database.urlSecret.key (not (empty $own.name)) | default "url" }}
{{- $message := printf "postgres.enabled is false, but neither database.urlSecret.name nor database.urlSecrets.%s.name names a Secret with the URL of a database" $process -}}
- {name: CITADEL_DATABASE_URL, valueFrom: {secretKeyRef: {name: {{ required $message $name }}, key: {{ $key }}}}}
{{- end }}
{{- end }}

{{- /* The volumes of a server beside the controller: certificate, and the password of its database role. Each item is named:
a Secret that bootstrap has not filled yet then keeps the pod waiting. Takes (list $ "gateway|api"). */}}
{{- define "citadel.serverVolumes" -}}
{{- $name := include "citadel.fullname" (index . 0) -}}
- name: tmp
  emptyDir: {sizeLimit: 64Mi}
- name: tls
  secret:
    secretName: {{ $name }}-{{ index . 1 }}-tls
    defaultMode: 0440
    items: [{key: tls.crt, path: tls.crt}, {key: tls.key, path: tls.key}, {key: ca.crt, path: ca.crt}]
{{- if (index . 0).Values.postgres.enabled }}
- name: database
  secret:
    secretName: {{ $name }}-database
    defaultMode: 0440
    items: [{key: {{ index . 1 }}, path: password}]
{{- end }}
{{- end }}

{{- define "citadel.serverMounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: tls, mountPath: /var/run/citadel/tls, readOnly: true}
{{- if .Values.postgres.enabled }}
- {name: database, mountPath: /var/run/citadel/database, readOnly: true}
{{- end }}
{{- end }}

{{- /* What a process reaches that asks servers beyond: database, egress proxy and DNS. Takes (list $ "models|tools"). */}}
{{- define "citadel.callerEgress" -}}
{{- $root := index . 0 -}}
- to:
  - podSelector:
      matchLabels:
        {{- include "citadel.selector" (list $root "egress") | nindent 8 }}
  ports: [{protocol: TCP, port: 8443}]
# DNS: its pods listen at whatever port their Service names, which is what a policy sees; or on the node.
- to:
  - namespaceSelector: {}
    podSelector:
      matchLabels: {k8s-app: kube-dns}
- ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]
{{- if $root.Values.postgres.enabled }}
- to:
  - podSelector:
      matchLabels:
        {{- include "citadel.selector" (list $root "postgres") | nindent 8 }}
  ports: [{protocol: TCP, port: 5432}]
{{- else }}
# Where your database is only its Secret says.
- ports: [{protocol: TCP, port: {{ (get $root.Values (index . 1)).databasePort }}}]
{{- end }}
{{- with $root.Values.tracing.endpoint }}
{{- $port := regexFind ":[0-9]+" (urlParse .).host | trimPrefix ":" | default (ternary "443" "80" (hasPrefix "https:" .)) }}
# Where spans are sent: wherever it is, at this port.
- ports: [{protocol: TCP, port: {{ $port }}}]
{{- end }}
{{- end }}
