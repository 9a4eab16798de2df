# Two images: callvault (the last stage, what `docker build .` makes) and
# minio, which compose.yaml uses.

FROM --platform=$BUILDPLATFORM golang:1.26.8 AS build
ARG TARGETOS TARGETARCH
ENV CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH
WORKDIR /src
# Modules change less often than code: this layer stays.
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=devel
RUN go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION" -o /out/callvault ./cmd/callvault
RUN mkdir /out/data

# MinIO publishes source, no images any more. This is the version that the
# tests run against; building it takes some minutes, once.
FROM --platform=$BUILDPLATFORM golang:1.26.8 AS build-minio
ARG TARGETOS TARGETARCH
ENV CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH
ARG MINIO_VERSION=v0.0.0-20260212201848-7aac2a2c5b7c
# go install puts what it builds for another machine into a folder of its own.
RUN go install -trimpath -ldflags '-s -w' github.com/minio/minio@$MINIO_VERSION && \
    mkdir -p /out/data /out/certs/CAs && find /go/bin -name minio -exec mv {} /out/minio ';'

FROM debian:trixie-slim AS minio
COPY --from=build-minio /out/minio /usr/local/bin/minio
# MinIO makes this folder where it is missing, and a read-only root file system
# would not let it.
COPY --from=build-minio /out/certs /etc/minio/certs
COPY --from=build-minio --chown=65532:65532 /out/data /data
USER 65532:65532
# The user has no entry in /etc/passwd; MinIO insists on a home.
ENV HOME=/
VOLUME /data
EXPOSE 9000
# The image has no curl; bash can ask by itself.
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/9000 && printf 'GET /minio/health/ready HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && read -r _ code _ <&3 && [ \"$code\" = 200 ]"]
ENTRYPOINT ["minio"]
CMD ["server", "--certs-dir", "/etc/minio/certs", "/data"]

# Nothing but the program, the authorities it trusts and a folder for data: no
# shell, no /tmp, no user who could write anywhere else.
FROM scratch AS callvault
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/callvault /callvault
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
ENV CALLVAULT_DATA=/data CALLVAULT_LISTEN=0.0.0.0:8080
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["/callvault", "healthcheck"]
ENTRYPOINT ["/callvault"]
CMD ["serve"]
