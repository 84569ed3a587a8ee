# The image: four static binaries, the CAs of the web, and a user. See deploy/README.md.
#
#	docker build -t fencepost .
#
# The image to build in has Go 1.26 or newer, git, a shell and CA certificates.
ARG BUILD_IMAGE=docker.io/library/golang:1.26-bookworm

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
# Modules change less often than the source: this layer is kept.
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN deploy/build /out && deploy/rootfs /out /rootfs

FROM scratch AS deploy
COPY --from=build /rootfs/ /
# COPY gives all to root. These two are the user's: a volume on them begins with their owner and mode.
COPY --from=build --chown=65532:65532 /rootfs/home/nonroot /home/nonroot
COPY --from=build --chown=65532:65532 /rootfs/var/lib/fencepost /var/lib/fencepost
ENV PATH=/usr/local/bin SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
# Inside a container loopback reaches nobody, and what reaches the container is said where it is run. The
# binary itself listens on localhost unless told. These two are what timestamp-server reads; metrics stay on
# the container's loopback until --metrics-address says otherwise.
ENV HOST=0.0.0.0 PORT=3000
EXPOSE 3000 2112
WORKDIR /home/nonroot
USER 65532:65532
# No HEALTHCHECK: there is nothing here to ask with, and a timestamp every few seconds would be a costly
# question. GET /healthz and /readyz are for orchestrators; the compose files and manifests use them.
ENTRYPOINT ["timestamp-server"]
CMD ["serve"]
