{{- define "orion.labels" -}}
app.kubernetes.io/name: orion
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "orion.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "orion.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "orion.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "orion.mounts" -}}
- name: home
  mountPath: /home/orion/.orion
- name: tmp
  mountPath: /tmp
{{- end -}}

{{- define "orion.volumes" -}}
- name: home
  emptyDir: {}
- name: tmp
  emptyDir: {}
{{- end -}}

{{- define "orion.home" -}}
# A folder in the volume: the volume itself is open to everybody, and then the server does not start in it.
- name: ORION_HOME
  value: /home/orion/.orion/home
{{- end -}}

{{- define "orion.serverEnv" -}}
{{ include "orion.home" . }}
- name: ORION_DATABASE_URL
  valueFrom: {secretKeyRef: {name: {{ .Values.existingSecret | quote }}, key: database-url}}
- name: ORION_SECRET_KEY
  valueFrom: {secretKeyRef: {name: {{ .Values.existingSecret | quote }}, key: secret-key}}
- name: ORION_ENCRYPTION_KEYS
  valueFrom: {secretKeyRef: {name: {{ .Values.existingSecret | quote }}, key: encryption-keys}}
- name: ORION_ALLOWED_HOSTS
  value: "{{ .Release.Name }}-orion,{{ .Release.Name }}-orion.{{ .Release.Namespace }},{{ .Release.Name }}-orion.{{ .Release.Namespace }}.svc"
{{- if .Values.externalUrl }}
- name: ORION_EXTERNAL_URL
  value: {{ .Values.externalUrl | quote }}
{{- end }}
{{- if .Values.trustedProxies }}
- name: ORION_TRUSTED_PROXIES
  value: {{ .Values.trustedProxies | quote }}
{{- end }}
{{- if .Values.broker.enabled }}
- name: ORION_BROKER_URL
  valueFrom: {secretKeyRef: {name: {{ .Values.existingSecret | quote }}, key: broker-url}}
- name: ORION_CHANNEL_LAYER
  valueFrom: {secretKeyRef: {name: {{ .Values.existingSecret | quote }}, key: broker-url}}
{{- end }}
{{- end -}}

{{- define "orion.agentEnv" -}}
{{ include "orion.home" . }}
- name: ORION_API_URL
  value: "http://{{ .Release.Name }}-orion.{{ .Release.Namespace }}.svc:4200/api"
- name: ORION_API_KEY
  valueFrom: {secretKeyRef: {name: {{ .Values.existingSecret | quote }}, key: agent-key}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
{{- if .Values.broker.enabled }}
- name: ORION_BROKER_URL
  valueFrom: {secretKeyRef: {name: {{ .Values.existingSecret | quote }}, key: broker-url}}
{{- end }}
{{- end -}}
