# The session server in a container: without root, on a read-only root file system, its sessions in the volume /data.
#
#     docker build -t ostinato .
#     docker run --read-only --tmpfs /tmp -v ostinato:/data -v ./models:/models:ro -v ./keys.yaml:/keys.yaml:ro -v ./tls:/tls:ro -p 8787:8787 \
#       ostinato serve load=/models/load.safetensors --data /data --host 0.0.0.0 --keys /keys.yaml --tls-cert /tls/tls.crt --tls-key /tls/tls.key
#
# Signals are handled by the server itself, so it may be process 1: SIGTERM drains it. Give `docker stop` 15 seconds or more.

FROM node:20-bookworm-slim AS build
# The native engine is built where there is a C compiler; without it the image runs on WebAssembly.
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
RUN npm ci && npm prune --omit=dev --ignore-scripts

FROM node:20-bookworm-slim
ENV NODE_ENV=production NO_COLOR=1 OSTINATO_HEALTH=http://127.0.0.1:8787/livez
WORKDIR /opt/ostinato
COPY --from=build /build/package.json /build/LICENSE /build/CHANGELOG.md ./
COPY --from=build /build/node_modules node_modules
COPY --from=build /build/dist dist
COPY --from=build /build/native native
RUN ln -s /opt/ostinato/dist/cli/main.js /usr/local/bin/ostinato && install -d -o node -g node -m 0700 /data
USER node
WORKDIR /data
VOLUME /data
# 8787 HTTP, WebSocket and the page; 8788 gRPC, with --grpc-port 8788.
EXPOSE 8787 8788
STOPSIGNAL SIGTERM
# With TLS: -e OSTINATO_HEALTH=https://127.0.0.1:8787/livez; the certificate need not name the loopback address. Where client certificates are
# wanted the check cannot get in: leave it out with --no-healthcheck.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD NODE_NO_WARNINGS=1 NODE_TLS_REJECT_UNAUTHORIZED=0 node -e 'fetch(process.env.OSTINATO_HEALTH).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))'
# Thousands of requests are under way at once: a larger young generation copies fewer of them.
ENV NODE_OPTIONS=--max-semi-space-size=32
ENTRYPOINT ["ostinato"]
CMD ["serve", "--help"]
