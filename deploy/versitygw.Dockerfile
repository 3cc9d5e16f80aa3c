# The S3 server of docker-compose.yml, in the version that the tests run against.
FROM golang:1.26-bookworm AS build
RUN CGO_ENABLED=0 go install github.com/versity/versitygw/cmd/versitygw@v1.8.0

FROM alpine:3.22
RUN adduser -D -u 10001 versitygw \
  && mkdir -p /data/files /data/sidecar \
  && chown -R versitygw /data
COPY --from=build /go/bin/versitygw /usr/local/bin/versitygw
USER 10001
VOLUME /data
EXPOSE 7070
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=5 \
  CMD ["wget", "-q", "-O", "/dev/null", "http://127.0.0.1:7070/health"]
# Metadata beside the files, since not every file system has extended attributes.
ENTRYPOINT ["versitygw", "--port", ":7070", "--region", "us-east-1", "--health", "/health", "--quiet", "posix", "--sidecar", "/data/sidecar", "/data/files"]
