{{- define "btard.name" -}}
{{- $name := ternary .Release.Name (printf "%s-btard" .Release.Name) (contains "btard" .Release.Name) -}}
{{- /* With -attacker- and a group's name it must leave room in 63 characters for the suffixes of Kubernetes. */ -}}
{{- $name | trunc 26 | trimSuffix "-" -}}
{{- end }}

{{- define "btard.selector" -}}
app.kubernetes.io/name: btard
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "btard.labels" -}}
{{ include "btard.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- /* With how many the run begins: all that there are, or, once it has begun, as many as then. A run's coordinator refuses
     another number, and later peers are admitted without it. */ -}}
{{- define "btard.firstRoster" -}}
{{- $members := int .Values.peers.replicas -}}
{{- range .Values.attackers }}{{ $members = add $members .replicas }}{{ end -}}
{{- $there := lookup "apps/v1" "StatefulSet" .Release.Namespace (printf "%s-coordinator" (include "btard.name" .)) -}}
{{- if and .Release.IsUpgrade $there -}}
{{- range (index $there.spec.template.spec.containers 0).env -}}
{{- if eq .name "BTARD_PEERS" }}{{ $members = int .value }}{{ end -}}
{{- end -}}
{{- else if lt (int $members) 1 -}}
{{- fail "nobody would train: peers.replicas and the replicas of the attackers are all 0" -}}
{{- end -}}
{{- $members -}}
{{- end }}

{{- /* A value as a program reads it from its environment. toJson writes large numbers without an exponent. */ -}}
{{- define "btard.text" -}}
{{- if kindIs "slice" . -}}
{{- $words := list -}}
{{- range . }}{{ $words = append $words (include "btard.text" .) }}{{ end -}}
{{- join "," $words -}}
{{- else if kindIs "string" . -}}
{{- . -}}
{{- else -}}
{{- toJson . -}}
{{- end -}}
{{- end }}

{{- /* A map of settings as environment. tau goes by its published name. */ -}}
{{- define "btard.settings" -}}
{{- range $name, $value := . }}
- name: {{ ternary "HIVEMIND_TAU" (printf "BTARD_%s" (upper $name)) (eq $name "tau") }}
  value: {{ include "btard.text" $value | quote }}
{{- end }}
{{- end }}

{{- define "btard.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
fsGroup: 1000
# The whole tree would be made writable for the group at each mount, and programs refuse a key that others can read.
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "btard.containerSecurity" -}}
privileged: false
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* What is common to all pods, above the containers. */ -}}
{{- define "btard.pod" -}}
# Kubernetes would make BTARD_* variables of the services, and the programs refuse those that they do not know.
enableServiceLinks: false
automountServiceAccountToken: false
terminationGracePeriodSeconds: {{ .root.Values.terminationGracePeriodSeconds }}
securityContext:
  {{- include "btard.podSecurity" . | nindent 2 }}
{{- with .root.Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .place.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .place.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .place.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "btard.probes" -}}
startupProbe:
  exec: {command: [python, -m, btard.cli.health]}
  periodSeconds: 10
  timeoutSeconds: 10
  failureThreshold: {{ max 1 (div (int .Values.startupSeconds) 10) }}
livenessProbe:
  exec: {command: [python, -m, btard.cli.health]}
  periodSeconds: 30
  timeoutSeconds: 10
  failureThreshold: 3
readinessProbe:
  exec: {command: [python, -m, btard.cli.health]}
  periodSeconds: 30
  timeoutSeconds: 10
  failureThreshold: 1
{{- end }}

{{- define "btard.image" -}}
{{- printf "%s:%s" .repository .tag | quote -}}
{{- end }}

{{- /* What every pod has with metrics. */ -}}
{{- define "btard.metricsEnvironment" }}
{{- if .Values.metrics.enabled }}
- name: BTARD_METRICS
  value: {{ printf "0.0.0.0:%d" (int .Values.metrics.port) | quote }}
- name: BTARD_METRICS_TOKEN_FILE
  value: /run/secrets/btard-metrics/token
{{- end }}
{{- end }}

{{- define "btard.metricsPort" }}
{{- if .Values.metrics.enabled }}
- {name: metrics, containerPort: {{ .Values.metrics.port }}}
{{- end }}
{{- end }}

{{- define "btard.metricsMount" }}
{{- if .Values.metrics.enabled }}
- {name: metrics-token, mountPath: /run/secrets/btard-metrics, readOnly: true}
{{- end }}
{{- end }}

{{- define "btard.metricsVolume" }}
{{- if .Values.metrics.enabled }}
- name: metrics-token
  secret:
    secretName: {{ .Values.metrics.tokenSecret.name }}
    items:
      - {key: {{ .Values.metrics.tokenSecret.key }}, path: token}
{{- end }}
{{- end }}
