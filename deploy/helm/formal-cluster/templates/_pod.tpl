{{- define "formal-cluster.pod" -}}
metadata:
  labels:
    {{- include "formal-cluster.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    # Settings are read at the start alone: a change replaces the pods. Policies are read anew.
    checksum/settings: {{ .Values.settings | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "formal-cluster.serviceAccount" . }}
  # Time to hand over and to leave the cluster.
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    # Makes the volume of the state writable for this user.
    fsGroup: 10001
    seccompProfile: { type: RuntimeDefault }
  {{- with .Values.image.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if .Values.topologySpread }}
  topologySpreadConstraints:
    {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - topologyKey: {{ . }}
      maxSkew: 1
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "formal-cluster.selector" $ | nindent 10 }}
    {{- end }}
  {{- end }}
  containers:
    - name: instance
      image: "{{ required "image.repository is required: where is the instance's image?" .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args:
        - serve
        {{- if .Values.settings }}
        - --config=/etc/formal-cluster/config.toml
        {{- end }}
      env:
        - name: FORMAL_CLUSTER_DISCOVERY__DRIVERS
          value: '["k8s"]'
        # Probes and clients come from outside of the pod.
        - name: FORMAL_CLUSTER_SERVER__HOST
          value: 0.0.0.0
        {{- if .Values.policies }}
        - name: FORMAL_CLUSTER_POLICY__PATHS
          value: '["/policies"]'
        {{- end }}
        {{- if eq .Values.kind "StatefulSet" }}
        # It comes back with its disk.
        - name: FORMAL_CLUSTER_STORE__ETCD__LEAVE_ON_STOP
          value: "false"
        {{- end }}
        - name: POD_NAME
          valueFrom: { fieldRef: { fieldPath: metadata.name } }
        - name: POD_NAMESPACE
          valueFrom: { fieldRef: { fieldPath: metadata.namespace } }
        - name: POD_UID
          valueFrom: { fieldRef: { fieldPath: metadata.uid } }
        - name: POD_IP
          valueFrom: { fieldRef: { fieldPath: status.podIP } }
        {{- with .Values.env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      ports:
        - { name: decisions, containerPort: 8181 }
        - { name: etcd-client, containerPort: 2379 }
        - { name: etcd-peer, containerPort: 2380 }
      readinessProbe:
        httpGet: { path: /ready, port: decisions }
        periodSeconds: 5
      livenessProbe:
        httpGet: { path: /health, port: decisions }
        initialDelaySeconds: 10
        periodSeconds: 10
        timeoutSeconds: 5
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        capabilities: { drop: [ALL] }
        readOnlyRootFilesystem: true
      volumeMounts:
        - { name: state, mountPath: /default.etcd }
        - { name: scratch, mountPath: /tmp }
        {{- if .Values.policies }}
        - { name: policies, mountPath: /policies, readOnly: true }
        {{- end }}
        {{- if .Values.settings }}
        - { name: settings, mountPath: /etc/formal-cluster, readOnly: true }
        {{- end }}
  volumes:
    - name: scratch
      emptyDir: { sizeLimit: 1Gi }
    {{- if eq .Values.kind "Deployment" }}
    # A new pod gets its data from the others; nothing has to outlive it.
    - name: state
      emptyDir: { sizeLimit: {{ .Values.state.size }} }
    {{- end }}
    {{- if .Values.policies }}
    - name: policies
      configMap: { name: {{ include "formal-cluster.name" . }}-policies }
    {{- end }}
    {{- if .Values.settings }}
    - name: settings
      configMap: { name: {{ include "formal-cluster.name" . }}-settings }
    {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
{{- end }}
