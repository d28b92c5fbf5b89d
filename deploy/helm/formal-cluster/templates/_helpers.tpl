{{- define "formal-cluster.name" -}}
{{ .Values.nameOverride | default .Release.Name | trunc 52 | trimSuffix "-" }}
{{- end }}

{{- define "formal-cluster.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (include "formal-cluster.name" .) }}
{{- end }}

{{/* What never changes in the life of a release: selectors are made of it. */}}
{{- define "formal-cluster.selector" -}}
app.kubernetes.io/name: formal-cluster
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "formal-cluster.labels" -}}
{{ include "formal-cluster.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "formal-cluster.metadata" -}}
name: {{ include "formal-cluster.name" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "formal-cluster.labels" . | nindent 2 }}
{{- end }}
